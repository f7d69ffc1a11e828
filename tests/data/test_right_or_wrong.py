"""Questions with a right and a wrong answer: sizes, balance, answers that part, and how each form poses them."""

import re
from collections import Counter
from itertools import combinations

import pytest
from breaking import GONE, broken, complains

from assay.data import right_or_wrong as module
from assay.data.knowledge import statements
from assay.data.right_or_wrong import FORMS, HINTS, right_or_wrong
from assay.errors import DataError


def test_there_are_enough_of_each_kind():
    assert len(right_or_wrong("train")) >= 20
    assert len(right_or_wrong("test")) >= 40
    for split, least in (("train", 8), ("test", 12)):
        kinds = Counter(item.kind for item in right_or_wrong(split))
        assert kinds.keys() == {
            "capital_of_country", "capital_of_state", "country_of_landmark", "author_of_book", "trivia", "sum"
        }  # fmt: skip
        assert min(kinds.values()) >= least


def test_no_question_and_no_id_twice():
    for texts in ([item.id for item in right_or_wrong()], [item.asked for item in right_or_wrong()]):
        assert len(texts) == len(set(texts))


def test_no_two_of_our_own_are_near_duplicates():
    """Of the words of two questions of trivia, less than half are shared; no two sums have the same two numbers."""
    trivia = [frozenset(re.findall(r"\w+", item.asked.lower())) for item in right_or_wrong() if item.kind == "trivia"]
    assert max(len(a & b) / len(a | b) for a, b in combinations(trivia, 2)) < 0.5
    sums = [frozenset(item.about.split(" + ")) for item in right_or_wrong() if item.kind == "sum"]
    assert len(sums) == len(set(sums))
    assert all(len(pair) == 2 for pair in sums)


@pytest.mark.parametrize("item", right_or_wrong(), ids=lambda item: item.id)
def test_the_right_answer_is_right_and_the_wrong_one_begins_otherwise(item):
    assert item.right[0].lower() != item.wrong[0].lower()
    if item.kind == "sum":
        a, b = map(int, item.about.split(" + "))
        assert item.right == str(a + b)
        assert abs(int(item.wrong) - a - b) == 10
        assert len(item.right) == len(item.wrong) == 2
    elif item.kind != "trivia":
        true, false = (one for one in statements(item.split) if (one.relation, one.entity) == (item.kind, item.about))
        assert (true.true, false.true) == (True, False)
        assert (item.asked, item.right, item.wrong) == (true.asked, true.stated, false.stated)


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_the_right_answer_is_first_in_every_other_question_of_a_kind(split):
    for kind in {item.kind for item in right_or_wrong(split)}:
        first = [item.right_first for item in right_or_wrong(split) if item.kind == kind]
        assert first == [i % 2 == 0 for i in range(len(first))]


def test_the_forms():
    [item] = [one for one in right_or_wrong() if one.id == "trivia/penguin"]
    words, letters, proposal = (item.posed(form) for form in FORMS)
    assert words.prompt == item.asked
    assert (words.right, words.wrong) == ("The answer is penguin.", "The answer is eagle.")
    assert letters.prompt == f"{item.asked}\n(A) eagle\n(B) penguin"
    assert (letters.right, letters.wrong) == ("(B)", "(A)")
    assert proposal.prompt.startswith(f"Question: {item.asked}\nProposed Answer: eagle\n")
    assert (proposal.right, proposal.wrong) == ("(B)", "(A)")
    [other] = [one for one in right_or_wrong() if one.id == "trivia/heart"]
    assert other.right_first
    assert other.posed("letters").right == "(A)"
    assert "Proposed Answer: heart" in other.posed("proposal").prompt
    assert other.posed("proposal").right == "(A)"


@pytest.mark.parametrize("form", FORMS)
def test_a_hint_stands_behind_the_question_and_changes_nothing_else(form):
    for item in right_or_wrong("test")[::10]:
        hint = HINTS["not right"].format(item.right)
        hinted, bare = item.posed(form, hint), item.posed(form)
        assert f"{item.asked} {hint}" in hinted.prompt
        assert hinted.prompt.replace(f" {hint}", "") == bare.prompt
        assert (hinted.right, hinted.wrong) == (bare.right, bare.wrong)


def test_an_unknown_form_and_split():
    with pytest.raises(DataError, match="unknown form of a question 'word'"):
        right_or_wrong("test")[0].posed("word")
    with pytest.raises(DataError, match="unknown split 'dev'"):
        right_or_wrong("dev")


SOUND = {"trivia": {"train": [["Which?", "ice", "steam"]], "test": [["Who?", "me", "you"]]}}


def test_a_sound_file_has_nothing_wrong():
    module._check(SOUND)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("trivia", GONE, "needs the table trivia"),
        ("trivia.dev", [], "needs the table trivia, with lists by split (train, valid, test)"),
        ("trivia.test.0", ["Who?", "me"], "an entry of trivia is a list of three texts"),
        ("trivia.test.0.1", " me", "an entry of trivia is a list of three texts"),
        ("trivia.test.0.2", "Mine", "the answers 'me' and 'Mine' begin alike"),
        ("trivia.test.0", ["Which?", "me", "you"], "the question 'Which?' occurs 2 times"),
        ("trivia.test.0.1", "ice", "the right answer 'ice' occurs 2 times"),
    ],
)
def test_a_malformed_file_is_one_clear_sentence(tmp_path, path, value, says):
    complains(broken(SOUND, path, value), module._check, tmp_path, says)
