"""Plan, phase 0.2: through the logit lens, a fact becomes likelier over the layers, and is the prediction at the last.

The plan's prompt is "The capital of France is"; the same is measured on other capitals, so that it has an interval. The
control is the capital of another country of the list, read from the same states. In the null world, the capital itself is that of
a second other country, and the layers of every prompt are in random order.
"""

import numpy as np

from assay import methods
from assay.data.two_hop import two_hop
from assay.plugin import Metric, above, experiment, finding, holds, not_eligible

NONE = "no difference"


@experiment
def lens(lm, tier, null_world):
    capitals = {q.second_hop: q.e3 for q in two_hop(["landmark_capital", "city_capital"])}
    chosen = ["The capital of France is", *sorted(set(capitals) - {"The capital of France is"})]
    chosen = chosen[: tier.choose(smoke=6, quick=24, full=None)]
    lenses = [methods.logit_lens(lm, prompt) for prompt in chosen]
    known = [i for i, one in enumerate(lenses) if one.ranks(" " + capitals[chosen[i]])[-1] == 0]
    gate = {"n_prompts": len(chosen), "known": Metric.rate(len(known), len(chosen), tol=0.05)}
    if len({capitals[chosen[i]] for i in known}) < 2:
        return not_eligible(f"{len(known)} of {len(chosen)} capitals are known", **gate)
    tokens = [lm.token(" " + capitals[chosen[i]], after=chosen[i]) for i in known]
    others = [[t for t in tokens[k:] + tokens[:k] if t != own] for k, own in enumerate(tokens)]
    read = [other[-1] for other in others] if null_world else tokens
    right = np.array([lenses[i].ranks(token) for i, token in zip(known, read, strict=True)])  # [prompts, layers]
    wrong = np.array([lenses[i].ranks(other[0]) for i, other in zip(known, others, strict=True)])
    kl = np.array([lenses[i].kl_to_final() for i in known])[:, :-1]  # of the last layer it is 0 by definition
    if null_world:
        kl = np.random.default_rng(0).permuted(kl, axis=1)
    top = right == 0
    later = top[:, -1].astype(float) - top[:, : max(1, lm.n_layers // 3)].any(axis=1)
    beats = np.sign(wrong[:, -1] - right[:, -1]).astype(float)
    third = max(1, lm.n_layers // 3)
    france = lenses[0]
    return {
        **gate,
        "paris_rank": Metric(france.ranks(" Paris").tolist(), n=1, tol=3),
        "paris_prob": Metric([round(float(p), 4) for p in france.probs(" Paris")], n=1, tol=0.02),
        "top_by_layer": Metric([row[0] for row in france.top(1)], n=1),
        "first_third_top": Metric.share(top[:, :third].any(axis=1), tol=0.1),
        "final_less_first_third": Metric.mean(later.tolist(), (-1, 1), tol=0.1),
        "median_rank": Metric(np.median(right, axis=0).tolist(), n=len(known), tol=5),
        "median_rank_other": Metric(np.median(wrong, axis=0).tolist(), n=len(known), tol=25),
        "final_beats_other": Metric.mean(beats.tolist(), (-1, 1), tol=0.02),
        "kl_by_layer": Metric([*kl.mean(axis=0).tolist(), 0.0], n=len(known), tol=0.1, unit="nats"),
        "kl_drop": Metric.mean(
            (kl[:, :third].mean(axis=1) - kl[:, -third:].mean(axis=1)).tolist(), tol=0.1, unit="nats"
        ),
    }


def test_metrics(lens, metrics):
    assert metrics == lens


@finding("the last layer predicts Paris", id="PLAN-0.2")
def test_final_layer_predicts(lens):
    assert holds(lens.paris_rank[-1] == 0, why="the plan's one prompt is continued with Paris")


@finding("half of the capitals are known, and likelier than another country's", id="PLAN-0.2", tier="quick")
def test_known(lens):
    known = above(lens.known, 0.5, source="half of them")
    assert known & above(lens.final_beats_other, 0, source="as often the other's")


@finding("the capital is on top at the last layer, and not yet in the first third", id="PLAN-0.2", tier="quick")
def test_early_layers_differ(lens):
    assert above(lens.final_less_first_third, 0.5, source="more than half of the capitals")


@finding("layer by layer the prediction is refined", id="PLAN-0.2", tier="quick")
def test_refinement(lens):
    # Half a nat would count.
    assert above(lens.kl_drop, 0, source=NONE, worth=0.5)
