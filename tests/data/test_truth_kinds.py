"""Negations, comparisons of numbers and translations: true where they say so."""

from collections import Counter

import pytest

from assay.data.files import SPLITS
from assay.data.given import give, take_back
from assay.data.knowledge import Statement, statements
from assay.data.tasks import task
from assay.data.truth_kinds import KINDS, LANGUAGES, held_out_relation, negation, of_kind
from assay.errors import DataError

TENS = {"fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
ONES = {word: i for i, word in enumerate(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"], 1)}


def number(word):
    ten, one = word.lower().split("-")
    return TENS[ten] + ONES[one]


@pytest.mark.parametrize(("kind", "right"), [("larger_than", int.__gt__), ("smaller_than", int.__lt__)])
def test_comparisons_are_true_where_they_say_so(kind, right):
    middle = f" is {kind.removesuffix('_than')} than "
    for one in of_kind(kind):
        first, second = one.text.removesuffix(".").split(middle)
        assert right(number(first), number(second)) is one.true
        assert one.stated == second
    assert len(of_kind(kind)) == 200


def test_numbers_are_compared_once_and_both_ways_in_one_split():
    larger, smaller = ({one.entity: one.split for one in of_kind(kind)} for kind in ("larger_than", "smaller_than"))
    assert larger == smaller
    assert Counter(larger.values()) == {"train": 50, "valid": 20, "test": 30}


def test_translations_are_those_of_the_tasks():
    right = {(LANGUAGES[name], there): here for name in LANGUAGES for here, there in task(name).pairs}
    for one in of_kind("translations"):
        _, language, _, foreign, _, stated = one.text.removesuffix(".").split(" ")
        assert (right[language, foreign.strip("'")] == stated.strip("'")) is one.true
    assert len(of_kind("translations")) == 480


def test_a_negation_denies_its_statement():
    for kind in ("facts", "translations"):
        for said, denied in zip(of_kind(kind), of_kind(f"negated_{kind}"), strict=True):
            assert denied.true is not said.true
            assert denied.split == said.split
            assert denied.entity == said.entity
            assert denied.text.replace(" is not ", " is ").replace(" does not mean ", " means ") == said.text
            assert denied.text != said.text


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("kind", KINDS)
def test_twins_stand_side_by_side_and_no_word_says_which_is_true(kind, split):
    some = of_kind(kind, split)
    for first, second in zip(some[::2], some[1::2], strict=True):
        assert (first.true, second.true) == ((False, True) if kind.startswith("negated") else (True, False))
        assert (first.entity, first.split) == (second.entity, second.split)
    words = {true: Counter(word for one in some if one.true == true for word in said(one)) for true in (True, False)}
    assert words[True] == words[False]


def said(statement):
    return statement.text.lower().removesuffix(".").split(" ")


def test_no_two_statements_are_alike():
    every = [one for kind in KINDS for one in of_kind(kind)]
    assert len({one.text for one in every}) == len({one.id for one in every}) == len(every)


def test_what_cannot_be_denied_or_is_not_there_is_an_error():
    with pytest.raises(DataError, match="neither the word is nor the word means"):
        negation(Statement("own/1", "train", "Fish swim.", True, "fish", "fish", "", ""))
    with pytest.raises(DataError, match="unknown kind of statements"):
        of_kind("larger")


def test_the_held_out_relation_is_one_of_the_statements():
    assert held_out_relation() == "author_of_book"
    try:
        give("statements", [one for one in statements() if one.relation != "author_of_book"])
        assert held_out_relation() == "country_of_landmark"
        give("statements", [one for one in statements() if one.relation == "capital_of_state"])
        with pytest.raises(DataError, match=r"all statements are of one relation \(capital_of_state\)"):
            held_out_relation()
    finally:
        take_back()
