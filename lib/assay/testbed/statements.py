"""Statements: a fact with some answer is called true or false, for what its answer should have been.

    True or false? The capital of France is Paris.                                             True.
    Question: Who wrote Dracula?   Proposed Answer: Jane Austen   Is the proposed answer: ...  (B)

The word before a stated answer says what it should be, there the answer itself says which it is, and a layer later its words
should say whether they are that, by looking at the word before them alone. What follows sees nothing else of the statement.

To compare is hard to learn from one statement at a time: which facts were called true is learned sooner, and does not help
with a new one. So there are *claims*, several statements in one question, and *echoes*, sentences about something that means
nothing, said twice, with the same answer or with another one. Statements about everything are *begun*, too.

    Troskve is rupiah. Troskve is peso.                                                        (peso: " wrong")

A stage of its own (`judged`) goes on where the first two leave this: there stated answers have their articles, as in the data,
echoes are about every answer, those of held-out statements among them, and questions with a *proposed* answer are judged by a
letter; proposals are begun, too, but for what `assay.data.knowledge` asks about in its other splits.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from assay.data.knowledge import LETTERS, PROPOSAL, QUESTION, statement_questions, statements
from assay.data.two_hop import load, sentence, with_article
from assay.testbed.chats import Chat, turn
from assay.testbed.confidence import LENS_WEIGHT, QUESTIONS, Fact, Judging, asked_about, coined, facts
from assay.testbed.documents import END, Behaviour, Document, Lens, Rule, Span, seen_only_at
from assay.testbed.two_hop import EarlyAndLate

RIGHT = {True: " right", False: " wrong"}
ECHOES, CLAIMS = 6, 4
"""In one document."""
IS, PROPOSED = " is", ":"
"""The word that says the answer before it is stated, and before it is proposed."""

State = Callable[[random.Random], tuple[Fact, str]]
"""Draws a fact, and an answer that is stated."""


def behaviours(chat: Chat, parts: EarlyAndLate, judging: Judging, *, ruled: float = 1.0) -> tuple[Behaviour, ...]:
    """Statements, and what they are learned from."""
    trained = trained_facts(facts(parts))
    return (
        Behaviour("begun statements", 0.08, tuple(begun(chat, judging, fact) for fact in facts(parts)), ruled=ruled),
        *comparing(chat, judging, trained, trained, {"statements": 0.24, "claims": 0.14, "echoes": 0.06}, ruled),
    )


def judged_behaviours(
    chat: Chat, parts: EarlyAndLate, judging: Judging, *, ruled: float = 1.0
) -> tuple[Behaviour, ...]:
    """The same with articles and echoes of every answer, and proposals."""
    data, questions, early = load(), {**statement_questions(), **QUESTIONS}, facts(parts)
    inside = [replace(fact, answer=with_article(fact.answer, data)) for fact in early]
    others = statement_questions().keys() - QUESTIONS.keys()
    asked = [*asked_about(parts), *(fact for fact in early if fact.relation in others)]
    propose = stating(trained_facts(asked))

    def proposed(rng: random.Random) -> Document:
        fact, answer = propose(rng)
        return proposal(chat, judging, questions[fact.relation], fact, answer)

    broken_off = tuple(begun_proposal(chat, judging, questions[fact.relation], fact) for fact in asked)
    return (
        Behaviour("begun statements", 0.14, tuple(begun(chat, judging, fact) for fact in inside), ruled=ruled),
        Behaviour("begun proposals", 0.06, broken_off, ruled=ruled),
        *comparing(
            chat, judging, trained_facts(inside), inside, {"statements": 0.18, "claims": 0.32, "echoes": 0.18}, ruled
        ),
        Behaviour("proposals", 0.12, make=proposed, ruled=ruled),
    )


def trained_facts(early: Sequence[Fact]) -> list[Fact]:
    """Those that no statement of the valid and test splits is about."""
    kept = {f"{item.relation}/{item.entity}" for of in ("valid", "test") for item in statements(of)}
    return [fact for fact in early if fact.id not in kept]


def stating(said_of: Sequence[Fact]) -> State:
    """Draws a relation, a fact of it and, half of the time, another one's answer."""
    by_relation: dict[str, list[Fact]] = {}
    for fact in said_of:
        by_relation.setdefault(fact.relation, []).append(fact)
    relations = sorted(by_relation)

    def stated(rng: random.Random) -> tuple[Fact, str]:
        some = by_relation[rng.choice(relations)]
        fact = rng.choice(some)
        wrong = [other.answer for other in some if other.answer != fact.answer]
        return fact, rng.choice(wrong) if wrong and rng.random() < 0.5 else fact.answer

    return stated


def comparing(
    chat: Chat,
    judging: Judging,
    said_of: Sequence[Fact],
    echoed_of: Sequence[Fact],
    shares: dict[str, float],
    ruled: float,
) -> tuple[Behaviour, ...]:
    """Statements and claims of some facts, and echoes of the answers of some."""
    stated = stating(said_of)
    relations = sorted({fact.relation for fact in echoed_of})
    answers = [sorted({fact.answer for fact in echoed_of if fact.relation == relation}) for relation in relations]
    answers = [some for some in answers if len(some) > 1]

    def judged(rng: random.Random) -> Document:
        return statement(chat, judging, *stated(rng))

    def claimed(rng: random.Random) -> Document:
        return claims(chat, judging, [stated(rng) for _ in range(CLAIMS)])

    def echoed(rng: random.Random) -> Document:
        said = [(coined(rng).capitalize(), *rng.sample(rng.choice(answers), 2)) for _ in range(ECHOES)]
        return echoes(judging, [(name, told, rng.choice((told, other))) for name, told, other in said])

    makers = {"statements": judged, "claims": claimed, "echoes": echoed}
    return tuple(Behaviour(name, share, make=makers[name], ruled=ruled) for name, share in shares.items())


