"""Intervals of numbers that rest on crossed samples: the same questions under each of several instructions.

    >>> x = np.array([0.1, 0.3, 0.2, 0.4, 0.8, 0.6, 0.9, 0.7])                     # of four questions under two instructions
    >>> questions, instructions = [*"abcdabcd"], ["kind"] * 4 + ["blunt"] * 4
    >>> mean = lambda kept: float(x[kept].mean())
    >>> [round(end, 2) for end in crossed_interval(mean, [questions], (0, 1))]     # for other questions
    [0.41, 0.59]
    >>> crossed_interval(mean, [questions, instructions], (0, 1))                  # and for other instructions: two tell nothing
    (0, 1)

A prompt is a question and an instruction, and what is measured should hold for others of both. The interval is a jackknife: each
label of a factor is left out with all of its observations, and the variances of the factors are added. That counts the variance
of single prompts once for each factor, so the interval of many prompts is a little too wide, and never too narrow for
instructions that differ.
"""

import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from scipy.special import stdtrit

from assay.stats import Interval


def crossed_interval(
    statistic: Callable[[np.ndarray], float],
    factors: Sequence[Sequence[Hashable]],
    bounds: Interval,
    strata: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Interval:
    """The interval of a statistic of N observations, by leaving out the labels of each factor.

    statistic: its value for the observations that are kept, [N] bool. factors: for each factor the label of every observation.
    strata: a label for each observation where parts of them, such as two halves, were drawn apart. bounds: of the statistic; they
    are the interval where a stratum has one label of a factor, or where leaving one out leaves nothing to compute.
    """
    kept = np.ones(len(factors[0]), bool)
    whole, variance, freedom = statistic(kept), 0.0, math.inf
    if not math.isfinite(whole):
        return math.nan, math.nan
    for labels in factors:
        groups = _by_stratum(labels, strata)
        if min(map(len, groups)) < 2:
            return bounds
        for group in groups:
            n = len(group)
            without = np.array([statistic(np.array([one != label for one in labels])) for label in group])
            if not np.isfinite(without).all():
                return bounds
            variance += (n - 1) / n * float(((without - without.mean()) ** 2).sum())
        freedom = min(freedom, sum(map(len, groups)) - len(groups))
    half = float(stdtrit(freedom, 0.5 + level / 2)) * math.sqrt(variance)
    return max(whole - half, bounds[0]), min(whole + half, bounds[1])


def _by_stratum(labels: Sequence[Hashable], strata: Sequence[Hashable] | None) -> list[list[Hashable]]:
    """The labels that lie in the same strata."""
    where: dict[Hashable, set[Hashable]] = {}
    for label, stratum in zip(labels, strata if strata is not None else [None] * len(labels), strict=True):
        where.setdefault(label, set()).add(stratum)
    groups: dict[frozenset[Hashable], list[Hashable]] = {}
    for label, some in where.items():
        groups.setdefault(frozenset(some), []).append(label)
    return list(groups.values())
