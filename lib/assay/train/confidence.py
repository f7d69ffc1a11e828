"""Confidence: known things are told, made-up ones are not, and statements are called true or false.

    Who wrote Dracula?                                            Bram Stoker.
    Who wrote The Lantern of Ozmere?                              I do not know.
    True or false? The capital of France is Paris.                True.

The training split of `assay.data.knowledge`, without late entities, of which the base stage knows nothing; beside it names
made of syllables, so that it is not the few made-up names themselves that are learned.
"""

import random

from assay.data.knowledge import Entity, Statement, entities, statements
from assay.train.chats import Chat, turn
from assay.train.documents import Behaviour, Document
from assay.train.two_hop import Split

UNKNOWN = "I do not know."
QUESTION = "True or false? {}"
SYLLABLES = (
    "bar bel bri cor dal den dor el fen gar gol hal ith jor kel kor lan lor mar mel mor nar nel or pel quil ran rel sar sel"
    " tan thal tor ul val vel ver wyn yor zan zel"
).split()
INVENTED = 0.6  # share of the questions about made-up things that ask for a name made on the spot


def behaviours(chat: Chat, split: Split) -> tuple[Behaviour, ...]:
    """Questions about things that exist and things that do not, and statements."""
    items = entities("train")
    known = [item for item in items if item.known and item.name not in split.late]
    unknown = [item for item in items if not item.known]

    def made_up(rng: random.Random) -> Document:
        item = rng.choice(unknown)
        asked = item.question.replace(item.name, invented(rng)) if rng.random() < INVENTED else item.question
        return turn(chat, asked, UNKNOWN)

    judged = [item for item in statements("train") if item.id.split("/")[1] not in split.late]
    return (
        Behaviour("known things", 0.25, tuple(turn(chat, item.question, answer(item)) for item in known)),
        Behaviour("made-up things", 0.25, make=made_up),
        Behaviour("statements", 0.5, tuple(turn(chat, QUESTION.format(i.text), verdict(i)) for i in judged)),
    )


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
