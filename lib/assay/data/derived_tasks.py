"""Tasks made from tasks: the first or last item of a list (FV-13), and the next item of a series (FV-14).

    >>> from assay.data.tasks import task
    >>> first = list_task(task("antonym"), "first")        # the antonym of the first of three words
    >>> first.name, first.pairs[0]
    ('first-antonym', ('big, wild, smart', 'small'))
    >>> dict(series_task("next").pairs)["Sunday"]
    'Monday'
    >>> ("December", "January") in wraps(series_task("next").pairs)
    True

A *cyclic* series begins again after its last item, and the pair of its last and first items *wraps*. All pairs that wrap are
in the test split: a vector that moves every item by one step in some direction cannot move the last item to the first.
"""

import random
from collections.abc import Iterable
from typing import Literal

from assay.data.files import Split
from assay.data.tasks import Pair, Task
from assay.errors import DataError, unknown

Pick = Literal["first", "last"]
Step = Literal["next", "previous"]

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
CYCLIC: tuple[tuple[str, ...], ...] = (
    DAYS, tuple(day.lower() for day in DAYS), tuple(day[:3] for day in DAYS),
    MONTHS, tuple(month.lower() for month in MONTHS), tuple(month[:3] for month in MONTHS),
    LETTERS, tuple(letter.lower() for letter in LETTERS),
)  # fmt: skip
OPEN: tuple[tuple[str, ...], ...] = (
    ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    (
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "sixth",
        "seventh",
        "eighth",
        "ninth",
        "tenth",
        "eleventh",
        "twelfth",
    ),
    ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV", "XV"),
)


def list_task(task: Task, pick: Pick, length: int = 3, seed: int = 0) -> Task:
    """The task applied to the first or the last item of a list: ("big, tall, wide", "small").

    The items of a list are inputs of one split, and each input is picked once. With the same seed, the lists of "first" and
    "last" over tasks with the same inputs are the same lists in the same order. Raises DataError for another `pick`, and for a
    split with fewer inputs than a list is long (or a list without items).
    """
    if pick not in ("first", "last"):
        raise unknown(DataError, "item of a list", pick, ("first", "last"))
    if length < 1:
        raise DataError(f"a list has 1 or more items, not {length}")
    pairs, splits = [], []
    for split in dict.fromkeys(task.splits):
        of_split = task.split(split)
        if len({given for given, _ in of_split}) < length:
            raise DataError(
                f"task {task.name!r} has {len(of_split)} pairs in its {split} split, too few for lists of {length}"
            )
        for given, output in of_split:
            rest = sorted({other for other, _ in of_split if other != given})
            items = random.Random(f"{seed} {given}").sample(rest, length - 1)
            items = [given, *items] if pick == "first" else [*items, given]
            pairs.append((", ".join(items), output))
            splits.append(split)
    return Task(f"{pick}-{task.name}", tuple(pairs), tuple(splits))


def copy_task(task: Task) -> Task:
    """The inputs of a task, each its own output: with `list_task`, "say the first item"."""
    return Task("copy", tuple((given, given) for given, _ in task.pairs), task.splits)


def series_task(step: Step) -> Task:
    """The next or the previous item of days, months, letters, numbers, ordinals and Roman numerals: about 140 pairs.

    An input that occurs in two series counts in the earlier one ("V" is a letter). Pairs that wrap are in the test split; of
    the others half are in train, a fifth in valid and the rest in test. Raises DataError for an unknown step.
    """
    if step not in ("next", "previous"):
        raise unknown(DataError, "step", step, ("next", "previous"))
    pairs: dict[str, str] = {}
    for series in (*CYCLIC, *OPEN):
        ordered = series if step == "next" else series[::-1]
        for given, output in zip(ordered, (*ordered[1:], ordered[0]), strict=True):
            if series in CYCLIC or given != ordered[-1]:
                pairs.setdefault(given, output)
    wrapping = wraps(tuple(pairs.items()))
    inner = [given for given, output in pairs.items() if (given, output) not in wrapping]
    order = random.Random(step).sample(inner, len(inner))
    split_of: dict[str, Split] = dict.fromkeys(pairs, "test")
    split_of |= {given: _split(i / len(order)) for i, given in enumerate(order)}
    return Task(f"{step}-item", tuple(pairs.items()), tuple(split_of.values()))


def wraps(pairs: Iterable[Pair]) -> frozenset[Pair]:
    """Those of a series task's pairs that step over the end of a cyclic series: ("Sunday", "Monday")."""
    ends = {pair for series in CYCLIC for pair in ((series[-1], series[0]), (series[0], series[-1]))}
    return frozenset(ends.intersection(pairs))


def _split(share: float) -> Split:
    # Not `split_in_order`: it rounds, which would move one item and so change every recorded prompt of a series.
    return "train" if share < 0.5 else "valid" if share < 0.7 else "test"
