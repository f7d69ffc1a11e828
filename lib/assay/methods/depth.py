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

Intervals come from resampled prompts (clusters, where prompts are not independent), and the layer is chosen anew in each
resample. A layer stands for half a layer on either side, so an interval is nearly one layer wide at least, and those of adjacent
layers do not touch. Plan V2 divides by L - 1 in its table of refusal, and by L in that of sycophancy and confidence;
`depth_window` has its percentages in whole layers.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import stdtrit

from assay.errors import DataError
from assay.stats import Interval

DRAWS = 4000
"""Resamples of the prompts."""
HALF = 0.49
"""What a layer stands for on either side, in layers."""


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
    def n_clusters(self) -> int:
        """The number of independent prompts."""
        return len(self.own) if self.clusters is None else len(set(self.clusters))

    @property
    def less_control(self) -> np.ndarray:
        """[N, L]: the effects less the mean of the controls."""
        return self.own - self.controls.mean(axis=0)


@dataclass(frozen=True, eq=False)
class BestLayer:
    """The layer where the mean effect, less the control's, is largest, and the one of each resample."""

    layer: int
    n_layers: int
    draws: np.ndarray
    """[DRAWS] int."""
    n: int
    n_clusters: int

    @property
    def interval(self) -> Interval:
        """In layers."""
        return _spread(self.draws, 0.95, HALF)

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
    """The layer of the largest effect less the control's; None if the curve is flat. Draws of the control are resampled, too."""
    if peak_over_control(effects, seed)[1][0] <= 0:
        return None
    N, L = effects.own.shape
    rng, weights = np.random.default_rng([seed, 1]), _resampled(effects, seed)
    chosen = rng.multinomial(D := len(effects.controls), np.full(D, 1 / D), size=DRAWS) / D
    own, controls = weights @ effects.own, weights @ effects.controls
    curves = own - np.einsum("bd,dbl->bl", chosen, controls)
    best = int(effects.less_control.mean(axis=0).argmax())
    return BestLayer(best, L, curves.argmax(axis=1), N, effects.n_clusters)


def layer_difference(later: BestLayer, earlier: BestLayer, level: float = 0.95) -> tuple[int, Interval]:
    """How many layers after the other one a best layer is, with the interval from both resamples (of other prompts)."""
    draws = later.draws - np.random.default_rng(0).permutation(earlier.draws)
    return later.layer - earlier.layer, _spread(draws, level, HALF * 2**0.5)


def furthest_apart(found: Mapping[str, BestLayer]) -> tuple[str, str, int, Interval]:
    """(the later, the earlier, by how many layers, interval) of the two that differ most surely, as corrected for the choice.

    The interval has the level of Bonferroni's correction for all pairs, so it excludes 0 by chance in 5 % of all cases, however
    many phenomena there are. Raises DataError for fewer than two.
    """
    if len(found) < 2:
        raise DataError(f"a difference needs two best layers, got {len(found)}")
    pairs = [sorted(pair, key=lambda name: found[name].layer, reverse=True) for pair in combinations(found, 2)]
    level = 1 - 0.05 / len(pairs)
    apart = [(late, early, *layer_difference(found[late], found[early], level)) for late, early in pairs]
    return max(apart, key=lambda one: (one[3][0], one[2]))


def _resampled(effects: EffectsByLayer, seed: int) -> np.ndarray:
    """Weights of the prompts in each resample of clusters, [DRAWS, N], rows that add up to 1."""
    labels: Sequence[Hashable] = effects.clusters or range(len(effects.own))
    index = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    of = np.array([index[label] for label in labels])
    C = len(index)
    counts = np.random.default_rng([seed, 0]).multinomial(C, np.full(C, 1 / C), size=DRAWS)[:, of].astype(float)
    return counts / counts.sum(axis=1, keepdims=True)


def _spread(draws: np.ndarray, level: float, half: float) -> Interval:
    """The quantiles of whole layers, and what a layer stands for beyond them."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return float(low) - half, float(high) + half
