"""Areas under the curve of two predictors on the same answers, and areas over pairs of one group alone.

>>> right = [True, True, True, False, False, False]
>>> found = areas_beside([5, 4, 3, 2, 1, 0], [5, 0, 3, 2, 1, 4], right)         # two predictors of the same six answers
>>> round(found.area, 2), round(found.other, 2), round(found.difference, 2)
(1.0, 0.56, 0.44)
>>> easy = ["capitals", "capitals", "authors", "capitals", "authors", "authors"]
>>> area_in_groups([5, 4, 0, 6, 3, 2], right, easy)                             # only pairs of one relation count
0.0

A predictor says of each answer how likely it is to be right; its area is the chance that a right answer is above a wrong one.
Questions of one relation may be easier than those of another, and whatever tells the relations apart would then part right from
wrong: with `groups`, a right and a wrong answer are compared if they are of one group. Then answers count by their pairs, those
without one not at all, and an area rests on fewer than all answers: `effective_numbers` says on how many equal ones.

>>> effective_numbers([True, False, False, True], ["a", "a", "a", "b"])                 # of the two right answers one has pairs
(1.0, 2.0)
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from assay.errors import DataError
from assay.methods.separation import pairwise_above
from assay.stats import Interval, mean_interval

Scores = Sequence[float] | np.ndarray
Labels = Sequence[Hashable]


@dataclass(frozen=True)
class AreasBeside:
    """Areas under the curve of two predictors on the same answers."""

    area: float
    other: float
    interval: Interval
    """Of the difference, paired by answer."""

    @property
    def difference(self) -> float:
        """The first area less the other one."""
        return self.area - self.other


def area_in_groups(scores: Scores, right: Sequence[bool] | np.ndarray, groups: Labels | None = None) -> float:
    """Area under the curve of right against wrong answers, over the pairs of one group. DataError without a pair."""
    wins, pairs = _wins(scores, right, groups)
    return float(wins[pairs].mean())


def effective_numbers(
    right: Sequence[bool] | np.ndarray, groups: Labels | None = None, clusters: Labels | None = None
) -> tuple[float, float]:
    """How many right and how many wrong answers of equal weight tell as much about an area as those at hand (Kish 1965).

    An answer weighs as its share of all pairs, and the answers of one cluster together; the number is 1 over the sum of squared
    weights. groups: as in `area_in_groups`. clusters: a label for each answer, equal where they are not independent. (0, 0)
    without a pair.
    """
    true = np.asarray(right, bool)
    pairs, names = _pairs(true, groups), _clusters(true, clusters)
    numbers = []
    for axis, kind in ((1, true), (0, ~true)):
        _, cluster = np.unique(names[kind], return_inverse=True)
        weights = np.bincount(cluster, weights=pairs.sum(axis=axis))
        squares = np.square(weights).sum()
        numbers.append(float(weights.sum() ** 2 / squares) if squares else 0.0)
    return numbers[0], numbers[1]


def areas_beside(
    scores: Scores,
    others: Scores,
    right: Sequence[bool] | np.ndarray,
    groups: Labels | None = None,
    clusters: Labels | None = None,
) -> AreasBeside:
    """Areas under the curve of two predictors of N answers, right against wrong, and the interval of their difference.

    groups: as in `area_in_groups`. clusters: a label for each answer, equal where they are not independent. The interval rests on
    how much oftener each right answer, and each wrong one, is in order under the first predictor (DeLong's components), weighted
    by its pairs; those of right and of wrong answers are put together by squares. It has a width for two areas of 1, too. Raises
    DataError unless right and wrong answers of two clusters or more have a pair.
    """
    (wins, pairs), (other_wins, _) = (_wins(one, right, groups) for one in (scores, others))
    true = np.asarray(right, bool)
    names = _clusters(true, clusters)
    area, other = float(wins[pairs].mean()), float(other_wins[pairs].mean())
    down = up = 0.0
    oftener, less = (wins - other_wins)[pairs].tolist(), area - other
    for kind, place in zip((true, ~true), np.nonzero(pairs), strict=True):
        labels = names[kind][place].tolist()
        if len(set(labels)) < 2:
            raise DataError(
                "areas are compared on two right and two wrong answers or more that have a pair in their group"
            )
        low, high = mean_interval(oftener, (-1, 1), labels)  # each pair is a value, so clusters weigh as their pairs
        down, up = down + (less - low) ** 2, up + (high - less) ** 2
    return AreasBeside(area, other, (float(max(-1.0, less - down**0.5)), float(min(1.0, less + up**0.5))))


def _wins(scores: Scores, right: Sequence[bool] | np.ndarray, groups: Labels | None) -> tuple[np.ndarray, np.ndarray]:
    """For right answers by wrong ones: 1 where the right one is above, 1/2 for a tie; and which pairs are of one group."""
    values, true = np.asarray(scores, np.float64), np.asarray(right, bool)
    if values.shape != true.shape or (groups is not None and len(groups) != len(true)):
        raise DataError(f"each answer has a score, a truth and perhaps a group, got {values.shape} and {true.shape}")
    pairs = _pairs(true, groups)
    if not pairs.any():
        raise DataError("the area under the curve needs a right and a wrong answer in one group")
    return pairwise_above(values[true], values[~true]), pairs


def _pairs(true: np.ndarray, groups: Labels | None) -> np.ndarray:
    """For right answers by wrong ones: whether they are of one group."""
    names = np.array(["" if groups is None else str(one) for one in (true if groups is None else groups)])
    return names[true][:, None] == names[~true][None]


def _clusters(true: np.ndarray, clusters: Labels | None) -> np.ndarray:
    """The name of each answer's cluster; without clusters each is its own."""
    return np.array([str(one) for one in (range(len(true)) if clusters is None else clusters)])
