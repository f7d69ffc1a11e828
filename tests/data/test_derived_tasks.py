"""Tasks made from tasks: lists whose first or last item is asked for, and series that begin again."""

from collections import Counter

import pytest

from assay.data.derived_tasks import CYCLIC, OPEN, copy_task, list_task, series_task, wraps
from assay.data.tasks import Task, task
from assay.errors import DataError


@pytest.mark.parametrize(("pick", "place"), [("first", 0), ("last", -1)])
def test_a_list_asks_for_the_output_of_one_item(pick, place):
    antonyms = task("antonym")
    made = list_task(antonyms, pick, length=4)
    assert made.name == f"{pick}-antonym"
    for (given, output), split in zip(made.pairs, made.splits, strict=True):
        items = given.split(", ")
        assert len(set(items)) == 4
        assert dict(antonyms.pairs)[items[place]] == output
        assert set(items) <= {given for given, _ in antonyms.split(split)}
    assert sorted(given.split(", ")[place] for given, _ in made.pairs) == sorted(given for given, _ in antonyms.pairs)


def test_lists_over_the_same_inputs_are_the_same_lists():
    antonyms = task("antonym")
    last, copied = list_task(antonyms, "last"), list_task(copy_task(antonyms), "last")
    assert [given for given, _ in last.pairs] == [given for given, _ in copied.pairs]
    assert all(given.endswith(output) for given, output in copied.pairs)


@pytest.mark.parametrize("length", [0, 3])
def test_what_is_no_list_task(length):
    short = Task("short", (("a", "b"), ("c", "d")), ("train", "test"))
    with pytest.raises(DataError, match="'short' has 1 pairs in its train split" if length else "1 or more"):
        list_task(short, "first", length=length)
    with pytest.raises(DataError, match=r"'frist'.*Did you mean first"):
        list_task(short, "frist")


@pytest.mark.parametrize(("step", "way"), [("next", 1), ("previous", -1)])
def test_a_series_steps_and_wraps(step, way):
    made = series_task(step)
    pairs = dict(made.pairs)
    assert len(pairs) == len(made.pairs)
    for series in CYCLIC[:2]:
        for i, item in enumerate(series):
            assert pairs[item] == series[(i + way) % len(series)]
    (open_end,) = {series[-1] for series in OPEN[:1]}
    assert (open_end in pairs) == (step == "previous")
    assert len(wraps(made.pairs)) == 8


def test_pairs_that_wrap_are_for_test_only():
    for step in ("next", "previous"):
        made = series_task(step)
        assert wraps(made.pairs) <= set(made.split("test"))
        sizes = [len(made.split(split)) for split in ("train", "valid", "test")]
        assert all(size > least for size, least in zip(sizes, (60, 20, 40), strict=True))
    assert ("Sunday", "Monday") in wraps(series_task("next").pairs)
    assert ("Monday", "Sunday") in wraps(series_task("previous").pairs)


def test_an_unknown_step():
    with pytest.raises(DataError, match="'following'"):
        series_task("following")


def test_the_splits_of_series_are_those_that_were_recorded():
    """An item that moves changes every prompt of the series: the numbers of each split, and one item at the edge."""
    assert Counter(series_task("next").splits) == {"train": 67, "valid": 27, "test": 48}
    assert Counter(series_task("previous").splits) == {"train": 68, "valid": 27, "test": 48}
    previous = series_task("previous")
    assert dict(zip((given for given, _ in previous.pairs), previous.splits, strict=True))["february"] == "valid"