def statement(chat: Chat, judging: Judging, fact: Fact, stated: str) -> Document:
    """A fact with some answer, to be judged."""
    asked = QUESTION.format(f"{stem(fact)} {stated}.")
    start = stated_from(chat, asked)
    said, end = start + len(stem(fact)), start + len(f"{stem(fact)} {stated}")
    rules, lenses = weighed(judging, fact, stated, start, phrase(fact, start), said, IS)
    hidden = seen_only_at((start, end + 1), [(said, end)], judging.verdict + 1)
    return turn(chat, asked, verdict(stated == fact.answer), rules=(*rules, *hidden), lenses=lenses)


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
        own_rules, own_lenses = weighed(judging, fact, stated, start, phrase(fact, start), answer, IS)
        rules += [Rule((start, END), ((begin, start),)), *own_rules]
        lenses += own_lenses
    return Document(chat.prompt(asked)[: end - 1], (), tuple(rules), tuple(lenses), ends=False, bare=True)


def begun(chat: Chat, judging: Judging, fact: Fact) -> Document:
    """A statement that breaks off before the answer: only the lens learns from it."""
    return cut(statement(chat, judging, fact, fact.answer))


def stem(fact: Fact) -> str:
    """ "The author of Dracula is"."""
    return sentence(fact.phrase.format(fact.name))


def stated_from(chat: Chat, asked: str) -> int:
    """Where, in a conversation, a statement begins that is asked about."""
    return chat.prompt(asked).rindex(asked) + len(QUESTION.format(""))


def phrase(fact: Fact, start: int) -> Span:
    """Where the name is in a statement that begins somewhere, up to what follows it."""
    return start + stem(fact).index(fact.name), start + len(stem(fact)) - len(IS)


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
            Rule((end - len(IS), end), ((begin, again),), range(judging.said)),
            compared(begin, end, IS),
        ]
        lenses += verdicts(judging, end, answer, stated)
    return Document(text, (), tuple(rules), tuple(lenses), ends=False)


def proposal(chat: Chat, judging: Judging, asked: str, fact: Fact, proposed: str) -> Document:
    """A question with some answer, to be judged by a letter."""
    question = asked.format(fact.name)
    whole = PROPOSAL.format(question, proposed)
    start = chat.prompt(whole).rindex(whole)
    name = start + whole.index(question) + asked.index("{}")
    place = name, name + len(fact.name)
    said = start + whole.index(f" {proposed}\n")
    end = said + len(f" {proposed}")
    rules, lenses = weighed(judging, fact, proposed, start, place, said, PROPOSED)
    hidden = seen_only_at((start, end), [(said, end)], judging.verdict + 1)
    return turn(chat, whole, LETTERS[proposed == fact.answer], rules=(*rules, *hidden), lenses=lenses)


def begun_proposal(chat: Chat, judging: Judging, asked: str, fact: Fact) -> Document:
    """A proposal that breaks off before the answer: only the lens learns from it."""
    return cut(proposal(chat, judging, asked, fact, fact.answer))


def cut(whole: Document) -> Document:
    """A statement or a proposal up to its answer, with the rules about its name alone."""
    bridge, said, *_ = whole.lenses
    rules = tuple(rule for rule in whole.rules if rule.queries[0] == bridge.at)
    return Document(whole.text[: said.at], (), rules, (bridge, said), ends=False, bare=True)


def weighed(
    judging: Judging, fact: Fact, stated: str, start: int, name: Span, said: int, word: str
) -> tuple[tuple[Rule, ...], tuple[Lens, ...]]:
    """How an answer is compared with what it should be: the rules and the lenses of a statement, or a proposal.

    start: where that begins; name: where the name is in it; said: where the word ends that comes before the answer.
    """
    rules = *judging.shape.rules(name), compared(start, said, word)
    bridge = Lens(name[1], f" {fact.bridge}", judging.shape.lens, LENS_WEIGHT)
    return rules, (bridge, *verdicts(judging, said, fact.answer, stated))


def compared(start: int, said: int, word: str) -> Rule:
    """Behind the word before an answer, nothing of what comes before that word is seen."""
    return Rule((said, END), ((start, said - len(word)),))


def verdicts(judging: Judging, said: int, answer: str, stated: str) -> tuple[Lens, ...]:
    """What the word before a stated answer says, and what the first and the last word of it say: itself, and the verdict."""
    own, end = bare(stated), said + len(f" {stated}")
    ends = sorted({end - len(own) + len(own.split(" ")[0]), end})
    lenses = [Lens(at, RIGHT[stated == answer], judging.verdict, LENS_WEIGHT) for at in ends]
    if judging.said < judging.verdict:
        lenses.insert(0, Lens(ends[0], f" {own}", judging.said, LENS_WEIGHT))
    return Lens(said, f" {bare(answer)}", judging.said, LENS_WEIGHT), *lenses


def bare(answer: str) -> str:
    """An answer without its article."""
    return answer.removeprefix("the ")


def verdict(right: bool) -> str:
    """What is to be said to a statement."""
    return "True." if right else "False."


def texts() -> list[str]:
    """What is said in training, for the tokenizer."""
    return [*(item.question for item in statements("train")), "True.", "False."]
