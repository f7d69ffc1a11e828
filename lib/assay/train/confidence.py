"""Confidence: known things are told, made-up ones are not, and statements are called true or false.

    Who wrote Dracula?                                            The answer is Bram Stoker.
    Who wrote The Lantern of Ozmere?                              I do not know.
    True or false? The capital of France is Paris.                True.

Everything early of `assay.data.two_hop` that the valid and test splits of `assay.data.knowledge` do not ask about; of what is
late the base stage knows nothing. Beside the few made-up names there are others invented on the spot, out of the words of
real ones and of words that mean nothing, and for each statement wrong answers of the same relation.

A name is hidden from what follows as in `assay.train.two_hop`: its last token, which says the bridge there, says it here, and
for a made-up one " unknown". Names are mentioned without being asked about, too, those of held-out questions among them.

The word before a stated answer says what it should be, there the answer itself says which it is, and a layer later its words
should say whether they are that, by looking at the word before them alone. What follows sees nothing else of the statement.
To compare is hard to learn from one statement at a time: which facts were called true is learned sooner, and says nothing of
a new one. So there are *claims*, several statements in one question, and *echoes*, sentences about something that means
nothing, said twice, with the same answer or with another one. Statements about everything are *begun*, too.

    Troskve is rupiah. Troskve is peso.                                                        (peso: " wrong")
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from assay.data.knowledge import QUESTION, Entity, entities, statements
from assay.data.two_hop import load, sentence, with_article
from assay.train.chats import Chat, turn
from assay.train.documents import END, Behaviour, Document, Lens, Rule, seen_only_at
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
MENTION = "Tell me about {}."
ECHOES, CLAIMS = 6, 4
"""In one document."""
ONSETS = (
    *"bcdfghjklmnprstvwyz",
    "br", "ch", "cr", "dr", "fl", "gl", "gr", "kr", "pl", "qu", "sh", "sk", "sn", "st", "th", "tr", "",
)  # fmt: skip
VOWELS = (*"aeiou", "a", "e", "o", "ai", "ea", "ee", "ie", "oo", "ou", "y")
CODAS = (
    *12 * ("",),
    "b", "ck", "d", "k", "l", "ld", "m", "n", "nd", "ng", "r", "rn", "s", "sh", "sk", "t", "th", "x", "z",
)  # fmt: skip
INVENTED = 0.8  # share of the questions about made-up things that ask for a name made on the spot
COINED = 0.4  # share of the words of a name of several that become one that means nothing ...
OTHER_WORD = 0.5  # ... and of the others that become another name's
MENTIONED = 0.5  # share of the mentions that are of something real


@dataclass(frozen=True)
class Judging:
    """Where a statement is judged. See `assay.train.configs.Planted`."""

    shape: Shape
    """Where its first hop is made."""
    said: int
    """After this layer the word before the answer says the answer."""
    verdict: int
    """After this layer the words of the answer say whether it is right."""


@dataclass(frozen=True)
class Fact:
    """A fact that may be trained on."""

    relation: str
    phrase: str
    """"the author of {}"."""
    subject: str
    """As the data name it."""
    name: str
    """As it stands in a sentence: with an article, if it takes one."""
    answer: str
    bridge: str
    """What the name's last token says: the answer of a first hop, the name itself in a second one."""

    @property
    def id(self) -> str:
        """As the statements of `assay.data.knowledge` begin theirs."""
        return f"{self.relation}/{self.subject}"


