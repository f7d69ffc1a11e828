"""Depth: at which layer is an effect largest, and how surely is it that one?

    >>> rng = np.random.default_rng(0)
    >>> bump = np.array([0.0, 0.2, 1.0, 3.0, 1.5, 0.4, 0.1, 0.0])                  # the effect of a direction, layer by layer
    >>> own = bump + rng.normal(0, 0.5, (16, 8))                                   # 16 prompts, 8 layers
    >>> random = rng.normal(0, 0.5, (5, 16, 8))                                    # 5 random directions
    >>> found = best_layer(EffectsByLayer(own, random))
    >>> found.layer, found.interval, round(found.depth), tuple(round(end) for end in found.depth_interval)
    (3, (2.51, 3.49), 43, (36, 50))
    >>> best_layer(EffectsByLayer(random[0], random[1:])) is None                  # nothing above the control, so no best layer
    True

The words:

    effect      what an edit at one layer does to one prompt, in nats, positive where it is expected to be
    control     the same edit with another vector of the same length; D draws of it, each the same for all prompts
                or (`by_prompt`) another one for each
    peak        the mean effect of the layer where it is largest; controls have peaks, too, the best of as many layers
    flat        the interval of the peak less the controls' reaches 0: nothing was found, and no layer is the best one
    depth       100 * layer / (L - 1): 0 % is the first layer's output, 100 % the last one's

The interval of a best layer is from the first to the last layer that may be the best one: those of which "no layer does more than
this one" is not refused. Where several layers do nearly as much as the best one, all of them are in it; a choice made anew in
each resample does not ensure that, as it takes the layer that chance favours again and again. The test is that of the largest t
among the other layers, with prompts (clusters, where prompts are not independent) and draws of the control resampled. A layer
stands for half a layer on either side, so an interval is nearly one layer wide at least, and those of adjacent layers do not
touch. Plan V2 divides by L - 1 in its table of refusal, and by L in that of sycophancy and confidence; `depth_window` has its
percentages in whole layers.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from assay.errors import DataError
from assay.stats import Interval

DRAWS = 4000
"""Resamples of the prompts."""
HALF = 0.49
"""What a layer stands for on either side, in layers."""
LEVEL = 0.975
"""How often a best layer is within its interval, at least: as often as the end of a 95 % interval on the claimed side."""
ROUNDING = 1e-9
"""Relative to the largest effect: less is no difference."""


@dataclass(frozen=True, eq=False)
class EffectsByLayer:
    """The effects of N prompts at L layers, and those of D draws of the control."""

    own: np.ndarray
    """[N, L], nats."""
    controls: np.ndarray
    """[D, N, L]."""
    clusters: tuple[Hashable, ...] | None = None
    """A label for each prompt, equal where prompts are not independent."""
    by_prompt: bool = False
    """Whether vectors are those of a prompt, as states of other queries are, and not of all prompts."""

    def __post_init__(self) -> None:
        """Raises DataError for arrays that do not fit each other, fewer than two draws, and fewer than two clusters."""
        N, L = self.own.shape
        if self.controls.ndim != 3 or len(self.controls) < 2 or self.controls.shape[1:] != (N, L):
            raise DataError(
                f"effects of {N} prompts at {L} layers need controls of the shape [two or more, {N}, {L}], got "
                f"{list(self.controls.shape)}"
            )
        if self.clusters is not None and len(self.clusters) != N:
            raise DataError(f"{N} prompts need as many labels of clusters, got {len(self.clusters)}")
        if self.n_clusters < 2:
            raise DataError(f"prompts are resampled, and that takes two independent ones, got {self.n_clusters}")
        if not (np.isfinite(self.own).all() and np.isfinite(self.controls).all()):
            raise DataError("an effect is infinite or not a number")

    @property
    def labels(self) -> Sequence[Hashable]:
        """A label for each prompt, equal for those that are not independent."""
        return range(len(self.own)) if self.clusters is None else self.clusters

    @property
    def n_clusters(self) -> int:
        """The number of independent prompts."""
        return len(set(self.labels))

    @property
    def less_control(self) -> np.ndarray:
        """[N, L]: the effects less the mean of the controls."""
        return self.own - self.controls.mean(axis=0)


@dataclass(frozen=True, eq=False)
class BestLayer:
    """The layer where the mean effect, less the control's, is largest, and how well each other layer fits being that one."""

    layer: int
    n_layers: int
    fits: np.ndarray
    """[L]: p-values of "no layer does more than this one"."""
    n: int
    n_clusters: int

    def layers(self, level: float = LEVEL) -> tuple[int, int]:
        """The first and the last layer that may be the best one: the true one is between them with this probability or more."""
        kept = {self.layer, *np.flatnonzero(self.fits > 1 - level).tolist()}
        return min(kept), max(kept)

    @property
    def interval(self) -> Interval:
        """In layers."""
        first, last = self.layers()
        return first - HALF, last + HALF

    @property
    def depth(self) -> float:
        """Per cent."""
        return depth_percent(self.layer, self.n_layers)

    @property
    def depth_interval(self) -> Interval:
        """Per cent; below 0 at the first layer and above 100 at the last one."""
        low, high = self.interval
        return depth_percent(low, self.n_layers), depth_percent(high, self.n_layers)


def depth_percent(layer: float, n_layers: int) -> float:
    """100 * layer / (L - 1). Raises DataError for fewer than two layers."""
    if n_layers < 2:
        raise DataError(f"a depth needs two layers or more, got {n_layers}")
    return 100 * layer / (n_layers - 1)


