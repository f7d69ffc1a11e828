"""Separation: how far apart the states of two kinds of prompts are, along a direction and in all dimensions (in float64).

>>> states = np.array([[3.0, 1.0], [2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
>>> along = project_onto(states, np.array([5.0, 0.0]))         # only the line of the direction matters
>>> along
array([3., 2., 0., 1.])
>>> auroc(along[:2], along[2:]), round(d_prime(along[:2], along[2:]), 2)
(1.0, 2.83)
"""

from collections.abc import Sequence

import numpy as np

from assay.errors import DataError


def project_onto(states: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Coordinates of states [.., E] along the unit vector of a direction [E]: [..]."""
    wide = np.asarray(direction, np.float64)
    return np.asarray(states, np.float64) @ (wide / np.linalg.norm(wide))


def d_prime(positive: np.ndarray, negative: np.ndarray) -> float:
    """Distance of two means in units of the pooled standard deviation (n - 1). DataError for fewer than two values of a kind."""
    if min(len(positive), len(negative)) < 2:
        raise DataError(f"d' needs two values of each kind or more, got {len(positive)} and {len(negative)}")
    spread = np.sqrt((np.var(positive, ddof=1) + np.var(negative, ddof=1)) / 2)
    return float((np.mean(positive) - np.mean(negative)) / max(spread, 1e-12))


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Chance that a positive value is above a negative one, ties counting half (Mann-Whitney)."""
    if not len(positive) or not len(negative):
        raise DataError(f"the area under the curve needs values of both kinds, got {len(positive)} and {len(negative)}")
    return float(pairwise_above(positive, negative).mean())


def folded_aurocs(directions: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Area under the curve of two kinds of states [N, E] along each of D directions [D, E], whichever way they point: [D].

    The larger of the area and 1 less the area, so 0.5 or more: what a direction without a sign of its own can reach.
    """
    areas = np.array([auroc(project_onto(positive, one), project_onto(negative, one)) for one in directions])
    return np.maximum(areas, 1 - areas)


def pairwise_above(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """1 where a positive value is above a negative one, 1/2 for a tie, else 0: [P, N]."""
    a, b = np.asarray(positive)[:, None], np.asarray(negative)[None]
    return (a > b) + 0.5 * (a == b)


def silhouette(positive: np.ndarray, negative: np.ndarray) -> float:
    """Mean silhouette of two clusters of states [N, E]: near 1 for tight, distant clusters, 0 or below for mixed ones."""
    points = np.concatenate([np.asarray(positive, np.float64), np.asarray(negative, np.float64)])
    label = np.array([True] * len(positive) + [False] * len(negative))
    if min(len(positive), len(negative)) < 2:
        raise DataError(f"a silhouette needs two points of each kind or more, got {len(positive)} and {len(negative)}")
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    same = label[:, None] == label[None]
    own = np.where(same, apart, 0.0).sum(axis=1) / (same.sum(axis=1) - 1)
    other = np.where(~same, apart, 0.0).sum(axis=1) / (~same).sum(axis=1)
    return float(((other - own) / np.maximum(np.maximum(own, other), 1e-12)).mean())


def spearman(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> float:
    """Rank correlation, with mean ranks for ties; NaN when `a` or `b` is constant."""
    x, y = _ranks(np.asarray(a, np.float64)), _ranks(np.asarray(b, np.float64))
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / scale) if scale else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    """Mean rank of each value."""
    below = (values[:, None] > values[None]).sum(axis=1)
    ties = (values[:, None] == values[None]).sum(axis=1)
    return below + (ties + 1) / 2