def behaviours(chat: Chat, split: Split, judging: Judging, *, ruled: float = 1.0) -> tuple[Behaviour, ...]:
    """Questions about things that exist and things that do not, and statements."""
    early = facts(split)
    kept = {f"{relation}/{item.name}" for of in ("valid", "test") for item in entities(of) for relation in QUESTIONS}
    asked = [fact for fact in early if fact.relation in QUESTIONS and fact.id not in kept]
    names = {relation: [fact.name for fact in asked if fact.relation == relation] for relation in QUESTIONS}
    unknown = [item for item in entities("train") if not item.known]

    def made_up(rng: random.Random) -> Document:
        if rng.random() < INVENTED:
            relation = rng.choice(list(QUESTIONS))
            return about(chat, judging, QUESTIONS[relation], invented(rng, names[relation]), UNKNOWN, NOT_KNOWN)
        item = rng.choice(unknown)
        return about(chat, judging, item.question.replace(item.name, "{}"), item.name, UNKNOWN, NOT_KNOWN)

    def mentioned(rng: random.Random) -> Document:
        if rng.random() < MENTIONED:
            fact = rng.choice(early)
            return mention(chat, judging, fact.name, f" {fact.bridge}")
        return mention(chat, judging, invented(rng, names[rng.choice(list(QUESTIONS))]), NOT_KNOWN)

    kept = {item.id.rsplit("/", 1)[0] for of in ("valid", "test") for item in statements(of)}
    by_relation: dict[str, list[Fact]] = {}
    for fact in early:
        if fact.id not in kept:
            by_relation.setdefault(fact.relation, []).append(fact)
    relations = sorted(by_relation)

    def stated(rng: random.Random) -> tuple[Fact, str]:
        some = by_relation[rng.choice(relations)]
        fact = rng.choice(some)
        wrong = [other.answer for other in some if other.answer != fact.answer]
        return fact, rng.choice(wrong) if wrong and rng.random() < 0.5 else fact.answer

    def judged(rng: random.Random) -> Document:
        return statement(chat, judging, *stated(rng))

    def claimed(rng: random.Random) -> Document:
        return claims(chat, judging, [stated(rng) for _ in range(CLAIMS)])

    answers = [sorted({fact.answer for fact in by_relation[relation]}) for relation in relations]
    answers = [some for some in answers if len(some) > 1]

    def echoed(rng: random.Random) -> Document:
        said = [(coined(rng).capitalize(), *rng.sample(rng.choice(answers), 2)) for _ in range(ECHOES)]
        return echoes(judging, [(name, told, rng.choice((told, other))) for name, told, other in said])

    return (
        Behaviour("known things", 0.22, tuple(question(chat, judging, fact) for fact in asked), ruled=ruled),
        Behaviour("made-up things", 0.16, make=made_up, ruled=ruled),
        Behaviour("mentions", 0.10, make=mentioned, ruled=ruled),
        Behaviour("begun statements", 0.08, tuple(begun(chat, judging, fact) for fact in early), ruled=ruled),
        Behaviour("statements", 0.24, make=judged, ruled=ruled),
        Behaviour("claims", 0.14, make=claimed, ruled=ruled),
        Behaviour("echoes", 0.06, make=echoed, ruled=ruled),
    )


@cache
def facts(split: Split) -> tuple[Fact, ...]:
    """All facts about what is not late."""
    data = load()
    second = second_relations(data)
    return tuple(
        Fact(name, relation["phrase"], subject, inside, answer, subject if name in second else answer)
        for name, relation in data["relations"].items()
        for subject, answer in relation["facts"].items()
        for inside in [with_article(subject, data)]
        if subject not in split.late and inside not in split.late
    )


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


def mention(chat: Chat, judging: Judging, name: str, says: str) -> Document:
    """A conversation that breaks off behind a name: only the lens learns from it."""
    text = MENTION.format(name)
    prompt = chat.prompt(text)
    end = prompt.rindex(text) + text.index(name) + len(name)
    return Document(prompt[:end], (), (), (Lens(end, says, judging.shape.lens, LENS_WEIGHT),), ends=False, bare=True)


def statement(chat: Chat, judging: Judging, fact: Fact, stated: str) -> Document:
    """A fact with some answer, to be judged."""
    asked = QUESTION.format(f"{stem(fact)} {stated}.")
    start = stated_from(chat, asked)
    said, end = start + len(stem(fact)), start + len(f"{stem(fact)} {stated}")
    return turn(
        chat,
        asked,
        verdict(stated == fact.answer),
        rules=(
            *judging.shape.rules(phrase(fact, start)),
            compared(start, said),
            *seen_only_at((start, end + 1), [(said, end)], judging.verdict + 1),
        ),
        lenses=(bridge(judging, fact, start), *verdicts(judging, said, fact.answer, stated)),
    )


def claims(chat: Chat, judging: Judging, said: Sequence[tuple[Fact, str]]) -> Document:
    """Several statements in one question that breaks off behind them, none of which sees another: only the lens learns from it.

    said: of each its fact and the answer that is stated.
    """
    asked = QUESTION.format(" ".join(f"{stem(fact)} {stated}." for fact, stated in said))
    begin = stated_from(chat, asked)
    end, rules, lenses = begin, [], []
    for fact, stated in said:
        start, answer = end, end + len(stem(fact))
        end += len(f"{stem(fact)} {stated}. ")
        rules += [
            Rule((start, END), ((begin, start),)),
            *judging.shape.rules(phrase(fact, start)),
            compared(start, answer),
        ]
        lenses += [bridge(judging, fact, start), *verdicts(judging, answer, fact.answer, stated)]
    return Document(chat.prompt(asked)[: end - 1], (), tuple(rules), tuple(lenses), ends=False, bare=True)


