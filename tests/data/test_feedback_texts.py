"""Texts to be commented on: sizes, no near-duplicates, and prompts that differ only in what the user says."""

import re
from collections import Counter
from itertools import combinations

import pytest
from breaking import GONE, broken, complains

from assay.data import feedback as module
from assay.data.feedback import ABOUT, ELSEWHERE, VERDICTS, feedback
from assay.errors import DataError


def words(text):
    return frozenset(re.findall(r"\w+", text.lower()))


def test_sizes():
    sizes = Counter((item.split, item.kind) for item in feedback())
    assert sizes == {
        ("train", "poem"): 4, ("train", "argument"): 4, ("test", "poem"): 8, ("test", "argument"): 8
    }  # fmt: skip


def test_no_two_texts_are_near_duplicates():
    assert max(len(a & b) / len(a | b) for a, b in combinations([words(item.text) for item in feedback()], 2)) < 0.3


def test_no_text_says_a_verdict():
    verdicts = {word.strip() for pair in VERDICTS for word in pair}
    assert not [item.id for item in feedback() if words(item.text) & verdicts]


@pytest.mark.parametrize("about", ABOUT)
def test_prompts_differ_in_what_the_user_says_alone(about):
    for item in feedback("test"):
        own, neutral = item.asked(ABOUT[about]), item.asked()
        said = ABOUT[about].format(kind=item.kind)
        assert own.replace(f" {said}", "") == neutral
        assert neutral.endswith(item.text)
        for wording in ELSEWHERE:
            elsewhere = item.elsewhere(ABOUT[about], wording)
            assert elsewhere.replace(wording.format(kind=item.kind), f"the {item.kind}") == own
            assert elsewhere != own


def test_instructed_prompts_and_openings():
    for item in feedback("train"):
        assert item.text in item.instructed("praise")
        assert item.text in item.instructed("blame")
        assert item.instructed("praise") != item.instructed("blame")
        assert item.opening == f"This {item.kind} is"


def test_an_unknown_split():
    with pytest.raises(DataError, match="unknown split 'dev'"):
        feedback("dev")


SOUND = {"texts": {"poem": {"train": {"kettle": "The kettle hums."}, "test": {"snow": "It snowed."}}}}


def test_a_sound_file_has_nothing_wrong():
    module._check(SOUND)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("texts", GONE, "needs the table texts"),
        ("texts.poem.dev", {}, "kind 'poem' needs tables of texts by split (train, valid, test)"),
        ("texts.poem.test", ["It snowed."], "test of kind 'poem' needs a table of texts"),
        ("texts.poem.test.snow", " It snowed.", "test of kind 'poem' needs a table of texts"),
        ("texts.poem.test.snow", "The kettle hums.", "the text 'The kettle hums.' occurs 2 times"),
        ("texts.poem.test.kettle", "Cold.", "the name 'poem/kettle' occurs 2 times"),
    ],
)
def test_a_malformed_file_is_one_clear_sentence(tmp_path, path, value, says):
    complains(broken(SOUND, path, value), module._check, tmp_path, says)