def depth_window(low: float, high: float, n_layers: int) -> Interval:
    """The depths that count as `low` to `high` per cent in a model of L layers: those of all layers within half a layer of them.

    Wider than asked for, as depths are whole layers: of 8 layers none is at 60 to 65 %, and 57 and 71 % are within half a layer.
    """
    half = depth_percent(0.5, n_layers)
    every = [depth_percent(i, n_layers) for i in range(n_layers)]
    inside = [depth for depth in every if low - half <= depth <= high + half]
    return min(inside) - half, max(inside) + half


def peak_over_control(effects: EffectsByLayer, seed: int = 0) -> tuple[float, Interval]:
    """The peak less the mean of the controls' peaks, in nats, with its interval.

    The direction is one among D + 1 if it is nothing special, so the interval has room for a single further draw of the control
    beside the variance between prompts; where vectors are drawn for each prompt, the latter contains that.
    """
    weights = _resampled(effects, seed)
    own, controls = (weights @ effects.own).max(axis=-1), (weights @ effects.controls).max(axis=-1)
    peaks = effects.controls.mean(axis=1).max(axis=-1)
    D = len(peaks)
    value = float(effects.own.mean(axis=0).max() - peaks.mean())
    prompts = float(np.std(own - controls.mean(axis=0), ddof=1)) * float(stdtrit(effects.n_clusters - 1, 0.975))
    draws = 0.0 if effects.by_prompt else float(peaks.std(ddof=1)) * (1 + 1 / D) ** 0.5 * float(stdtrit(D - 1, 0.975))
    half = float(np.hypot(prompts, draws))
    return value, (value - half, value + half)


def best_layer(effects: EffectsByLayer, seed: int = 0) -> BestLayer | None:
    """The layer of the largest effect less the control's, and how well each layer fits being it; None if the curve is flat."""
    if peak_over_control(effects, seed)[1][0] <= 0:
        return None
    N, L = effects.own.shape
    curve, each = effects.less_control.mean(axis=0), effects.controls.mean(axis=1)
    # Deviations of the resampled means; those of n observations are too small by (n - 1) / n of their variance.
    moved = (_resampled(effects, seed) @ effects.less_control - curve) * _inflated(effects.n_clusters)
    if not effects.by_prompt:  # else the variance between prompts contains that of the draws
        D = len(each)
        chosen = np.random.default_rng([seed, 1]).multinomial(D, np.full(D, 1 / D), size=DRAWS) / D
        moved -= (chosen @ each - each.mean(axis=0)) * _inflated(D)
    fits = np.array([_fit(curve, moved, layer, effects.n_clusters - 1) for layer in range(L)])
    return BestLayer(int(curve.argmax()), L, fits, N, effects.n_clusters)


def layer_difference(later: BestLayer, earlier: BestLayer, among: int = 2) -> tuple[int, Interval]:
    """How many layers after the other one a best layer is, with the interval from both (of other prompts).

    among: how many phenomena the two were chosen from; the intervals of all of them hold together.
    """
    level = LEVEL ** (1 / among)
    (first, last), (other_first, other_last) = later.layers(level), earlier.layers(level)
    half = HALF * 2**0.5
    return later.layer - earlier.layer, (first - other_last - half, last - other_first + half)


def furthest_apart(found: Mapping[str, BestLayer]) -> tuple[str, str, int, Interval]:
    """(the later, the earlier, by how many layers, interval) of the two that differ most surely, as corrected for the choice.

    The layers of all phenomena are right together with the probability of one interval, so the interval of any two excludes 0 by
    chance as seldom as if they had not been chosen. Raises DataError for fewer than two.
    """
    if len(found) < 2:
        raise DataError(f"a difference needs two best layers, got {len(found)}")
    pairs = [sorted(pair, key=lambda name: found[name].layer, reverse=True) for pair in combinations(found, 2)]
    apart = [(late, early, *layer_difference(found[late], found[early], len(found))) for late, early in pairs]
    return max(apart, key=lambda one: (one[3][0], one[2]))


def _fit(curve: np.ndarray, moved: np.ndarray, layer: int, freedom: int) -> float:
    """The p-value of "no layer does more than this one": of the largest t of another layer's effect less this one's.

    curve: [L], the mean effects; moved: [DRAWS, L], by how much resampled means differ from them.
    """
    others = np.delete(np.arange(len(curve)), layer)
    more, by_chance = curve[others] - curve[layer], moved[:, others] - moved[:, [layer]]
    spread = by_chance.std(axis=0)
    same = spread < ROUNDING * np.abs(curve).max()  # layers from which nothing is left to act have the same effects
    if np.any(more[same] > ROUNDING * np.abs(curve).max()):
        return 0.0
    if same.all():
        return 1.0
    largest = float((more[~same] / spread[~same]).max())
    # The resampled ones have a normal tail, and the spread is that of few clusters: as far out in the normal one as it is in t.
    return float(np.mean((by_chance[:, ~same] / spread[~same]).max(axis=1) >= ndtri(stdtr(freedom, largest))))


def _inflated(n: int) -> float:
    return (n / (n - 1)) ** 0.5


def _resampled(effects: EffectsByLayer, seed: int) -> np.ndarray:
    """Weights of the prompts in each resample of clusters, [DRAWS, N], rows that add up to 1."""
    index = {label: i for i, label in enumerate(dict.fromkeys(effects.labels))}
    of = np.array([index[label] for label in effects.labels])
    C = len(index)
    counts = np.random.default_rng([seed, 0]).multinomial(C, np.full(C, 1 / C), size=DRAWS)[:, of].astype(float)
    return counts / counts.sum(axis=1, keepdims=True)
