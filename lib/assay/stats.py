"""Intervals and tests: how far a measured number may be from the true one, given what it rests on.

    >>> low, high = wilson(18, 30)                             # the rate 18 of 30, and its interval
    >>> round(low, 3), round(high, 3)
    (0.423, 0.754)
    >>> low, high = mean_interval([0.2, 0.9, 0.4, 0.5], (0, 1))    # a mean of numbers between 0 and 1
    >>> low < 0.5 < high
    True
    >>> low, high = auroc_interval(1.0, 24, 24)                # even a perfect separation has an interval
    >>> round(low, 2), high
    (0.92, 1.0)
    >>> sign_test([0.1, 0.3, 0.2])                             # p-value: are differences above 0 more often than below?
    0.125

Every interval is two-sided at `level`, and becomes the `ci` of a `Metric`. The same numbers give the same interval. An interval
has the width that the number of observations gives, also where all of them are equal.

A *cluster* is a group of observations that are not independent: translations of one request, queries with one bridge, statements
about one entity. `clusters`, a label for each observation, makes an interval as wide as the number of clusters asks for.
tests/test_intervals.py simulates how often these intervals contain the true value: docs/statistics.md has the table.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from math import comb
from statistics import NormalDist

Interval = tuple[float, float]

EDITION = 4
"""Raised whenever the same numbers would give another interval. It is recorded: an update never keeps an interval of another."""

ADDED = 1.0
"""Weight of the observation that `mean_interval` adds at either bound: the interval of a constant sample has a width."""


def wilson(hits: float, n: float, level: float = 0.95) -> Interval:
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


def rate_interval(flags: Sequence[bool], clusters: Sequence[Hashable] | None = None, level: float = 0.95) -> Interval:
    """The Wilson interval of the rate of true `flags`, at the effective n of clustered observations (Korn and Graubard 1998).

    The effective n is n over the design effect, at most n, and the number of clusters when all flags are equal.
    """
    n, hits = len(flags), sum(map(bool, flags))
    if clusters is None or n == 0:
        return wilson(hits, n, level)
    rate, groups = hits / n, _groups([float(bool(flag)) for flag in flags], clusters)
    C = len(groups)
    if C < 2:
        return 0.0, 1.0
    variance = C / (C - 1) * math.fsum(math.fsum(value - rate for value in group) ** 2 for group in groups) / n**2
    effective = rate * (1 - rate) / variance if variance and 0 < rate < 1 else C
    z, t = NormalDist().inv_cdf(0.5 + level / 2), _student(C - 1, level)
    effective = min(n, effective) * (z / t) ** 2  # the variance itself is estimated, from C clusters
    return wilson(rate * effective, effective, level)


def mean_interval(
    values: Sequence[float],
    bounds: tuple[float, float] | None = None,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Interval:
    """Student's interval of the mean of `values`, with one observation added at either of the `bounds` of what they can be.

    bounds: (0, 1) for rates, (-1, 1) for differences of rates; None for numbers without bounds: when all of them are equal, they
    say nothing about their spread, and the interval is (-inf, inf).
    Raises ValueError for fewer than two values (or clusters), and for a value out of bounds.
    """
    groups = _groups(values, clusters)
    C, n = len(groups), len(values)
    if C < 2:
        raise ValueError(
            f"an interval of a mean needs two {'values' if clusters is None else 'clusters'} or more, got {C}"
        )
    weights = [len(group) for group in groups]
    means = [math.fsum(group) / len(group) for group in groups]
    if bounds is not None:
        low, high = bounds
        if out := [value for value in values if not low <= value <= high]:
            raise ValueError(f"the value {out[0]} is not within {bounds}")
        means, weights = [*means, low, high], [*weights, ADDED * n / C, ADDED * n / C]
    total = math.fsum(weights)
    mean = math.fsum(w * m for w, m in zip(weights, means, strict=True)) / total
    square = math.fsum((w * (m - mean)) ** 2 for w, m in zip(weights, means, strict=True)) / total**2
    freedom = total * C / n - 1  # with weights in clusters: C, or C + 2 ADDED
    half = _student(freedom, level) * math.sqrt(square * (freedom + 1) / freedom)
    if bounds is None:
        return (mean - half, mean + half) if max(means) > min(means) else (-math.inf, math.inf)
    return max(mean - half, bounds[0]), min(mean + half, bounds[1])


def difference_interval(
    effects: Sequence[float],
    controls: Sequence[Sequence[float]],
    bounds: tuple[float, float] | None = None,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Interval:
    """The interval of mean effect minus mean control, paired by prompt; the control was drawn several times.

    effects: [N]; controls: [draws, N], one row for each draw of the control's own randomness (a random direction, a shuffle). The
    interval contains the variance between prompts, and that of one further draw from the mean of the draws: an effect that is
    nothing special is one more draw. Raises ValueError as `mean_interval`.
    """
    if len(controls) < 2 or any(len(draw) != len(effects) for draw in controls):
        raise ValueError(
            f"a control needs two draws or more of {len(effects)} values each, got {[len(d) for d in controls]}"
        )
    paired = [e - math.fsum(column) / len(column) for e, *column in zip(effects, *controls, strict=True)]
    low, high = mean_interval(paired, bounds, clusters, level)
    draws = [math.fsum(draw) / len(draw) for draw in controls]
    D, middle = len(draws), math.fsum(draws) / len(draws)
    variance = math.fsum((draw - middle) ** 2 for draw in draws) / (D - 1)
    between = _student(D - 1, level) * math.sqrt(variance * (1 + 1 / D))
    centre, half = (low + high) / 2, math.hypot((high - low) / 2, between)
    least, most = bounds or (-math.inf, math.inf)
    return max(centre - half, least), min(centre + half, most)


def auroc_interval(area: float, positives: float, negatives: float, level: float = 0.95) -> Interval:
    """The interval of an area under the ROC curve, from the numbers of both kinds (Newcombe 2006, method 5).

    positives, negatives: numbers of independent values, so of clusters where values are clustered. An area of 1 has an interval
    too. Raises ValueError for a number below 1 and for an area outside [0, 1].
    """
    if not (0 <= area <= 1 and positives >= 1 and negatives >= 1):
        raise ValueError(f"an area of {area} from {positives} and {negatives} values is none")
    if area < 0.5:
        low, high = auroc_interval(1 - area, negatives, positives, level)
        return 1 - high, 1 - low
    z, more = NormalDist().inv_cdf(0.5 + level / 2), (positives + negatives) / 2 - 1

    def within(true: float) -> bool:
        spread = (
            true * (1 - true) * (1 + more * ((1 - true) / (2 - true) + true / (1 + true))) / (positives * negatives)
        )
        return (area - true) ** 2 <= z * z * spread

    return _edge(within, area, 0.0), 1.0 if area == 1 else _edge(within, area, 1.0)


def _edge(within: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where `within` ends between two points, to 2**-50."""
    for _ in range(50):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if within(middle) else (inside, middle)
    return inside


def _student(freedom: float, level: float) -> float:
    """The quantile of Student's t for a two-sided interval."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + level / 2))


def _groups(values: Sequence[float], clusters: Sequence[Hashable] | None) -> list[list[float]]:
    """The values of each cluster; each value alone without clusters."""
    if clusters is None:
        return [[float(value)] for value in values]
    if len(clusters) != len(values):
        raise ValueError(f"{len(values)} values need as many labels of clusters, got {len(clusters)}")
    groups: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        groups.setdefault(cluster, []).append(float(value))
    return list(groups.values())


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float:
    """The p-value of McNemar's exact one-sided test: is `first` true where `second` is not more often than the reverse?"""
    return sign_test([bool(a) - bool(b) for a, b in zip(first, second, strict=True)])


def sign_test(differences: Sequence[float]) -> float:
    """The p-value of the exact one-sided sign test: are the differences above 0 more often than by chance?

    Zeros are left out, as is usual; 1.0 when nothing is left.
    """
    above, below = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    n = above + below
    return sum(comb(n, k) for k in range(above, n + 1)) / 2**n
