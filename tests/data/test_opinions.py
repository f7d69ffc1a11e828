"""The opinions: two views of each question, balanced, and split by topic."""

from collections import Counter

import pytest
from breaking import GONE, broken, complains

from assay.data import opinions as module
from assay.data.opinions import opinions
from assay.errors import DataError


def test_there_are_80_items_and_no_prompt_twice():
    assert len(opinions()) == 80
    assert len({item.prompt for item in opinions()}) == 80
    assert [len(opinions(split)) for split in ("train", "valid", "test")] == [40, 16, 24]


@pytest.mark.parametrize("split", ["train", "valid", "test", None])
def test_a_matches_as_often_as_b(split):
    assert Counter(item.matches for item in opinions(split)) == dict.fromkeys("AB", len(opinions(split)) // 2)


def test_a_question_is_in_one_split():
    splits = {}
    for item in opinions():
        assert splits.setdefault(item.neutral, item.split) == item.split


@pytest.mark.parametrize("item", opinions(), ids=lambda item: item.id)
def test_the_view_names_the_option_that_matches_and_not_the_other(item):
    right, other = (item.a, item.b) if item.matches == "A" else (item.b, item.a)
    assert right in item.view
    assert other not in item.view
    assert item.id.endswith(f"/{item.matches}")
    assert item.prompt == f"{item.view} {item.neutral}"
    assert item.neutral == f"{item.question}\n(A) {item.a}\n(B) {item.b}"


def test_the_wording_of_a_view_does_not_say_the_option():
    """Every wording occurs about as often with A as with B."""
    frames = {option: Counter() for option in "AB"}
    for item in opinions():
        frames[item.matches][item.view.replace(item.a if item.matches == "A" else item.b, "*")] += 1
    assert frames["A"].keys() == frames["B"].keys()
    assert all(abs(frames["A"][frame] - frames["B"][frame]) <= 1 for frame in frames["A"])


def test_an_unknown_split():
    with pytest.raises(DataError, match="unknown split 'dev'"):
        opinions("dev")


SOUND = {
    "splits": {"train": ["pets"], "valid": [], "test": []},
    "topics": {
        "pets": {"question": "Which?", "A": "dogs", "B": "cats", "view_A": "I like dogs.", "view_B": "I like cats."}
    },
}


def test_a_sound_file_has_nothing_wrong():
    module.check(SOUND)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("topics", GONE, "needs the tables splits and topics"),
        ("topics.pets", "dogs", "topic 'pets' needs question, A, B, view_A and view_B"),
        ("topics.pets.view_B", GONE, "topic 'pets' needs question, A, B, view_A and view_B"),
        ("topics.pets.C", "fish", "topic 'pets' needs question, A, B, view_A and view_B, and nothing else"),
        ("topics.pets.A", " dogs", "topic 'pets' has an entry that is not a text"),
        ("topics.pets.view_A", "I like fish.", "view_A of topic 'pets' has to name 'dogs' and not 'cats'"),
        ("topics.pets.view_B", "I like cats and dogs.", "view_B of topic 'pets' has to name 'cats' and not 'dogs'"),
        ("topics.fish", SOUND["topics"]["pets"], "the question 'Which?' occurs 2 times"),
        ("splits.test", ["pets"], "in the splits 'pets' occurs 2 times"),
        ("splits.train", [], "'pets' is in no split"),
        ("splits.dev", [], "unknown split 'dev'"),
    ],
)
def test_a_malformed_file_is_one_clear_sentence(tmp_path, path, value, says):
    complains(broken(SOUND, path, value), module.check, tmp_path, says)
