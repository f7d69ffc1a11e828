"""Monitoring: does the projection of a prompt's last token predict what the response will show? (Chen et al. 2025, 3.3)

    >>> found = rank_correlation([0.1, 0.4, 0.3, 0.8, 0.9, 0.7], [0, 0, 0, 1, 1, 1], about=["a", "b", "c", "a", "b", "c"])
    >>> round(found.value, 2), found.clusters
    (0.88, 3)
    >>> estimated_mean([1, 0, 1, 1], bounds=(0, 1)).value
    0.75

An *estimate* is a number with its interval; `Metric(**vars(estimate))` records it.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.errors import DataError
from assay.methods.separation import spearman
from assay.stats import Interval, difference_interval, mean_interval


@dataclass(frozen=True)
class Estimate:
    """One measured number; the fields are those of `assay.plugin.Metric`."""

    value: Any
    n: int
    ci: Interval | None
    """None for curves, and for numbers that are no estimates."""
    clusters: int | None = None
    tol: float | None = None
    unit: str = ""
    control: str | None = None


def estimated_mean(
    values: Sequence[float] | np.ndarray,
    bounds: Interval | None = None,
    about: Sequence[Hashable] | None = None,
    *,
    less: Sequence[Sequence[float]] | np.ndarray = (),
    tol: float | None = None,
    control: str | None = None,
) -> Estimate:
    """The mean of values, with its interval; NaN without any.

    bounds: what a value can be. about: equal labels for values that are not independent. less: [draws, N] the values of a
    control that was drawn several times: the mean is then of the differences, and the interval holds the spread of the draws.
    """
    values = [float(value) for value in values]
    groups = None if about is None else len(set(about))
    if not values:
        return Estimate(math.nan, 0, (math.nan, math.nan), groups, tol, control=control)
    drawn = [[float(value) for value in row] for row in less]
    mean = math.fsum(values) / len(values) - (
        math.fsum(map(math.fsum, drawn)) / len(drawn) / len(values) if drawn else 0
    )
    if (len(values) if groups is None else groups) < 2:
        ci = bounds or (-math.inf, math.inf)
    elif drawn:
        ci = difference_interval(values, drawn, bounds, about)
    else:
        ci = mean_interval(values, bounds, about)
    return Estimate(mean, len(values), ci, groups, tol, control=control)


def rank_correlation(
    projections: Sequence[float] | np.ndarray,
    scores: Sequence[float] | np.ndarray,
    about: Sequence[Hashable],
    *,
    tol: float | None = None,
    control: str | None = None,
) -> Estimate:
    """Spearman's correlation over prompts, with a jackknife interval over what they are `about`.

    NaN where projections or scores are all equal. Raises DataError for prompts about fewer than three things.
    """
    x, y, labels = np.asarray(projections, float), np.asarray(scores, float), list(about)
    groups = list(dict.fromkeys(labels))
    if len(groups) < 3:
        raise DataError(
            f"a correlation over prompts needs three things that they are about, or more, got {len(groups)}"
        )
    whole, n = spearman(x, y), len(groups)
    kept = [np.array([label != group for label in labels]) for group in groups]
    pseudo = [n * whole - (n - 1) * spearman(x[keep], y[keep]) for keep in kept]
    ci = (math.nan, math.nan)
    if all(map(math.isfinite, pseudo)):
        low, high = mean_interval(pseudo)
        half = (high - low) / 2  # around the correlation itself, whose range it keeps to
        ci = (max(whole - half, -1.0), min(whole + half, 1.0))
    return Estimate(whole, len(labels), ci, n, tol, control=control)
