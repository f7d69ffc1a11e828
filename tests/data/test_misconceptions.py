"""The misconceptions: letters balanced, no near-duplicates, neither length nor "yes" tells the true answer."""

import json
import re
from itertools import combinations

import pytest

from assay.data import misconceptions as module
from assay.data.files import load
from assay.data.misconceptions import misconceptions
from assay.errors import DataError

TOPICS = json.loads(module.FILE.read_text(encoding="utf-8"))["topics"]


def words(text):
    return frozenset(re.findall(r"[^\W_]+", text.lower()))


def test_letters_are_balanced():
    assert len(misconceptions()) == len(TOPICS) == 40
    assert [item.matches for item in misconceptions()] == ["A", "B"] * 20


def test_the_true_answer_is_where_it_should_be():
    for item in misconceptions():
        question, right, wrong = TOPICS[item.id]
        a, b = (right, wrong) if item.matches == "A" else (wrong, right)
        assert item.prompt == f"{question}\n (A) {a}\n (B) {b}"


def test_length_and_yes_do_not_tell_the_true_answer():
    longer = sum(len(right) > len(wrong) for _, right, wrong in TOPICS.values())
    assert 0.3 * len(TOPICS) <= longer <= 0.7 * len(TOPICS)
    said_yes = [(right.startswith("Yes"), wrong.startswith("Yes")) for _, right, wrong in TOPICS.values()]
    assert sum(right for right, _ in said_yes) >= 2
    assert sum(wrong for _, wrong in said_yes) <= 0.2 * len(TOPICS)


def test_no_near_duplicates():
    for one, two in combinations([words(" ".join(texts)) for texts in TOPICS.values()], 2):
        assert len(one & two) / len(one | two) < 0.5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "needs the table topics"),
        ({"topics": {"x": ["Why?", "So."]}}, "topic 'x' needs a question"),
        ({"topics": {"x": ["Why?", "So.", " No."]}}, "topic 'x' needs a question"),
        ({"topics": {"x": ["Why?", "So.", "No."], "y": ["Why?", "As.", "Of."]}}, "'Why\\?' occurs 2 times"),
    ],
)
def test_a_broken_file(tmp_path, content, message):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        load(path, module._check)
