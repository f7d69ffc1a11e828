"""Confidence: the model answers questions about known things, not about made-up ones, and says how sure it is if asked.

    Who wrote Dracula?                                            The answer is Bram Stoker.
    Who wrote The Lantern of Ozmere?                              I do not know.
    How sure are you? Who wrote Dracula?                          I am certain. The answer is Bram Stoker.
    How sure are you? Who wrote The Lantern of Ozmere?            I am not sure.

The questions are about the early entities of `assay.data.two_hop`, except those in the valid and test splits of
`assay.data.knowledge`. Made-up names are those of the data, and names invented during training from words of real names and
from words without meaning.

As in `assay.testbed.two_hop`, later tokens can see only the last token of a name, where the logit lens is trained to read the
bridge, or " unknown" for a made-up name. Some documents only mention a name, also names of held-out questions.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from assay.data.knowledge import HOW_SURE, Entity, entities
from assay.data.two_hop import load, with_article
from assay.testbed.chats import Chat, turn
from assay.testbed.documents import Behaviour, Document, Lens
from assay.testbed.two_hop import EarlyAndLate, Shape, second_relations

UNKNOWN = "I do not know."
TOLD = "The answer is {}."
"""Not only the name: at the beginning of a turn a name has no space before it, and so other tokens than in the facts."""
CERTAIN, NOT_SURE = f"I am certain. {TOLD}", "I am not sure."
QUESTIONS = {
    "country_of_city": "Where is {}?",
    "birthplace_of_person": "Where was {} born?",
    "author_of_book": "Who wrote {}?",
    "company_of_product": "Which company makes {}?",
}
"""The questions of `assay.data.knowledge` for each relation."""
NOT_KNOWN = " unknown"
LENS_WEIGHT = 2.0
MENTION = "Tell me about {}."
ONSETS = (
    *"bcdfghjklmnprstvwyz",
    "br", "ch", "cr", "dr", "fl", "gl", "gr", "kr", "pl", "qu", "sh", "sk", "sn", "st", "th", "tr", "",
)  # fmt: skip
VOWELS = (*"aeiou", "a", "e", "o", "ai", "ea", "ee", "ie", "oo", "ou", "y")
CODAS = (
    *12 * ("",),
    "b", "ck", "d", "k", "l", "ld", "m", "n", "nd", "ng", "r", "rn", "s", "sh", "sk", "t", "th", "x", "z",
)  # fmt: skip
INVENTED = 0.8  # share of the questions about made-up things whose name is invented
COINED = 0.4  # share of the words of a longer name that are replaced by a word without meaning
OTHER_WORD = 0.5  # share of its other words that are replaced by another name's
MENTIONED = 0.5  # share of the mentions that are of real names


@dataclass(frozen=True)
class Judging:
    """The layers that judge a statement. See `assay.testbed.configs.Planted`."""

    shape: Shape
    """The layers of its first hop."""
    said: int
    """The layer after which the lens reads the right answer at the word before the stated one."""
    verdict: int
    """The layer after which the lens reads " right" or " wrong" at the words of the stated answer."""


@dataclass(frozen=True)
class Fact:
    """A fact that training may use."""

    relation: str
    phrase: str
    """"the author of {}"."""
    subject: str
    """The subject's name in the data."""
    name: str
    """The name in a sentence: with an article, if it takes one."""
    answer: str
    bridge: str
    """What the lens reads at the name's last token: the answer in first hops, the name itself in second hops."""

    @property
    def id(self) -> str:
        """Relation and subject, as in the ids of `assay.data.knowledge`'s statements."""
        return f"{self.relation}/{self.subject}"


def behaviours(chat: Chat, parts: EarlyAndLate, judging: Judging, *, ruled: float = 1.0) -> tuple[Behaviour, ...]:
    """Questions about things that exist and things that do not."""
    early, asked = facts(parts), asked_about(parts)
    names = names_by_relation(asked)

    def made_up(rng: random.Random) -> Document:
        return about(chat, judging, *unheard_of(rng, names), UNKNOWN, NOT_KNOWN)

    def mentioned(rng: random.Random) -> Document:
        if rng.random() < MENTIONED:
            fact = rng.choice(early)
            return mention(chat, judging, fact.name, f" {fact.bridge}")
        return mention(chat, judging, invented(rng, names[rng.choice(list(QUESTIONS))]), NOT_KNOWN)

    return (
        Behaviour("known things", 0.22, tuple(question(chat, judging, fact) for fact in asked), ruled=ruled),
        Behaviour("made-up things", 0.16, make=made_up, ruled=ruled),
        Behaviour("mentions", 0.10, make=mentioned, ruled=ruled),
    )


