"""Probes: linear directions in states that tell two kinds of prompts apart, found with labels and without.

>>> rng = np.random.default_rng(0)
>>> true, truth = np.arange(40) % 2 == 0, np.eye(6)[2]
>>> states = rng.standard_normal((40, 6)) + np.where(true, 2.0, -2.0)[:, None] * truth
>>> probe = mass_mean_probe(states, true)
>>> float(np.mean((probe.scores(states) > 0) == true)), probe.direction.shape
(1.0, (6,))
>>> swap = (rng.random(20) < 0.5)[:, None]                       # pairs: one of the two is true, and not said which
>>> pairs = [np.where(swap, states[one], states[~one]) for one in (true, ~true)]
>>> round(abs(ccs_probe(*pairs).cosine(probe)), 1)
1.0

A probe is a direction and a bias; a *score* is the state's product with the direction, plus the bias, and above 0 for true.

    mass_mean_probe      difference of the two means; the bias puts 0 halfway between them
    mass_mean_iid_probe  the same, through the inverse of the covariance around the means: for states of the same distribution
    logistic_probe       logistic regression with an L2 penalty
    component_probe      first principal component of all states; labels are used for its sign alone
    contrast_probe       first principal component of the differences of pairs, about 0; it points to the first of each pair
    ccs_probe            contrast-consistent search, on pairs of which one is true: no labels, so its sign is arbitrary
    signed               a probe turned so that it points to true in labelled states

Marks and Tegmark 2023 (arXiv:2310.06824, section 5: mass-mean, both forms); Zou et al. 2023 (arXiv:2310.01405, section 3: the
component of differences); Burns et al. 2022 (arXiv:2212.03827, section 2: CCS). All is computed in float64 and deterministic. The
papers fit by stochastic steps; here both losses are minimised by exact methods, with a penalty in the place of early stopping.
States of different prompts differ in more than truth, so the papers centre them for each kind of prompt, see `centred`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from assay.errors import DataError


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear probe of states."""

    direction: np.ndarray
    """[E] float64, of any length."""
    bias: float = 0.0

    def scores(self, states: np.ndarray) -> np.ndarray:
        """Score of each state [.., E]: [..] float64, above 0 for true."""
        return np.asarray(states, np.float64) @ self.direction + self.bias

    def cosine(self, other: "Probe") -> float:
        """Cosine of two probes' directions."""
        lengths = np.linalg.norm(self.direction) * np.linalg.norm(other.direction)
        return float(self.direction @ other.direction / lengths)


def centred(states: np.ndarray) -> np.ndarray:
    """States [N, .., E] of one kind of prompts, less their mean over the N: float64."""
    wide = np.asarray(states, np.float64)
    return wide - wide.mean(axis=0)


def mass_mean_probe(states: np.ndarray, true: Sequence[bool] | np.ndarray) -> Probe:
    """Mean of the true states [N, E] less the mean of the false ones. Raises DataError unless there are both."""
    positive, negative = _kinds(states, true)
    return _halfway(positive.mean(axis=0) - negative.mean(axis=0), positive, negative)


def mass_mean_iid_probe(states: np.ndarray, true: Sequence[bool] | np.ndarray, *, tolerance: float = 1e-3) -> Probe:
    """The mass-mean direction through the pseudo-inverse of the covariance around both means.

    tolerance: the least eigenvalue that is inverted, as a share of the largest (the paper's code: 1e-3 in squared units of the
    stream). Raises DataError as `mass_mean_probe`.
    """
    positive, negative = _kinds(states, true)
    around = np.concatenate([centred(positive), centred(negative)])
    # The eigenvectors of the covariance, which is never formed: it has E^2 entries.
    _, singular, axes = np.linalg.svd(around, full_matrices=False)
    variance = singular**2 / len(around)
    kept = variance > tolerance * variance.max() if variance.max() > 0 else np.zeros(len(variance), bool)
    difference = positive.mean(axis=0) - negative.mean(axis=0)
    if not kept.any():
        return _halfway(difference, positive, negative)
    return _halfway(axes[kept].T @ (axes[kept] @ difference / variance[kept]), positive, negative)


def logistic_probe(states: np.ndarray, true: Sequence[bool] | np.ndarray, *, penalty: float = 0.1) -> Probe:
    """Logistic regression by Newton's method, with a bias that is not penalised.

    penalty: of half the squared weights, beside the mean loss of a state, for states scaled to a mean squared distance of 1 from
    their mean. Raises DataError as `mass_mean_probe`, and for a penalty of 0 or less: separable states have no best weights.
    """
    _kinds(states, true)
    if not penalty > 0:
        raise DataError(f"logistic regression needs a penalty above 0, got {penalty}")
    rows, axes, scale, mean = _reduced(states)
    x = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    y, ridge, w = np.asarray(true, np.float64), np.full(x.shape[1], penalty), np.zeros(x.shape[1])
    ridge[-1] = 1e-9
    loss = lambda w: np.logaddexp(0.0, np.where(y > 0, -1, 1) * (x @ w)).mean() + (ridge * w * w).sum() / 2  # noqa: E731
    for _ in range(100):
        p = _logistic(x @ w)
        gradient = x.T @ (p - y) / len(y) + ridge * w
        if np.abs(gradient).max() < 1e-10:
            break
        step = np.linalg.solve((x.T * (p * (1 - p))) @ x / len(y) + np.diag(ridge), gradient)
        size = 1.0
        while loss(w - size * step) > loss(w) and size > 1e-6:
            size /= 2
        w = w - size * step
    direction = axes.T @ w[:-1] / scale
    return Probe(direction, float(w[-1] - mean @ direction))


