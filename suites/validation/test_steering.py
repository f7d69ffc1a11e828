"""Plan, phase 0.1: steering has no effect at strength 0, an effect at a large one, and different effects in different layers.

A random direction is added to the residual stream at the last token, after each layer in turn. Strength is in units of the
mean norm of the stream there, so that it means the same in every model (Gemma's norms are twenty times Llama's).
"""

import numpy as np

from assay import methods
from assay.data.two_hop import two_hop
from assay.plugin import Metric, experiment, finding

PLAN = {"paper": "Experimental plan V2", "ref": "phase 0.1"}
LARGE = 2.0


@experiment
def steering(lm, tier):
    prompts = sorted({q.second_hop for q in two_hop(limit=tier.choose(smoke=4, quick=16, full=64))})
    directions = methods.random_directions(lm, len(prompts), seed=0)
    effects = [methods.steer_layers(lm, p, d, strengths=(0.0, LARGE)) for p, d in zip(prompts, directions, strict=True)]
    off, on = (np.array([e.kl[:, column] for e in effects]) for column in (0, 1))  # [prompts, layers]
    apart = np.array([e.layers_apart(1) for e in effects])
    n = len(prompts)
    return {
        "vector_width": directions.shape[-1],
        "stream_width": lm.width,
        "zero_is_identity": Metric.rate(sum(e.is_identity(0) for e in effects), n),
        "kl_at_zero": Metric(float(off.max()), n=n, tol=1e-4, unit="nats"),
        "kl_at_large": Metric.mean(on.mean(axis=1).tolist(), tol=0.05, unit="nats"),
        "kl_by_layer": Metric(on.mean(axis=0).tolist(), n=n, tol=0.05, unit="nats"),
        "changed": Metric.rate(int((on > 1e-6).all(axis=1).sum()), n, tol=0.02),
        "layers_differ": Metric.rate(int(apart.sum()), n, tol=0.02),
    }


def test_metrics(steering, metrics):
    assert metrics == steering


@finding("a steering vector has the shape of a layer's output", id="PLAN-0.1", **PLAN)
def test_shape(steering):
    assert steering.vector_width == steering.stream_width


@finding("steering with strength 0 is the identity", id="PLAN-0.1", **PLAN)
def test_zero_is_identity(steering):
    assert steering.zero_is_identity == 1


@finding("strong steering changes the output", id="PLAN-0.1", **PLAN)
def test_large_changes(steering):
    assert steering.changed == 1
    assert steering.kl_at_large.low > steering.kl_at_zero


@finding("steering at different layers has different effects", id="PLAN-0.1", **PLAN)
def test_layers_differ(steering):
    assert steering.layers_differ == 1
