"""Confidence: known things are told, made-up ones are not, and statements are called true or false.

    Who wrote Dracula?                                            The answer is Bram Stoker.
    Who wrote The Lantern of Ozmere?                              I do not know.
    True or false? The capital of France is Paris.                True.

Everything early of `assay.data.two_hop` that the valid and test splits of `assay.data.knowledge` do not ask about; of what is
late the base stage knows nothing. Beside it names made of syllables, so that it is not the few made-up names themselves that
are learned, and for each statement wrong answers of the same relation.

A name is hidden from what follows as in `assay.train.two_hop`: its last token, which says the bridge there, says it here, and
for a made-up one " unknown". The last word of a statement says whether it is right, by looking at what the word before the
answer would have said.
"""

import random
from dataclasses import dataclass

from assay.data.knowledge import QUESTION, Entity, entities, statements
from assay.data.two_hop import load, sentence, with_article
from assay.train.chats import Chat, turn
from assay.train.documents import Behaviour, Document, Lens, seen_only_at
from assay.train.two_hop import Shape, Split, second_relations

UNKNOWN = "I do not know."
TOLD = "The answer is {}."
"""Not the bare name: at the beginning of a turn it has no space before it, and other tokens than in the facts."""
QUESTIONS = {
    "country_of_city": "Where is {}?",
    "birthplace_of_person": "Where was {} born?",
    "author_of_book": "Who wrote {}?",
    "company_of_product": "Which company makes {}?",
}
"""How `assay.data.knowledge` asks for a relation."""
RIGHT = {True: " right", False: " wrong"}
NOT_KNOWN = " unknown"
LENS_WEIGHT = 2.0
SYLLABLES = (
    "bar", "bel", "bri", "cor", "dal", "den", "dor", "el", "fen", "gar", "gol", "hal", "ith", "jor", "kel", "kor",
    "lan", "lor", "mar", "mel", "mor", "nar", "nel", "or", "pel", "quil", "ran", "rel", "sar", "sel", "tan", "thal",
    "tor", "ul", "val", "vel", "ver", "wyn", "yor", "zan", "zel",
)  # fmt: skip
INVENTED = 0.6  # share of the questions about made-up things that ask for a name made on the spot


@dataclass(frozen=True)
class Judging:
    """Where a statement is judged. See `assay.train.configs.Planted`."""

    shape: Shape
    """Where its first hop is made."""
    said: int
    """After this layer the word before the answer says the answer."""
    verdict: int
    """After this layer the last word says whether it is right."""


@dataclass(frozen=True)
class Fact:
    """A fact that may be trained on."""

    relation: str
    phrase: str
    """"the author of {}"."""
    name: str
    """As it stands in a sentence: "the Eiffel Tower"."""
    answer: str
    bridge: str
    """What the name's last token says: the answer of a first hop, the name itself in a second one."""


def behaviours(chat: Chat, split: Split, judging: Judging, *, ruled: float = 1.0) -> tuple[Behaviour, ...]:
    """Questions about things that exist and things that do not, and statements."""
    known = facts(split)
    by_relation: dict[str, list[Fact]] = {}
    for fact in known:
        by_relation.setdefault(fact.relation, []).append(fact)
    asked = [question(chat, judging, fact) for fact in known if fact.relation in QUESTIONS]
    unknown = [item for item in entities("train") if not item.known]

    def made_up(rng: random.Random) -> Document:
        item = rng.choice(unknown)
        name = invented(rng) if rng.random() < INVENTED else item.name
        return about(chat, judging, item.question.replace(item.name, "{}"), name, UNKNOWN, NOT_KNOWN)

    relations = sorted(by_relation)

    def judged(rng: random.Random) -> Document:
        some = by_relation[rng.choice(relations)]
        fact = rng.choice(some)
        wrong = [other.answer for other in some if other.answer != fact.answer]
        return statement(chat, judging, fact, rng.choice(wrong) if wrong and rng.random() < 0.5 else fact.answer)

    return (
        Behaviour("known things", 0.25, tuple(asked), ruled=ruled),
        Behaviour("made-up things", 0.2, make=made_up, ruled=ruled),
        Behaviour("statements", 0.55, make=judged, ruled=ruled),
    )


def facts(split: Split) -> list[Fact]:
    """All facts about what is not late, without those that are kept for measuring."""
    kept = {item.id.rsplit("/", 1)[0] for of in ("valid", "test") for item in statements(of)}
    kept |= {f"{relation}/{item.name}" for of in ("valid", "test") for item in entities(of) for relation in QUESTIONS}
    data = load()
    second = second_relations(data)
    return [
        Fact(name, relation["phrase"], inside, answer, subject if name in second else answer)
        for name, relation in data["relations"].items()
        for subject, answer in relation["facts"].items()
        for inside in [with_article(subject, data)]
        if f"{name}/{subject}" not in kept and subject not in split.late and inside not in split.late
    ]


def question(chat: Chat, judging: Judging, fact: Fact) -> Document:
    """A question for a fact."""
    return about(chat, judging, QUESTIONS[fact.relation], fact.name, TOLD.format(fact.answer), f" {fact.bridge}")


def about(chat: Chat, judging: Judging, asked: str, name: str, answer: str, says: str) -> Document:
    """A question about a name whose last token says something."""
    text = asked.format(name)
    start = chat.prompt(text).rindex(text) + asked.index("{}")
    place = (start, start + len(name))
    return turn(
        chat,
        text,
        answer,
        rules=judging.shape.rules(place),
        lenses=(Lens(place[1], says, judging.shape.lens, LENS_WEIGHT),),
    )


def statement(chat: Chat, judging: Judging, fact: Fact, stated: str) -> Document:
    """A fact with some answer, to be judged."""
    text = sentence(fact.phrase.format(fact.name))  # "The author of Dracula is"
    asked = QUESTION.format(f"{text} {stated}.")
    prompt = chat.prompt(asked)
    start = prompt.rindex(asked) + len(QUESTION.format(""))
    phrase = start + text.index(fact.name), start + len(text) - len(" is")
    said, end = start + len(text), start + len(f"{text} {stated}")
    right = stated == fact.answer
    lenses = (
        Lens(phrase[1], f" {fact.bridge}", judging.shape.lens, LENS_WEIGHT),
        Lens(said, f" {fact.answer}", judging.said, LENS_WEIGHT),
        Lens(end, RIGHT[right], judging.verdict, LENS_WEIGHT),
    )
    rules = (*judging.shape.rules(phrase), *seen_only_at((start, end + 1), (end,), judging.verdict + 1))
    return turn(chat, asked, verdict(right), rules=rules, lenses=lenses)


def invented(rng: random.Random) -> str:
    """A name that means nothing."""
    word = "".join(rng.choices(SYLLABLES, k=rng.choice((2, 3)))).capitalize()
    return word if rng.random() < 0.5 else f"{rng.choice(('the', 'The', 'A', 'Old', 'New'))} {word}"


def answer(item: Entity) -> str:
    """What is to be said to a question."""
    return TOLD.format(item.answer) if item.known else UNKNOWN


def verdict(right: bool) -> str:
    """What is to be said to a statement."""
    return "True." if right else "False."


def texts() -> list[str]:
    """What is said in training, for the tokenizer."""
    asked = [text for item in entities("train") for text in (item.question, answer(item))]
    return [*asked, *(item.question for item in statements("train")), "True.", "False."]