def component_probe(states: np.ndarray, true: Sequence[bool] | np.ndarray, *, component: int = 0) -> Probe:
    """A principal component of all states, the first by default; labels give its sign. Raises DataError as `mass_mean_probe`."""
    positive, negative = _kinds(states, true)
    axes = principal_components(states, component + 1)
    if len(axes) <= component:
        raise DataError(f"{len(states)} states of width {np.shape(states)[-1]} have no component {component}")
    return signed(_halfway(axes[component], positive, negative), states, true)


def contrast_probe(first: np.ndarray, second: np.ndarray) -> Probe:
    """First principal component, about 0, of the differences of pairs of states [N, E], pointing to the first of a pair.

    The bias puts 0 halfway between the means of both. Raises DataError for no pairs, and for sets that are not pairs.
    """
    a, b = _pairs(first, second)
    axis = np.linalg.svd(a - b, full_matrices=False)[2][0]
    return _halfway(axis * (1.0 if (a - b).mean(axis=0) @ axis >= 0 else -1.0), a, b)


def ccs_probe(
    first: np.ndarray, second: np.ndarray, *, restarts: int = 10, penalty: float = 0.01, seed: int = 0
) -> Probe:
    """Contrast-consistent search: the direction whose verdicts on a pair of states [N, E] exclude each other, and are sure.

    A pair has one true member, as often the first as the second. Each side is centred by itself, and both are scaled alike, so
    that the direction cannot be the form of the statement. Minimised is, over directions, the mean over pairs of
    (p(first) - (1 - p(second)))^2 + min(p(first), p(second))^2, plus the penalty times half the squared weights; of several
    random starts the one with the least loss is taken. The probe acts on states that are centred by side, and has no bias.
    Raises DataError as `contrast_probe`.
    """
    a, b = _pairs(first, second)
    a, b = centred(a), centred(b)
    rows, axes, scale, _ = _reduced(np.concatenate([a, b]))
    x, z = rows[: len(a)], rows[len(a) :]

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        p, q = _logistic(x @ w), _logistic(z @ w)
        off, lower = p + q - 1, np.minimum(p, q)
        first_is_lower = p <= q
        slope_p = (2 * off + 2 * lower * first_is_lower) * p * (1 - p)
        slope_q = (2 * off + 2 * lower * ~first_is_lower) * q * (1 - q)
        gradient = (x.T @ slope_p + z.T @ slope_q) / len(x) + penalty * w
        return float((off**2 + lower**2).mean() + penalty * (w @ w) / 2), gradient

    rng = np.random.default_rng(seed)
    starts = rng.standard_normal((restarts, rows.shape[1]))
    found = [minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000}) for start in starts]
    return Probe(axes.T @ min(found, key=lambda one: one.fun).x / scale)


def signed(probe: Probe, states: np.ndarray, true: Sequence[bool] | np.ndarray) -> Probe:
    """The probe, or its opposite if its scores of the true states are lower in the mean than those of the false ones."""
    positive, negative = _kinds(states, true)
    if probe.scores(positive).mean() >= probe.scores(negative).mean():
        return probe
    return replace(probe, direction=-probe.direction, bias=-probe.bias)


def principal_components(states: np.ndarray, n: int) -> np.ndarray:
    """Unit vectors of the n largest principal components of states [N, E], at most as many as there are: [n, E]."""
    return np.linalg.svd(centred(states), full_matrices=False)[2][:n]


def _reduced(states: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """States in coordinates of their own span, centred, at a mean squared length of 1: rows [N, R], axes [R, E], scale, mean.

    With a penalty on their squares the best weights lie in that span, so nothing is lost.
    """
    mean = np.asarray(states, np.float64).mean(axis=0)
    left, singular, axes = np.linalg.svd(centred(states), full_matrices=False)
    kept = singular > 1e-10 * max(float(singular[0]), 1e-300)
    scale = float(np.sqrt((singular**2).sum() / len(left))) or 1.0
    return left[:, kept] * singular[kept] / scale, axes[kept], scale, mean


def _halfway(direction: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> Probe:
    """A probe whose score is 0 halfway between the two means."""
    return Probe(direction, float(-direction @ (positive.mean(axis=0) + negative.mean(axis=0)) / 2))


def _logistic(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(x / 2))


def _kinds(states: np.ndarray, true: Sequence[bool] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The true and the false states, in float64."""
    wide, labels = np.asarray(states, np.float64), np.asarray(true, bool)
    if wide.ndim != 2 or labels.shape != wide.shape[:1]:
        raise DataError(f"a probe needs states [N, E] with N labels, got {wide.shape} and {labels.shape}")
    if labels.all() or not labels.any():
        raise DataError(f"a probe needs states of both kinds, got {labels.sum()} true and {(~labels).sum()} false ones")
    return wide[labels], wide[~labels]


def _pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sides of pairs, in float64."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.ndim != 2 or a.shape != b.shape or not len(a):
        raise DataError(f"pairs need two sets of N states [N, E], got {a.shape} and {b.shape}")
    return a, b
