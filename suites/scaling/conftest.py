"""Fixtures of plan V2's phases 1 and 4: the effect of each layer's vector, for each of the phenomena in `phenomena.py`.

The plan picked layers by the length of a difference in means, and none of its layers was chosen by an effect. Here the effect of
every layer's vector is measured on prompts that it was not found on, less that of random vectors of the same length, and the
best layer is the one where that is largest: with an interval from resampled prompts, in which the layer is chosen anew
(`assay.methods.depth`). What a vector does through no later layer is left out (`assay.methods.layer_effects`): a direction of the
next token, added at the last token after the last layer, says nothing about where a phenomenon is computed.

A curve whose best layer does no more than the best layers of random vectors is flat, and has no best layer: claims about its
depth are then not eligible. In the null world the phenomenon's own vectors are one more draw of the control.
"""

from dataclasses import replace

import numpy as np
import pytest
from phenomena import PHENOMENA, Sizes

from assay import methods
from assay.errors import NotEligible
from assay.plugin import Metric, not_eligible
from assay.stats import mean_interval
from assay.testbed.planted import planted_truth

FLAT = "no layer's vector does more than the best layer of the control does, so there is no best layer"


class Measured:
    """The effects of one phenomenon by layer: [N, L] of its own vectors, [D, N, L] of the control."""

    def __init__(self, phenomenon, total, direct, null_world):
        own, *controls = (total - direct)[1 if null_world else 0 :]
        clusters = tuple(probe.cluster for probe in phenomenon.probes)
        by_prompt = phenomenon.norms is None  # states that are put in, each query's own
        labels = None if None in clusters else clusters
        self.effects = methods.EffectsByLayer(own, np.array(controls), labels, by_prompt)
        self.total = total[1 if null_world else 0]
        self.phenomenon, self.n = phenomenon, len(own)
        self.n_layers = own.shape[1]
        self.best = methods.best_layer(self.effects)
        """None if the curve is flat."""

    def found(self):
        """The best layer. Raises NotEligible for a flat curve."""
        if self.best is None:
            raise NotEligible(FLAT)
        return self.best

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
        if self.phenomenon.norms is not None:
            relative = self.phenomenon.norms / self.phenomenon.stream_norms
            metrics["norm_by_layer"] = Metric(self.phenomenon.norms, tol=0.3)
            metrics["relative_norm_by_layer"] = Metric(relative, tol=0.05)
        return metrics

    def intervals(self):
        """Of the mean effect less the control's at each layer. Where no layer is left to act through it is 0, not measured so."""
        return [
            list(mean_interval(column, clusters=self.effects.clusters)) if np.any(column) else [0.0, 0.0]
            for column in self.effects.less_control.T.tolist()
        ]

    def depths(self):
        """Metrics: the best layer with its interval, and the layers that the vectors' lengths pick; not eligible if flat."""
        peak, interval = methods.peak_over_control(self.effects)
        if self.best is None:
            return not_eligible(FLAT, peak_less_control=Metric(peak, ci=interval, n=self.n, tol=0.3, unit="nats"))
        clusters = {} if self.effects.clusters is None else {"clusters": self.effects.n_clusters}
        of = {"n": self.n, **clusters}
        metrics = {
            "n_layers": self.n_layers,
            "layer": Metric(self.best.layer, ci=self.best.interval, unit="layers", tol=1, **of),
            "depth": Metric(self.best.depth, ci=self.best.depth_interval, unit="% of the depth", tol=15.0, **of),
        }
        if self.phenomenon.norms is not None:
            lengths = self.phenomenon.norms
            for name, picks in (("norm", lengths), ("relative_norm", lengths / self.phenomenon.stream_norms)):
                layer = int(np.argmax(picks))
                metrics[f"{name}_layer"] = Metric(layer, unit="layers", tol=1)
                metrics[f"{name}_depth"] = Metric(
                    methods.depth_percent(layer, self.n_layers), unit="% of the depth", tol=15.0
                )
        return metrics


@pytest.fixture(scope="session")
def late(model_spec):
    """Names whose hops a built-in model resolves in too late a layer to use them; empty for other models."""
    truth = planted_truth(model_spec)
    return set(truth["entities"]["late"]) if truth else set()


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
        effects = methods.effects_of_layers(lm, phenomenon.probes, track=lambda loop: progress(loop, f"layers: {name}"))
        return Measured(phenomenon, *effects, null_world)

    return measure
