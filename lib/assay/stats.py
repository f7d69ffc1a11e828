"""Intervals and tests: how far a measured rate or mean may be from the true one, given how many prompts it rests on.

    >>> low, high = wilson(18, 30)                             # the rate 18 of 30, and its interval
    >>> round(low, 3), round(high, 3)
    (0.423, 0.754)
    >>> low, high = bootstrap_mean([0.2, 0.9, 0.4, 0.5])       # of a paired difference: give the differences
    >>> low < 0.5 < high
    True
    >>> sign_test([0.1, 0.3, 0.2])                             # p-value: are differences above 0 more often than below?
    0.125
    >>> page_trend([[2, 3, 5], [1, 4, 6]])                     # p-value: do the values rise along the row?
    0.027777777777777776

Every interval is two-sided at `level`, and becomes the `ci` of a `Metric`. The same numbers give the same interval. SciPy is
not used: it imports more slowly than recorded claims are judged, and its exact trend test does not allow ties.
"""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from math import comb
from statistics import NormalDist


def wilson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of the rate `hits / n`; (0, 1), which supports no claim, when `n` is 0.

    Keeps its coverage at rates near 0 and 1 and at small n, where hits/n +- 2 standard errors leaves [0, 1].
    Raises ValueError unless 0 <= hits <= n.
    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} of {n} is not a rate")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + level / 2)
    rate = hits / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (rate * (1 - rate) / n + z * z / (4 * n * n)) ** 0.5
    # At 0 of n and n of n the end is exact; rounding must not push it past the rate.
    return (0.0 if hits == 0 else centre - half), (1.0 if hits == n else centre + half)


def bootstrap_mean(
    values: Sequence[float], level: float = 0.95, seed: int = 0, resamples: int = 10_000
) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean of `values`, from a fixed seed.

    Raises ValueError for fewer than two values: one value says nothing about its own spread.
    """
    import numpy as np

    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size < 2:
        raise ValueError(f"an interval of a mean needs two values or more in one list, got shape {sample.shape}")
    rng = np.random.default_rng(seed)
    chunk = max(1, 1_000_000 // sample.size)  # bounds the memory of the index table
    means = np.concatenate(
        [
            sample[rng.integers(0, sample.size, (min(chunk, resamples - start), sample.size))].mean(axis=1)
            for start in range(0, resamples, chunk)
        ]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def sign_test(differences: Sequence[float]) -> float:
    """The p-value of the exact one-sided sign test: are the differences above 0 more often than by chance?

    Zeros are left out, as is usual; 1.0 when nothing is left.
    """
    above, below = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    n = above + below
    return sum(comb(n, k) for k in range(above, n + 1)) / 2**n


def page_trend(rows: Sequence[Sequence[float]]) -> float:
    """The p-value of Page's trend test (1963): do the values of each row rise from the first column to the last?

    Every row is one subject measured under each of the k ordered conditions. Exact: L, the sum over rows and columns of
    column number times rank within the row, against its distribution when each row's values are in random order; equal
    values share their mean rank. 1.0 without rows. Raises ValueError for rows of different or no lengths, or with NaN.
    """
    if len({len(row) for row in rows}) > 1 or not all(len(row) for row in rows):
        raise ValueError("every row of a trend test needs the same number of values, at least one")
    if any(value != value for row in rows for value in row):
        raise ValueError("a trend test takes no missing values: leave such rows out, and count them")
    observed, chances = 0, {0: 1.0}
    for row in rows:
        ranks = _doubled_ranks(row)
        observed += _page(ranks)
        orders = Counter(_page(order) for order in permutations(ranks))
        total = sum(orders.values())
        after: dict[int, float] = {}
        for so_far, chance in chances.items():
            for more, ways in orders.items():
                after[so_far + more] = after.get(so_far + more, 0.0) + chance * ways / total
        chances = after
    return min(1.0, math.fsum(chance for value, chance in chances.items() if value >= observed))


def _page(ranks: Sequence[int]) -> int:
    return sum(column * rank for column, rank in enumerate(ranks, 1))


def _doubled_ranks(row: Sequence[float]) -> list[int]:
    """Twice the rank of each value, 1 the smallest, equal ones at their mean: whole numbers, so that sums are exact."""
    return [2 * sum(other < value for other in row) + sum(other == value for other in row) + 1 for value in row]
