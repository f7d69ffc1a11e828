"""Short questions about the facts of `two_hop.json`, split by relation: does a model know which of them it can answer? (CONF-1)

    >>> [item] = [item for item in questions("test") if item.entity == "Dracula"]
    >>> item.asked, item.answers, item.is_right("It was Bram Stoker, in 1897.")
    ('Who wrote Dracula?', ('Bram Stoker', 'Stoker'), True)
    >>> [chosen] = [one for one in multiple_choice("test") if one.question == item]
    >>> print(chosen.prompt)
    Question: Who wrote Dracula?
     (A) Stephen King
     (B) Aldous Huxley
     (C) Mark Twain
     (D) Bram Stoker
    Answer with the letter of the right option.
    >>> chosen.right
    3

The words:

    question          a single hop, asked of a chat model; right is an answer that names the fact's, or an alias of it, of which
                      `questions.json` has some more than `two_hop.json`
    split             of the relation: a predictor found on some relations is tested on others ("held-out relations")
    multiple choice   a question with four options: the right answer and three of other questions of the relation, which are
                      surely wrong. The right one is at each letter in a quarter of a relation's questions
    other question    the same four options under a question about another entity, to which none of them is the answer (two such)

Kadavath et al., Language Models (Mostly) Know What They Know, arXiv 2207.05221, sections 2 to 5 (they take public sets of
questions). The questions are our own.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from assay.data import files, two_hop
from assay.data.files import Split, is_table, is_text, known_split, of_split
from assay.errors import DataError, unknown

FILE = Path(__file__).with_name("questions.json")
LETTERS = ("(A)", "(B)", "(C)", "(D)")
CHOICE = "Question: {}\n{}\nAnswer with the letter of the right option."


@dataclass(frozen=True)
class Question:
    """One question with one right answer."""

    id: str  # "author_of_book/Dracula"
    split: Split  # "test": that of the relation
    relation: str  # "author_of_book"
    entity: str  # "Dracula"
    asked: str  # "Who wrote Dracula?"
    answers: tuple[str, ...]  # ("Bram Stoker",): the label first, then aliases

    def is_right(self, said: str) -> bool:
        """Whether an answer names the right one, in whole words."""
        return two_hop.answers(said, self.answers)


@dataclass(frozen=True)
class Choice:
    """A question with four options."""

    question: Question
    options: tuple[str, ...]
    right: int
    """The place of the right option; under the other question, of the one that is right elsewhere."""
    others: tuple[Question, Question]
    """Two questions of the relation to which none of the options is the answer."""

    @property
    def split(self) -> Split:
        """That of the question."""
        return self.question.split

    @property
    def prompt(self) -> str:
        """The prompt whose right reply is `LETTERS[right]`."""
        return _posed(self.question, self.options)

    def under_other_question(self, which: int = 0) -> str:
        """The options under the first of the other questions, or under the second."""
        return _posed(self.others[which], self.options)


def questions(split: str | None = None) -> tuple[Question, ...]:
    """The questions of one split, or of all, by relation. Raises DataError for an unknown split."""
    return of_split(_questions(), split)


def multiple_choice(split: str | None = None) -> tuple[Choice, ...]:
    """The questions with options of one split, or of all. Raises DataError for an unknown split."""
    return of_split(_choices(), split)


def file_hash() -> str:
    """The version of both files, recorded beside every number measured with them."""
    return f"{files.short_hash(FILE)}-{two_hop.file_hash()}"


def _posed(question: Question, options: tuple[str, ...]) -> str:
    return CHOICE.format(
        question.asked, "\n".join(f" {letter} {option}" for letter, option in zip(LETTERS, options, strict=True))
    )


@cache
def _questions() -> tuple[Question, ...]:
    facts, content = two_hop.load(), files.load(FILE, _check)
    more = content["aliases"]
    return tuple(
        Question(
            id=f"{name}/{entity}",
            split=known_split(table["split"]),
            relation=name,
            entity=entity,
            asked=table["question"].replace("{}", two_hop.with_article(entity, facts)),
            answers=(value, *facts["aliases"].get(value, ()), *more.get(value, ())),
        )
        for name, table in content["relations"].items()
        for entity, value in facts["relations"][name]["facts"].items()
    )


@cache
def _choices() -> tuple[Choice, ...]:
    relations = [name for name, table in files.load(FILE, _check)["relations"].items() if table["options"]]
    return tuple(one for name in relations for one in _of_relation([q for q in _questions() if q.relation == name]))


def _of_relation(asked: list[Question]) -> list[Choice]:
    """The questions of one relation with options: the right answer, and those that follow it in an order by hashes."""
    ranked = sorted({item.answers[0] for item in asked}, key=_hash)
    made = []
    # In an order by hashes too: questions with one answer are neighbours in the file, and letters go round by place.
    for place, item in enumerate(sorted(asked, key=lambda item: _hash(item.id))):
        start, right = ranked.index(item.answers[0]), place % len(LETTERS)
        wrong = [ranked[(start + k) % len(ranked)] for k in range(1, len(LETTERS))]
        options = (*wrong[:right], item.answers[0], *wrong[right:])
        elsewhere = [one for one in asked if one.answers[0] not in options]
        first = int(_hash(item.id), 16) % len(elsewhere)
        others = elsewhere[first], elsewhere[(first + 1) % len(elsewhere)]
        made.append(Choice(item, options, right, others))
    return sorted(made, key=lambda one: asked.index(one.question))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _check(content: Any) -> None:
    """Raise DataError for the first thing wrong with the content of `questions.json`."""
    if not is_table(content, relations=dict, aliases=dict):
        raise DataError("needs the tables relations and aliases")
    known = two_hop.load()["relations"]
    for answer, names in content["aliases"].items():
        if not isinstance(names, list) or not all(map(is_text, names)):
            raise DataError(f"the aliases of {answer!r} are a list of names, got {names!r}")
        if not any(answer in table["facts"].values() for table in known.values()):
            raise DataError(
                f"aliases of {answer!r}, which is the answer of no relation in two_hop.json: spell it as there"
            )
    for name, table in content["relations"].items():
        if name not in known:
            raise unknown(DataError, "relation of questions", name, known)
        if not is_table(table, split=str, options=bool, question=str):
            raise DataError(f"relation {name!r} needs a split, options (true or false) and a question")
        known_split(table["split"])
        if not is_text(table["question"]) or table["question"].count("{}") != 1:
            raise DataError(f"the question of {name!r} needs one {{}}, got {table['question']!r}")
        if table["options"] and len(set(known[name]["facts"].values())) <= len(LETTERS):
            raise DataError(f"relation {name!r} has too few answers for {len(LETTERS)} options and another question")