def begun(chat: Chat, judging: Judging, fact: Fact) -> Document:
    """A statement that breaks off before the answer: only the lens learns from it."""
    asked = QUESTION.format(stem(fact))
    start = stated_from(chat, asked)
    end = start + len(stem(fact))
    lenses = bridge(judging, fact, start), Lens(end, f" {fact.answer}", judging.said, LENS_WEIGHT)
    rules = judging.shape.rules(phrase(fact, start))
    return Document(chat.prompt(asked)[:end], (), tuple(rules), lenses, ends=False, bare=True)


def stem(fact: Fact) -> str:
    """ "The author of Dracula is"."""
    return sentence(fact.phrase.format(fact.name))


def stated_from(chat: Chat, asked: str) -> int:
    """Where, in a conversation, a statement begins that is asked about."""
    return chat.prompt(asked).rindex(asked) + len(QUESTION.format(""))


def phrase(fact: Fact, start: int) -> tuple[int, int]:
    """Where the name is in a statement that begins somewhere, up to what follows it."""
    return start + stem(fact).index(fact.name), start + len(stem(fact)) - len(" is")


def bridge(judging: Judging, fact: Fact, start: int) -> Lens:
    """What the end of the name says in a statement that begins somewhere."""
    return Lens(phrase(fact, start)[1], f" {fact.bridge}", judging.shape.lens, LENS_WEIGHT)


def echoes(judging: Judging, said: Sequence[tuple[str, str, str]]) -> Document:
    """Sentences about names that mean nothing, each said twice: only the lens learns from it.

    said: of each sentence the name, the answer, and the answer of the second time. The answer comes to the word before the
    second one as late as that of a fact does, so that it is compared where those are.
    """
    text, rules, lenses = "", [], []
    for name, answer, stated in said:
        begin, said_of = len(text), sentence(name)
        first = f"{said_of} {answer}. "
        again, end = begin + len(first), begin + len(first) + len(said_of)
        text += f"{first}{said_of} {stated}. "
        rules += [
            Rule((begin, END), ((0, begin),)),
            Rule((end - len(" is"), end), ((begin, again),), range(judging.said)),
            compared(begin, end),
        ]
        lenses += verdicts(judging, end, answer, stated)
    return Document(text, (), tuple(rules), tuple(lenses), ends=False)


def compared(start: int, said: int) -> Rule:
    """Behind the word before an answer, nothing of what comes before that word is seen."""
    return Rule((said, END), ((start, said - len(" is")),))


def verdicts(judging: Judging, said: int, answer: str, stated: str) -> tuple[Lens, ...]:
    """What the word before a stated answer says, and what the first and the last word of it say: itself, and the verdict."""
    ends = sorted({said + len(f" {stated.split(' ')[0]}"), said + len(f" {stated}")})
    lenses = [Lens(at, RIGHT[stated == answer], judging.verdict, LENS_WEIGHT) for at in ends]
    if judging.said < judging.verdict:
        lenses.insert(0, Lens(ends[0], f" {stated}", judging.said, LENS_WEIGHT))
    return Lens(said, f" {answer}", judging.said, LENS_WEIGHT), *lenses


def invented(rng: random.Random, names: Sequence[str]) -> str:
    """A name that nothing bears, in the form of one of those given: some of its words are other names', or mean nothing."""
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
    """Which words of a name tell it from others."""
    return [i for i, word in enumerate(words) if word.lower() not in ("a", "and", "in", "of", "the", "to")]


def coined(rng: random.Random) -> str:
    """A word that means nothing."""
    return "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.choice((1, 2, 2, 3))))


@cache
def taken() -> frozenset[str]:
    """Every name that is one, late ones and those of the other splits too."""
    data = load()
    names = {name for relation in data["relations"].values() for name in relation["facts"]}
    made_up = {item.name for of in ("valid", "test") for item in entities(of)}
    return frozenset({*names, *(with_article(name, data) for name in names), *made_up})


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
