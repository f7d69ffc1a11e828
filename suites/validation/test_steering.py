"""Plan, phase 0.1: steering has no effect at strength 0, an effect at a large one, and different effects in different layers.

A random direction is added to the residual stream at the last token, after each layer in turn. Strength is in units of the
mean norm of the stream there, so that it means the same in every model (Gemma's norms are twenty times Llama's). Two layers have
different effects when these are a tenth of a nat apart: rounding alone makes any two differ.

In the null world the large strength is 0.
"""

import numpy as np

from assay import methods
from assay.data.two_hop import two_hop
from assay.plugin import Metric, above, experiment, finding, holds

LARGE = 2.0
COUNTS = 0.1
"""Nats that count: a tenth off the probability of a token."""


@experiment
def steering(lm, tier, null_world):
    prompts = sorted({q.second_hop for q in two_hop(limit=tier.choose(smoke=4, quick=16, full=64))})
    strengths = (0.0, 0.0 if null_world else LARGE)
    state = lm.run(prompts[0], keep="resid_post")["resid_post", 0]
    directions = methods.random_directions(lm, len(prompts), seed=0)
    effects = [methods.steer_layers(lm, p, d, strengths=strengths) for p, d in zip(prompts, directions, strict=True)]
    off, on = (np.array([e.kl[:, column] for e in effects]) for column in (0, 1))  # [prompts, layers]
    apart = on.max(axis=1) - on.min(axis=1) > COUNTS
    n = len(prompts)
    return {
        "vector_width": directions.shape[-1],
        "stream_width": state.shape[-1],
        "zero_is_identity": Metric.rate(sum(e.is_identity(0) for e in effects), n),
        "kl_at_zero": Metric(float(off.max()), n=n, tol=1e-4, unit="nats"),
        "kl_at_large": Metric.mean(on.mean(axis=1).tolist(), tol=0.05, unit="nats"),
        "kl_by_layer": Metric(on.mean(axis=0).tolist(), n=n, tol=0.05, unit="nats"),
        "changed": Metric.share((on > COUNTS).all(axis=1), tol=0.07),
        "layers_differ": Metric.share(apart, tol=0.07),
    }


def test_metrics(steering, metrics):
    assert metrics == steering


@finding("a steering vector has the shape of a layer's output", id="PLAN-0.1")
def test_shape(steering):
    same = steering.vector_width == steering.stream_width
    assert holds(same, why="as many numbers as the states that were measured after a layer")


@finding("steering with strength 0 is the identity", id="PLAN-0.1")
def test_zero_is_identity(steering):
    assert holds(steering.zero_is_identity == 1, why="the same logits in every layer and prompt")


@finding("strong steering changes the output, in most prompts after every layer", id="PLAN-0.1", tier="quick")
def test_large_changes(steering):
    changed = above(steering.changed, 0.5, source="half of the prompts")
    assert changed & above(steering.kl_at_large, steering.kl_at_zero, worth=COUNTS)


@finding("steering at different layers has different effects, in most prompts", id="PLAN-0.1", tier="quick")
def test_layers_differ(steering):
    assert above(steering.layers_differ, 0.5, source="half of the prompts")
