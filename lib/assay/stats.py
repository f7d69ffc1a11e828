"""Intervals: how far a measured rate or mean may be from the true one, given how many prompts it rests on.

    wilson(18, 30)                     # (0.423, 0.754): 18 of 30 prompts
    bootstrap_mean([0.2, 0.9, ...])    # (low, high) of the mean; the same numbers give the same interval
    bootstrap_mean([a - b ...])        # of a paired difference: give the differences

Every interval is two-sided at `level`, and becomes the `ci` of a `Metric`. No MLX here.
"""

from collections.abc import Sequence
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
