"""The words of sentiment: two labels in equal numbers in every split, no near-duplicates, and files that are refused."""

import json
from itertools import combinations

import pytest
from breaking import GONE, broken, complains

from assay.data import sentiment as module
from assay.data.files import SPLITS
from assay.data.sentiment import LABELS, other_label, sentiment
from assay.errors import DataError

CONTENT = json.loads(module.FILE.read_text(encoding="utf-8"))


def test_there_are_eighty_words_half_of_each_label_in_every_split():
    task = sentiment()
    assert len(task.pairs) == len(dict(task.pairs)) == 80
    for split in SPLITS:
        labels = [label for _, label in task.split(split)]
        assert labels.count("positive") == labels.count("negative") == len(labels) / 2
        assert labels[:4] == ["positive", "negative"] * 2  # in turn: any first n words are balanced


def test_no_word_is_another_with_an_ending_or_a_beginning():
    words = [word for word, _ in sentiment().pairs]
    within = {(a, b) for a, b in combinations(sorted(words, key=len), 2) if a in b}
    assert within == set()
    assert len({word[:5] for word in words}) == len(words)


def test_the_other_label():
    assert [other_label(label) for label in LABELS] == ["negative", "positive"]
    with pytest.raises(DataError, match="positive"):
        other_label("positiv")


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("words", GONE, "needs the tables splits and words"),
        ("words.great", "good", "the label of 'great' is 'good'"),
        ("words.great", "negative", "11 of 24 words of test are positive"),
        ("words.Great", "positive", "'Great' is not one word in small letters"),
        ("words.new", "positive", "'new' is in no split"),
        ("splits.test.0", "grate", "'grate' is in a split and nowhere else"),
    ],
)
def test_a_broken_file_is_refused(path, value, says, tmp_path):
    complains(broken(CONTENT, path, value), module._check, tmp_path, says)
