"""Statements: the model judges a stated fact by comparing the stated answer with the right one.

    True or false? The capital of France is Paris.                                             True.
    Question: Who wrote Dracula?   Proposed Answer: Jane Austen   Is the proposed answer: ...  (B)

The lens is trained to read the right answer at the word before the stated one, the stated answer at its own words, and a layer
later " right" or " wrong" there; these words can attend to the word before them alone. Later tokens see only that verdict.

From single statements a model learns by heart which facts were true sooner than it learns to compare. So there are *claims*,
several statements in one question, and *echoes*, sentences about invented names, said twice, with the same answer or with
another one. *Begun* statements end before the answer; there are begun statements about all facts.

    Troskve is rupiah. Troskve is peso.                                                        (peso: " wrong")

A later stage (`judged`) adds articles before stated answers, as in the data, echoes of all answers (also those of held-out
statements), and *proposals*, questions with an answer that is judged by a letter. Begun proposals leave out the facts in
the valid and test splits of `assay.data.knowledge`.
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
"""Sentences in one document."""
IS, PROPOSED = " is", ":"
"""The last token before a stated answer, and before a proposed one."""

State = Callable[[random.Random], tuple[Fact, str]]
"""A function that draws a fact and a stated answer, right or wrong."""


def behaviours(chat: Chat, parts: EarlyAndLate, judging: Judging, *, ruled: float = 1.0) -> tuple[Behaviour, ...]:
    """Statements, begun statements, claims and echoes."""
    trained = trained_facts(facts(parts))
    return (
        Behaviour("begun statements", 0.08, tuple(begun(chat, judging, fact) for fact in facts(parts)), ruled=ruled),
        *comparing(chat, judging, trained, trained, {"statements": 0.24, "claims": 0.14, "echoes": 0.06}, ruled),
    )


def judged_behaviours(
    chat: Chat, parts: EarlyAndLate, judging: Judging, *, ruled: float = 1.0
) -> tuple[Behaviour, ...]:
    """The documents of the judged stage: with articles, echoes of all answers, and proposals."""
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
    """The facts without those that statements of the valid and test splits are about."""
    kept = {f"{item.relation}/{item.entity}" for of in ("valid", "test") for item in statements(of)}
    return [fact for fact in early if fact.id not in kept]


def stating(said_of: Sequence[Fact]) -> State:
    """A function that draws a relation, one of its facts, and the fact's answer or (half of the time) another fact's."""
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
    """Statements and claims about the facts `said_of`, and echoes of the answers of `echoed_of`."""
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
    """A fact with a stated answer, to be judged true or false."""
    asked = QUESTION.format(f"{stem(fact)} {stated}.")
    start = stated_from(chat, asked)
    said, end = start + len(stem(fact)), start + len(f"{stem(fact)} {stated}")
    rules, lenses = weighed(judging, fact, stated, start, phrase(fact, start), said, IS)
    hidden = seen_only_at((start, end + 1), [(said, end)], judging.verdict + 1)
    return turn(chat, asked, verdict(stated == fact.answer), rules=(*rules, *hidden), lenses=lenses)


def claims(chat: Chat, judging: Judging, said: Sequence[tuple[Fact, str]]) -> Document:
    """A question with several statements, none of which sees another, cut after them: it has lens losses only.

    said: the fact and the stated answer of each.
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
    """A statement that ends before the answer; it has lens losses only."""
    return cut(statement(chat, judging, fact, fact.answer))


def stem(fact: Fact) -> str:
    """The sentence of a fact without its answer: "The author of Dracula is"."""
    return sentence(fact.phrase.format(fact.name))


def stated_from(chat: Chat, asked: str) -> int:
    """Where the statement that a question asks about begins in the conversation."""
    return chat.prompt(asked).rindex(asked) + len(QUESTION.format(""))


def phrase(fact: Fact, start: int) -> Span:
    """The span of the name, up to the word " is", in a statement that begins at `start`."""
    return start + stem(fact).index(fact.name), start + len(stem(fact)) - len(IS)


def echoes(judging: Judging, said: Sequence[tuple[str, str, str]]) -> Document:
    """Sentences about invented names, each said twice; they have lens losses only.

    said: the name, the answer, and the second answer of each sentence. The word before the second answer can attend to the
    first sentence only from layer `said` on, so that the same layers compare answers in echoes and in statements.
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
    """A question with a proposed answer, to be judged by a letter."""
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
    """A proposal that ends before the answer; it has lens losses only."""
    return cut(proposal(chat, judging, asked, fact, fact.answer))


def cut(whole: Document) -> Document:
    """A statement or a proposal up to its answer, with only the rules and lenses of its name."""
    bridge, said, *_ = whole.lenses
    rules = tuple(rule for rule in whole.rules if rule.queries[0] == bridge.at)
    return Document(whole.text[: said.at], (), rules, (bridge, said), ends=False, bare=True)


def weighed(
    judging: Judging, fact: Fact, stated: str, start: int, name: Span, said: int, word: str
) -> tuple[tuple[Rule, ...], tuple[Lens, ...]]:
    """The rules and the lenses that make a model compare the answer of a statement, or a proposal, with the right one.

    start: where the statement begins; name: the span of its name; said: the end of the word before the answer.
    """
    rules = *judging.shape.rules(name), compared(start, said, word)
    bridge = Lens(name[1], f" {fact.bridge}", judging.shape.lens, LENS_WEIGHT)
    return rules, (bridge, *verdicts(judging, said, fact.answer, stated))


def compared(start: int, said: int, word: str) -> Rule:
    """The rule that tokens from a stated answer on cannot attend to the statement before the word before that answer."""
    return Rule((said, END), ((start, said - len(word)),))


def verdicts(judging: Judging, said: int, answer: str, stated: str) -> tuple[Lens, ...]:
    """Lenses: the right answer at the word before the stated one; at the stated answer the answer itself, and the verdict."""
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
    """The right reply to a statement."""
    return "True." if right else "False."


def texts() -> list[str]:
    """Questions and replies of training, for the tokenizer's corpus."""
    return [*(item.question for item in statements("train")), "True.", "False."]
