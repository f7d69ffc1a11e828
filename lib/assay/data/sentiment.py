"""Sentiment of single words: an in-context task with two outputs, "positive" and "negative" (plan V2, phase 3.1).

    >>> from assay.data.in_context import build
    >>> task = sentiment()
    >>> dict(task.pairs)["great"], dict(task.pairs)["sad"]
    ('positive', 'negative')
    >>> build(("great", "positive"), [("cruel", "negative")]).text
    'Q: cruel\\nA: negative\\n\\nQ: great\\nA:'
    >>> {split: len(task.split(split)) for split in ("train", "valid", "test")}
    {'train': 40, 'valid': 16, 'test': 24}

80 words, half of each label in every split, in turn. It is a task like those of `assay.data.tasks`, but not in that list: it has
two outputs only, so half of all answers are right by chance, and examples show little more than these two. No word contains
another one ("happy", "unhappy"), which a model could tell apart by the letters alone.

Todd et al., Function Vectors in Large Language Models, ICLR 2024, arXiv 2310.15213 have sentences of reviews; the plan has single
words. The words are our own choice.
"""

from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from assay.data import files
from assay.data.files import SPLITS, check_splits, is_table, split_by_name
from assay.data.tasks import Task
from assay.errors import DataError, unknown

FILE = Path(__file__).with_name("sentiment.json")

Label = Literal["positive", "negative"]
LABELS: tuple[Label, ...] = get_args(Label)


@cache
def sentiment() -> Task:
    """The task; its pairs are a word and its label."""
    content = files.load(FILE, _check)
    split_of = split_by_name(content["splits"])
    return Task("sentiment", tuple(content["words"].items()), tuple(split_of[word] for word in content["words"]))


def other_label(label: str) -> Label:
    """The other one of the two. Raises DataError for what is no label."""
    if label not in LABELS:
        raise unknown(DataError, "label of sentiment", label, LABELS)
    return LABELS[label == LABELS[0]]


def file_hash() -> str:
    """The version of the words: 12 hex digits, recorded beside every number measured with them."""
    return files.short_hash(FILE)


def _check(content: Any) -> None:
    """Raise DataError for the first thing wrong with the content of `sentiment.json`."""
    if not is_table(content, splits=dict, words=dict):
        raise DataError("needs the tables splits and words")
    for word, label in content["words"].items():
        if label not in LABELS:
            raise DataError(f"the label of {word!r} is {label!r}, and has to be {' or '.join(LABELS)}")
        if not (word.isalpha() and word.islower()):
            raise DataError(f"{word!r} is not one word in small letters")
    check_splits(content["splits"], content["words"])
    for split in SPLITS:
        positive = sum(content["words"][word] == "positive" for word in content["splits"][split])
        if 2 * positive != len(content["splits"][split]):
            raise DataError(f"{positive} of {len(content['splits'][split])} words of {split} are positive, not half")
