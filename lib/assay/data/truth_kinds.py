"""True and false statements of further kinds: negations, numbers, translations (CONF-2, CONF-7).

    >>> true, false = of_kind("larger_than")[:2]
    >>> (true.text, true.true), (false.text, false.true)
    (('Eighty-four is larger than fifty-seven.', True), ('Fifty-seven is larger than eighty-four.', False))
    >>> [one.text for one in of_kind("negated_translations")[:2]]
    ["The Spanish word 'perro' does not mean 'dog'.", "The Spanish word 'perro' does not mean 'nose'."]
    >>> [(one.text, one.true) for one in of_kind("negated_facts") if one.entity == "France"]
    [('The capital of France is not Paris.', False), ('The capital of France is not Ulaanbaatar.', True)]

The kinds:

    facts                 the statements of `assay.data.knowledge`, which a user's own file can replace
    negated_facts         each of them, denied: a statement and its negation stand at the same place of their kinds
    larger_than           "A is larger than B." of two numbers in words, 51 to 99 without whole tens
    smaller_than          the same pairs of numbers the other way round
    translations          "The Spanish word 'X' means 'Y'.", of the words of `assay.data.tasks` in three languages
    negated_translations  each of them, denied

Every true statement is next to its false twin (of negations: every false one, since the denied statement is true). A twin of
numbers has them exchanged, a twin of a translation has another word's meaning: so each number and each word stands in as many
true as false statements. Both twins, and both of their negations, are in one split: that of the pair of numbers, of the English
word, of the entity.

The forms are those of Marks and Tegmark 2023 (arXiv:2310.06824, section 2: cities, neg_cities, larger_than, smaller_than,
sp_en_trans, neg_sp_en_trans); the statements are our own.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations

from assay.data import knowledge, tasks
from assay.data.files import SPLITS, draw_splits, of_split
from assay.data.knowledge import Statement, statements
from assay.errors import DataError, unknown

LANGUAGES = {"english-spanish": "Spanish", "english-french": "French", "english-german": "German"}
"""The tasks that translate, and what their words are called."""
N_PAIRS = 100
"""Pairs of numbers."""
HELD_OUT = "author_of_book"
"""The relation on which no direction is found."""

_ONES = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TENS = ["fifty", "sixty", "seventy", "eighty", "ninety"]


def of_kind(kind: str, split: str | None = None) -> tuple[Statement, ...]:
    """The statements of one kind, of one split or of all. Raises DataError for an unknown kind or split.

    Raises DataError as `negation` for negated facts, if statements were given that it cannot deny.
    """
    if kind not in KINDS:
        raise unknown(DataError, "kind of statements", kind, KINDS)
    return of_split(KINDS[kind](), split)


def negation(statement: Statement) -> Statement:
    """The statement, denied. Raises DataError if it has none of the verbs that can be denied here: is, means."""
    for verb, denied in ((" is ", " is not "), (" means ", " does not mean ")):
        begin, found, end = statement.text.rpartition(verb)
        if found:
            name, _, twin = statement.id.rpartition("/")
            text = f"{begin}{denied}{end}"
            return replace(statement, id=f"{name}/not {twin}", text=text, true=not statement.true, asked="", stated="")
    raise DataError(f"{statement.text!r} has no negation here: it has neither the word is nor the word means")


def held_out_relation() -> str:
    """The relation of `facts` that no direction is found on; of statements of one's own the last one by name.

    Raises DataError if all are of one relation.
    """
    relations = sorted({one.relation for one in statements()})
    if len(relations) < 2:
        raise DataError(f"all statements are of one relation ({relations[0]}), and a direction is tested on a new one")
    return HELD_OUT if HELD_OUT in relations else relations[-1]


def file_hash() -> str:
    """The version of the files that the statements are made of: recorded beside every number measured with them."""
    return f"{knowledge.file_hash()}-{tasks.file_hash()}"


@cache
def _numbers(relation: str) -> tuple[Statement, ...]:
    """Comparisons of the pairs that come first by their hashes."""
    words = [f"{ten}-{one}" for ten in _TENS for one in _ONES]  # in the order of the numbers
    pairs = sorted(combinations(words, 2), key=lambda pair: hashlib.sha256(" ".join(pair).encode()).digest())[:N_PAIRS]
    split_of = draw_splits(map(" ".join, pairs))
    made = []
    for low, high in pairs:
        first, second = (high, low) if relation == "larger_than" else (low, high)
        for true, a, b in ((True, first, second), (False, second, first)):
            text = f"{a.capitalize()} is {relation.removesuffix('_than')} than {b}."
            entity = f"{low} {high}"
            name = f"{relation}/{entity}/{str(true).lower()}"
            made.append(Statement(name, split_of[entity], text, true, relation, entity, "", b))
    return tuple(made)


@cache
def _translations() -> tuple[Statement, ...]:
    made = []
    for name, language in LANGUAGES.items():
        task = tasks.task(name)
        meant = {english: other for split in SPLITS for english, other in _next(task.split(split)).items()}
        for (english, foreign), split in zip(task.pairs, task.splits, strict=True):
            for true, stated in ((True, english), (False, meant[english])):
                text = f"The {language} word '{foreign}' means '{stated}'."
                what = f"{name}/{english}/{str(true).lower()}"
                made.append(Statement(what, split, text, true, name, english, "", stated))
    return tuple(made)


def _next(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """For each English word another one of the same split: every word is another's once."""
    ranked = sorted((english for english, _ in pairs), key=lambda word: hashlib.sha256(word.encode()).digest())
    return dict(zip(ranked, [*ranked[1:], ranked[0]], strict=True))


KINDS = {
    "facts": statements,
    "negated_facts": lambda: tuple(negation(one) for one in statements()),
    "larger_than": lambda: _numbers("larger_than"),
    "smaller_than": lambda: _numbers("smaller_than"),
    "translations": _translations,
    "negated_translations": lambda: tuple(negation(one) for one in _translations()),
}
"""Each kind, and a function that makes its statements."""
