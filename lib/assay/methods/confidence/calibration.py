"""Calibration: do answers given a probability p come true in a share p of cases? (Kadavath et al. 2022, section 3)

    >>> rng = np.random.default_rng(0)
    >>> stated = rng.uniform(0.3, 1.0, 400)
    >>> came_true = rng.uniform(size=400) < stated ** 2                     # stated too high
    >>> curve = reliability_curve(stated, came_true, bins=4)
    >>> [(round(one.stated, 2), one.n, round(one.share, 2), one.high < one.stated) for one in curve]
    [(0.39, 100, 0.12, True), (0.59, 100, 0.29, True), (0.77, 100, 0.59, True), (0.93, 100, 0.86, True)]
    >>> error, by_chance = expected_calibration_error(curve), chance_calibration_errors(stated, rng, bins=4)
    >>> error > np.quantile(by_chance, 0.95) > np.mean(by_chance) > 0
    np.True_
    >>> parts = brier_parts(stated, came_true, bins=4)
    >>> bool(np.isclose(parts.total, np.mean((stated - came_true) ** 2)))
    True
    >>> round(fit_temperature(np.log([[9, 1], [9, 1], [9, 1]]), [0, 1, 0]), 2)    # two of three come true, at a stated 0.9
    3.17

The words:

    reliability curve   the answers sorted by stated probability, in bins of equal count: mean stated probability against the
                        share that came true, with its Wilson interval
    calibration error   mean distance of the two over bins (ECE), weighted by counts
    its bias            a distance is never below 0, so the error of perfectly stated probabilities is above 0, the more the
                        fewer answers a bin has. `chance_calibration_errors` are the errors of outcomes drawn from the stated
                        probabilities themselves: what the same answers would give if the probabilities were right
    Brier parts         the Brier score is reliability - resolution + uncertainty + rest: the squared distance of curve and
                        diagonal, the variance of the shares, the variance of all outcomes, and what is lost by taking a
                        bin's mean for each probability in it (0 if all in a bin are equal)
    temperature         log-probabilities are divided by it, which moves none of the ranks; above 1 for an overconfident model

The functions run no model. Bins of equal count have as much to say everywhere; bins of equal width (`choices`) are the paper's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from assay.errors import DataError
from assay.methods.confidence.choices import squared_errors
from assay.methods.distributions import log_probs
from assay.stats import wilson

COLDEST, HOTTEST = 0.02, 50.0
"""The temperatures that are tried."""


@dataclass(frozen=True)
class Bin:
    """One point of a reliability curve."""

    stated: float
    """Mean stated probability."""
    share: float
    """Share that came true."""
    n: int
    low: float
    """Ends of the Wilson interval of the share."""
    high: float


@dataclass(frozen=True)
class BrierParts:
    """The Brier score in parts; each is in squared probability."""

    reliability: float
    resolution: float
    uncertainty: float
    rest: float

    @property
    def total(self) -> float:
        """The Brier score."""
        return self.reliability - self.resolution + self.uncertainty + self.rest


def reliability_curve(
    p: Sequence[float] | np.ndarray, came_true: Sequence[bool] | np.ndarray, bins: int = 10
) -> list[Bin]:
    """The reliability curve of N probabilities, in bins of equal count from the lowest to the highest; at most N bins.

    Answers with one probability are never parted, so bins may be fewer and unequal. Raises DataError for a number outside 0 to
    1, unless each probability has its outcome, and for less than one bin.
    """
    stated, true = np.asarray(p, np.float64), np.asarray(came_true, bool)
    return [
        Bin(float(stated[some].mean()), float(true[some].mean()), len(some), *wilson(int(true[some].sum()), len(some)))
        for some in _bins(stated, true, bins)
    ]


def expected_calibration_error(curve: Sequence[Bin]) -> float:
    """Mean |stated - share| over the answers of a curve; see the module on its bias. DataError for an empty curve."""
    if not curve:
        raise DataError("a calibration error needs a curve of one bin or more")
    return float(sum(one.n * abs(one.stated - one.share) for one in curve) / sum(one.n for one in curve))


def chance_calibration_errors(
    p: Sequence[float] | np.ndarray, rng: np.random.Generator, *, bins: int = 10, draws: int = 999
) -> np.ndarray:
    """Calibration errors of outcomes drawn from the probabilities themselves, [draws]: their mean is the bias."""
    stated = np.asarray(p, np.float64)
    drawn = rng.uniform(size=(draws, len(stated))) < stated
    places = _bins(stated, np.zeros(len(stated), bool), bins)
    off = [np.abs((stated[some] - drawn[:, some]).sum(axis=1)) for some in places]
    return np.sum(off, axis=0) / len(stated)


def calibration_error_interval(
    p: Sequence[float] | np.ndarray,
    came_true: Sequence[bool] | np.ndarray,
    rng: np.random.Generator,
    *,
    bins: int = 10,
    draws: int = 999,
) -> tuple[float, float]:
    """95 % interval of the calibration error from answers drawn again with replacement, turned about the error itself.

    Drawn answers have a larger error than those they are drawn from, as those have than the truth: so the quantiles are turned
    (the "basic" bootstrap). The ends are kept to 0 and 1. Raises as `reliability_curve`.
    """
    stated, true = np.asarray(p, np.float64), np.asarray(came_true, bool)
    error = expected_calibration_error(reliability_curve(stated, true, bins))
    drawn = np.empty(draws)
    for i in range(draws):
        some = rng.integers(len(stated), size=len(stated))
        off = (stated - true)[some]
        drawn[i] = sum(abs(off[place].sum()) for place in _bins(stated[some], true[some], bins)) / len(off)
    low, high = np.quantile(drawn, [0.975, 0.025])
    return float(np.clip(2 * error - low, 0, error)), float(np.clip(2 * error - high, error, 1))


def brier_parts(p: Sequence[float] | np.ndarray, came_true: Sequence[bool] | np.ndarray, bins: int = 10) -> BrierParts:
    """The Brier score of N probabilities in its parts (Murphy 1973), in bins of equal count. Raises as `reliability_curve`."""
    curve, base = reliability_curve(p, came_true, bins), float(np.mean(np.asarray(came_true, bool)))
    weight = np.array([one.n for one in curve]) / len(p)
    stated, share = (np.array([getattr(one, name) for one in curve]) for name in ("stated", "share"))
    parts = (weight @ (stated - share) ** 2, weight @ (share - base) ** 2, base * (1 - base))
    whole = float(squared_errors(p, came_true).mean())
    return BrierParts(*map(float, parts), rest=float(whole - (parts[0] - parts[1] + parts[2])))


def fit_temperature(logits: np.ndarray | Sequence[Sequence[float]], outcomes: Sequence[int] | np.ndarray) -> float:
    """The temperature at which the outcomes, one of K options each, are likeliest under logits [N, K] divided by it.

    Between `COLDEST` and `HOTTEST`: if all outcomes are the likeliest options, no temperature is cold enough. Raises DataError
    for no answers, and unless each has its outcome.
    """
    wide, right = np.asarray(logits, np.float64), np.asarray(outcomes, int)
    if wide.ndim != 2 or not len(wide) or right.shape != wide.shape[:1]:
        raise DataError(f"a temperature needs logits [N, K] with N outcomes, got {wide.shape} and {right.shape}")
    # In the inverse temperature the loss is convex; the search is over its logarithm, where it has one minimum still.
    loss = lambda log_t: -log_probs(wide / np.exp(log_t))[np.arange(len(right)), right].mean()  # noqa: E731
    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def _bins(p: np.ndarray, came_true: np.ndarray, bins: int) -> list[np.ndarray]:
    """Indices of the answers of each bin. Equal probabilities are in one bin, that of the first of them."""
    squared_errors(p, came_true)  # the same errors for what is no probability
    if bins < 1:
        raise DataError(f"a reliability curve needs one bin or more, got {bins}")
    order = np.argsort(p, kind="stable")
    place = np.minimum(np.arange(len(p)) * bins // len(p), bins - 1)
    _, first = np.unique(p[order], return_index=True)
    place = np.repeat(place[first], np.diff([*first, len(p)]))
    return [order[place == i] for i in np.unique(place)]