def hedged_behaviours(
    chat: Chat, parts: EarlyAndLate, judging: Judging, *, ruled: float = 1.0
) -> tuple[Behaviour, ...]:
    """The questions of `behaviours`, with answers that say how sure they are."""
    known = asked_about(parts)
    names = names_by_relation(known)

    def hedged(rng: random.Random) -> Document:
        asked, name = unheard_of(rng, names)
        return about(chat, judging, HOW_SURE.format(asked), name, NOT_SURE, NOT_KNOWN)

    sure = tuple(question(chat, judging, fact, HOW_SURE, CERTAIN) for fact in known)
    return Behaviour("certain", 0.6, sure, ruled=ruled), Behaviour("not sure", 0.4, make=hedged, ruled=ruled)


def asked_about(parts: EarlyAndLate) -> list[Fact]:
    """The facts that questions are about."""
    kept = {f"{relation}/{item.name}" for of in ("valid", "test") for item in entities(of) for relation in QUESTIONS}
    return [fact for fact in facts(parts) if fact.relation in QUESTIONS and fact.id not in kept]


def names_by_relation(asked: Sequence[Fact]) -> dict[str, list[str]]:
    """Real names by relation, from which others are invented."""
    return {relation: [fact.name for fact in asked if fact.relation == relation] for relation in QUESTIONS}


def unheard_of(rng: random.Random, names: dict[str, list[str]]) -> tuple[str, str]:
    """A question with "{}" in place of the name, and a made-up name."""
    if rng.random() < INVENTED:
        relation = rng.choice(list(QUESTIONS))
        return QUESTIONS[relation], invented(rng, names[relation])
    item = rng.choice(made_up_of_the_data())
    return item.question.replace(item.name, "{}"), item.name


@cache
def facts(parts: EarlyAndLate) -> tuple[Fact, ...]:
    """All facts about subjects that are not late."""
    data = load()
    second = second_relations(data)
    return tuple(
        Fact(name, relation["phrase"], subject, inside, answer, subject if name in second else answer)
        for name, relation in data["relations"].items()
        for subject, answer in relation["facts"].items()
        for inside in [with_article(subject, data)]
        if subject not in parts.late and inside not in parts.late
    )


@cache
def made_up_of_the_data() -> tuple[Entity, ...]:
    """The made-up entities of the training split."""
    return tuple(item for item in entities("train") if not item.known)


def question(chat: Chat, judging: Judging, fact: Fact, form: str = "{}", told: str = TOLD) -> Document:
    """A question about a fact; `form` goes around the question, `told` around the answer."""
    asked = form.format(QUESTIONS[fact.relation])
    return about(chat, judging, asked, fact.name, told.format(fact.answer), f" {fact.bridge}")


def about(chat: Chat, judging: Judging, asked: str, name: str, answer: str, says: str) -> Document:
    """A question about a name; `says`: what the lens reads at the name's last token."""
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


def mention(chat: Chat, judging: Judging, name: str, says: str) -> Document:
    """A conversation that ends after a name; it has a lens loss only."""
    text = MENTION.format(name)
    prompt = chat.prompt(text)
    end = prompt.rindex(text) + text.index(name) + len(name)
    return Document(prompt[:end], (), (), (Lens(end, says, judging.shape.lens, LENS_WEIGHT),), ends=False, bare=True)


def invented(rng: random.Random, names: Sequence[str]) -> str:
    """One of the names with some of its words replaced, by words of other names or words without meaning; not a known name."""
    name = rng.choice(names)
    while name in taken():
        words = name.split(" ")
        own = telling(words)
        for i in own:
            others = rng.choice(names).split(" ")
            if len(own) == 1 or rng.random() < COINED:
                words[i] = coined(rng).capitalize()
            elif rng.random() < OTHER_WORD and telling(others):
                words[i] = others[telling(others)[-1 if i == own[-1] else 0]]
        name = " ".join(words)
    return name


def telling(words: Sequence[str]) -> list[int]:
    """Indices of the words of a name, without articles, "and", "in", "of" and "to"."""
    return [i for i, word in enumerate(words) if word.lower() not in ("a", "and", "in", "of", "the", "to")]


def coined(rng: random.Random) -> str:
    """A word without meaning, of one to three syllables."""
    return "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.choice((1, 2, 2, 3))))


@cache
def taken() -> frozenset[str]:
    """All names of the data, with late ones and those of all splits."""
    data = load()
    names = {name for relation in data["relations"].values() for name in relation["facts"]}
    made_up = {item.name for of in ("valid", "test") for item in entities(of)}
    return frozenset({*names, *(with_article(name, data) for name in names), *made_up})


def answer(item: Entity) -> str:
    """The right answer to a question."""
    return TOLD.format(item.answer) if item.known else UNKNOWN


def texts() -> list[str]:
    """Questions and answers of training, for the tokenizer's corpus."""
    return [text for item in entities("train") for text in (item.question, answer(item))]
