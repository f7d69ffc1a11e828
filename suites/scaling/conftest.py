"""Fixtures of plan V2's phases 1 and 4: the effect of each layer's vector, for each of the phenomena in `phenomena.py`.

The plan picked layers by the length of a difference in means, and none of its layers was chosen by an effect. Here the effect of
every layer's vector is measured on prompts that it was not found on, less that of random vectors of the same length, and the
best layer is the one where that is largest: with an interval of all layers that may do as much (`assay.methods.depth`). Vectors
have the lengths that they have, so a layer may act more by a longer vector. What a vector does through no later layer is left out
(`assay.methods.layer_effects`): a direction of the next token, added at the last token after the last layer, says nothing about
where a phenomenon is computed.

A curve whose best layer does no more than the best layers of random vectors is flat, and has no best layer: claims about its
depth are then not eligible. In the null world the curve is that of one more draw of the control; claims about the depth are
judged on another one, of the worlds in `null_depths.py`.
"""

from dataclasses import replace

import numpy as np
import pytest
from null_depths import best_of_world, drawn_again, moved_out
from phenomena import PHENOMENA, Sizes
from plan_v2 import RANGES

from assay import methods
from assay.errors import NotEligible
from assay.plugin import Metric, not_eligible
from assay.stats import mean_interval

FLAT = "no layer's vector does more than the best layer of the control does, so there is no best layer"


class Measured:
    """The effects of one phenomenon by layer: [N, L] of its own vectors, [D, N, L] of the control."""

    def __init__(self, name, phenomenon, through, total, less, null_world):
        """through, total: [1 + D, N, L], in the null world [2 + D, N, L]; less: what was subtracted, the same or None."""
        self.phenomenon, self.n, self.n_layers = phenomenon, *through.shape[1:]
        self.world = self.of(through[0], through[1 + null_world :])
        """What was measured."""
        self.effects = self.of(through[1], through[2:]) if null_world else self.world
        """What the curve shows."""
        self.total = total[int(null_world)]
        self.less = None if less is None else less[int(null_world)]
        self.seed = sum(map(ord, name))
        self.placed, self.longest = self.world, {}
        """What the best layer is chosen by, and which layers have the longest vectors: absolutely, and relative to the stream."""
        if phenomenon.norms is not None:
            picks = {"norm": phenomenon.norms, "relative_norm": phenomenon.relative_norms}
            self.longest = {kind: int(np.argmax(lengths)) for kind, lengths in picks.items()}
        if null_world:
            world = moved_out(self.world, *RANGES[name][:2], self.seed) if name in RANGES else self.world
            self.placed = drawn_again(world, self.seed)
            self.longest = dict.fromkeys(self.longest, best_of_world(world))
        self.best = methods.best_layer(self.placed)
        """None if the curve is flat."""

    def of(self, own, controls):
        """The effects, with the clusters of the prompts."""
        clusters = tuple(probe.cluster for probe in self.phenomenon.probes)
        by_prompt = self.phenomenon.norms is None  # states that are put in, each query's own
        return methods.EffectsByLayer(own, controls, None if None in clusters else clusters, by_prompt)

    def found(self):
        """The best layer. Raises NotEligible for a flat curve."""
        if self.best is None:
            raise NotEligible(FLAT)
        return self.best

    def found_again(self, number):
        """The best layer of another sample of the prompts; raises as `found`."""
        best = methods.best_layer(drawn_again(self.world, self.seed + 1000 * (1 + number)))
        if best is None:
            raise NotEligible(FLAT)
        return best

    def curves(self):
        """Metrics: the curve, its peak against that of the controls, and the lengths of the vectors."""
        effects, (peak, interval) = self.effects, methods.peak_over_control(self.effects)
        clusters = {} if effects.clusters is None else {"clusters": effects.n_clusters}
        curve = {"n": self.n, "tol": 0.3, "unit": "nats"}
        metrics = {
            **self.phenomenon.counts,
            "n_layers": self.n_layers,
            "effect_by_layer": Metric(effects.own.mean(axis=0), control="control_by_layer", **curve),
            "control_by_layer": Metric(effects.controls.mean(axis=(0, 1)), **curve),
            "effect_less_control_by_layer": Metric(effects.less_control.mean(axis=0), **curve),
            "effect_less_control_by_layer_ci": Metric(self.intervals(), **curve),
            "effect_with_direct_part_by_layer": Metric(self.total.mean(axis=0), **curve),
            "peak_less_control": Metric(peak, ci=interval, **clusters, **curve),
        }
        if self.less is not None:
            metrics["subtracted_by_layer"] = Metric(self.less.mean(axis=0), **curve)
        if self.phenomenon.norms is not None:
            metrics["norm_by_layer"] = Metric(self.phenomenon.norms, tol=0.3)
            metrics["relative_norm_by_layer"] = Metric(self.phenomenon.relative_norms, tol=0.05)
        return metrics

    def intervals(self):
        """Of the mean effect less the control's at each layer. Where no layer is left to act through it is 0, not measured so."""
        return [
            list(mean_interval(column, clusters=self.effects.clusters)) if np.any(column) else [0.0, 0.0]
            for column in self.effects.less_control.T.tolist()
        ]

    def depths(self):
        """Metrics: the best layer with its interval, and the layers that the vectors' lengths pick; not eligible if flat."""
        if self.best is None:
            peak, interval = methods.peak_over_control(self.placed)
            return not_eligible(FLAT, peak_less_control=Metric(peak, ci=interval, n=self.n, tol=0.3, unit="nats"))
        clusters = {} if self.placed.clusters is None else {"clusters": self.placed.n_clusters}
        of = {"n": self.n, **clusters}
        metrics = {
            "n_layers": self.n_layers,
            "layer": Metric(self.best.layer, ci=self.best.interval, unit="layers", tol=1, **of),
            "depth": Metric(self.best.depth, ci=self.best.depth_interval, unit="% of the depth", tol=15.0, **of),
        }
        for kind, layer in self.longest.items():
            percent = methods.depth_percent(layer, self.n_layers)
            metrics[f"{kind}_layer"] = Metric(layer, unit="layers", tol=1)
            metrics[f"{kind}_depth"] = Metric(percent, unit="% of the depth", tol=15.0)
        return metrics


