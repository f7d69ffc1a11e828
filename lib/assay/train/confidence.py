"""Confidence: known things are told, made-up ones are not, and statements are called true or false.

    Who wrote Dracula?                                            Bram Stoker.
    Who wrote The Lantern of Ozmere?                              I do not know.
    True or false? The capital of France is Paris.                True.

The training split of `assay.data.knowledge`, without late entities, of which the base stage knows nothing; beside it the
other early entities of `assay.data.two_hop`, and names made of syllables, so that it is not the few names themselves that are
learned. At the end of a statement the lens should say whether it is right.
"""

import random

from assay.data.knowledge import Entity, Statement, entities, statements
from assay.train.chats import Chat, turn
from assay.train.documents import Behaviour, Document, Lens
from assay.train.two_hop import Split

UNKNOWN = "I do not know."
QUESTION = "True or false? {}"
QUESTIONS = {
    "the country containing {}": "Where is {}?",
    "the author of {}": "Who wrote {}?",
    "the company that makes {}": "Which company makes {}?",
}
"""How `assay.data.knowledge` asks for a first relation."""
RIGHT = {True: " right", False: " wrong"}
LENS_WEIGHT = 2.0
SYLLABLES = (
    "bar", "bel", "bri", "cor", "dal", "den", "dor", "el", "fen", "gar", "gol", "hal", "ith", "jor", "kel", "kor",
    "lan", "lor", "mar", "mel", "mor", "nar", "nel", "or", "pel", "quil", "ran", "rel", "sar", "sel", "tan", "thal",
    "tor", "ul", "val", "vel", "ver", "wyn", "yor", "zan", "zel",
)  # fmt: skip
INVENTED = 0.6  # share of the questions about made-up things that ask for a name made on the spot


def behaviours(chat: Chat, split: Split, lens_layer: int) -> tuple[Behaviour, ...]:
    """Questions about things that exist and things that do not, and statements."""
    items = entities("train")
    known = [(item.question, answer(item)) for item in items if item.known and item.name not in split.late]
    known += further(split)
    unknown = [item for item in items if not item.known]

    def made_up(rng: random.Random) -> Document:
        item = rng.choice(unknown)
        asked = item.question.replace(item.name, invented(rng)) if rng.random() < INVENTED else item.question
        return turn(chat, asked, UNKNOWN)

    judged = [item for item in statements("train") if item.id.split("/")[1] not in split.late]
    return (
        Behaviour("known things", 0.25, tuple(turn(chat, asked, said) for asked, said in known)),
        Behaviour("made-up things", 0.2, make=made_up),
        Behaviour("statements", 0.55, tuple(statement(chat, item, lens_layer) for item in judged)),
    )


def statement(chat: Chat, item: Statement, lens_layer: int) -> Document:
    """A statement to judge."""
    asked = QUESTION.format(item.text)
    end = chat.prompt(asked).rindex(asked) + len(asked) - 1  # of the last word; behind it is the full stop
    lens = Lens(end, RIGHT[item.true], lens_layer, LENS_WEIGHT)
    return turn(chat, asked, verdict(item), lenses=(lens,))


def further(split: Split) -> list[tuple[str, str]]:
    """Questions and answers about early entities that `assay.data.knowledge` does not ask about."""
    asked = {item.name for item in entities()}
    queries = [query for query in (*split.trained, *split.held_out) if query.e1 not in asked]
    out = {}
    for query in queries:
        for relation, question in QUESTIONS.items():
            if query.r1_phrase == relation.format(query.e1):
                out[question.format(query.e1)] = f"{query.e2}."
    return list(out.items())


def invented(rng: random.Random) -> str:
    """A name that means nothing."""
    word = "".join(rng.choices(SYLLABLES, k=rng.choice((2, 3)))).capitalize()
    return word if rng.random() < 0.5 else f"{rng.choice(('the', 'The', 'A', 'Old', 'New'))} {word}"


def answer(item: Entity) -> str:
    """What is to be said to a question."""
    return f"{item.answer}." if item.known else UNKNOWN


def verdict(item: Statement) -> str:
    """What is to be said to a statement."""
    return "True." if item.true else "False."


def texts() -> list[str]:
    """What is said in training, for the tokenizer."""
    asked = [text for item in entities("train") for text in (item.question, answer(item))]
    return [*asked, *(QUESTION.format(item.text) for item in statements("train")), "True.", "False."]
