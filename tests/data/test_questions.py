"""Questions about facts: their splits, their options, the other questions, and what a broken file says."""

import json
from collections import Counter

import pytest

from assay.data import questions as module
from assay.data.files import load
from assay.data.questions import LETTERS, multiple_choice, questions
from assay.errors import DataError


def test_relations_are_in_one_split_and_questions_are_asked_once():
    split_of = {}
    for item in questions():
        assert split_of.setdefault(item.relation, item.split) == item.split
        assert item.asked.endswith("?")
        assert "{}" not in item.asked
        assert not item.is_right(item.asked), item.id
    assert set(split_of.values()) == {"train", "valid", "test"}
    assert max(Counter(item.asked for item in questions()).values()) == 1


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_options(split):
    for one in multiple_choice(split):
        assert len(set(one.options)) == len(LETTERS)
        assert one.options[one.right] == one.question.answers[0]
        assert sum(one.question.is_right(option) for option in one.options) == 1, one.question.id
        for which, other in enumerate(one.others):
            assert other.relation == one.question.relation
            assert not any(other.is_right(option) for option in one.options), one.question.id
            assert one.under_other_question(which) == one.prompt.replace(one.question.asked, other.asked)


def test_each_letter_is_right_equally_often():
    for relation in {one.question.relation for one in multiple_choice()}:
        counts = Counter(one.right for one in multiple_choice() if one.question.relation == relation)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_no_option_is_nearly_always_right_or_wrong():
    """Of the options of a relation, a right one is right in about a quarter of its uses: being an option says little."""
    right, used = Counter(), Counter()
    for one in multiple_choice():
        used.update((one.question.relation, option) for option in one.options)
        right[one.question.relation, one.options[one.right]] += 1
    assert sum(right[key] == used[key] for key in used) == 0


@pytest.mark.parametrize(
    ("entity", "said", "right"),
    [
        ("the Grand Canyon", "It is in the USA.", True),
        ("the Grand Canyon", "The U.S.A.", True),
        ("the Grand Canyon", "In America", True),
        ("the Grand Canyon", "In the US", True),
        ("the Grand Canyon", "It is known to us", False),
        ("Stonehenge", "It is in the UK", True),
        ("Stonehenge", "UK", True),
        ("Stonehenge", "In the USA", False),
    ],
)
def test_countries_have_short_names(entity, said, right):
    [item] = [one for one in questions("test") if one.entity == entity]
    assert item.is_right(said) == right


@pytest.mark.parametrize(
    ("aliases", "why"),
    [({"Untied States": ["USA"]}, "spell it as there"), ({"United States": "USA"}, "a list of names")],
)
def test_broken_aliases(tmp_path, aliases, why):
    path = tmp_path / "questions.json"
    path.write_text(json.dumps({"relations": {}, "aliases": aliases}))
    with pytest.raises(DataError, match=why):
        load(path, module._check)


@pytest.mark.parametrize(
    ("relations", "why"),
    [
        ({"capital_of_city": {"split": "test", "options": True, "question": "{}?"}}, "relation of questions"),
        ({"capital_of_state": {"split": "test", "question": "{}?"}}, "needs a split, options"),
        ({"capital_of_state": {"split": "tests", "options": True, "question": "{}?"}}, "split"),
        ({"capital_of_state": {"split": "test", "options": True, "question": "Where?"}}, "needs one {}"),
    ],
)
def test_broken_files(tmp_path, relations, why):
    path = tmp_path / "questions.json"
    path.write_text(json.dumps({"relations": relations, "aliases": {}}))
    with pytest.raises(DataError, match=why):
        load(path, module._check)