@pytest.fixture(scope="session")
def measured(lm, late, no_system_prompt, tier, progress, null_world):
    """`measured("refusal")`: the effects of a phenomenon by layer, measured once. Raises NotEligible, each time it is asked."""
    sizes = tier.choose(
        smoke=Sizes(train=8, test=6, draws=2), quick=Sizes(train=40, test=16, draws=5), full=Sizes(None, None, draws=10)
    )
    found = {}

    def measure(name):
        if name not in found:
            found[name] = measure_one(name)
        if isinstance(found[name], NotEligible):
            raise found[name]
        return found[name]

    def measure_one(name):
        drawn = replace(sizes, draws=sizes.draws + null_world)
        try:
            phenomenon = PHENOMENA[name](lm, drawn, late=late, system=no_system_prompt)
        except NotEligible as reason:
            return reason
        track = lambda loop: progress(loop, f"layers: {name}")  # noqa: E731
        total, direct = methods.effects_of_layers(lm, phenomenon.probes, track=track)
        less = methods.effects_of_layers(lm, phenomenon.less, track=track)[0] if phenomenon.less else None
        total = total if less is None else total - less
        return Measured(name, phenomenon, total - direct, total, less, null_world)

    return measure


@pytest.fixture(scope="session")
def best_layers(measured, null_world):
    """`best_layers(["view", "refusal"])`: those that have a best layer, by name, and why others have none.

    In the null world all of them are samples of the first one that has one, so they act at the same layer.
    """

    def find(names):
        found, without = {}, {}
        for name in names:
            try:
                best = measured(name).found()
                first = measured(next(iter(found), name))
                found[name] = first.found_again(len(found)) if null_world else best
            except NotEligible as reason:
                without[name] = str(reason)
        return found, without

    return find
