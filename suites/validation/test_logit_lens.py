"""Plan, phase 0.2: through the logit lens, a fact becomes likelier over the layers, and is the prediction at the last.

The plan's prompt is "The capital of France is"; the same is measured on other capitals, so that it has an interval. The
control is the capital of another country of the list, read from the same states.
"""

import numpy as np

from assay import methods
from assay.data.two_hop import two_hop
from assay.plugin import Metric, experiment, finding, not_eligible

PLAN = {"paper": "Experimental plan V2", "ref": "phase 0.2"}


@experiment
def lens(lm, tier):
    capitals = {q.second_hop: q.e3 for q in two_hop(["landmark_capital", "city_capital"])}
    chosen = ["The capital of France is", *sorted(set(capitals) - {"The capital of France is"})]
    chosen = chosen[: tier.choose(smoke=6, quick=24, full=None)]
    lenses = [methods.logit_lens(lm, prompt) for prompt in chosen]
    known = [i for i, one in enumerate(lenses) if one.ranks(" " + capitals[chosen[i]])[-1] == 0]
    gate = {"n_prompts": len(chosen), "known": Metric.rate(len(known), len(chosen), tol=0.05)}
    if len({capitals[chosen[i]] for i in known}) < 2:
        return not_eligible(f"{len(known)} of {len(chosen)} capitals are known", **gate)
    right = np.array([lenses[i].ranks(" " + capitals[chosen[i]]) for i in known])  # [prompts, layers]
    tokens = [lm.token(" " + capitals[chosen[i]], after=chosen[i]) for i in known]
    others = [next(t for t in tokens[k:] + tokens[:k] if t != own) for k, own in enumerate(tokens)]
    wrong = np.array([lenses[i].ranks(other) for i, other in zip(known, others, strict=True)])
    kl = np.array([lenses[i].kl_to_final() for i in known])
    third = max(1, lm.n_layers // 3)
    france = lenses[0]
    return {
        **gate,
        "paris_rank": Metric(france.ranks(" Paris").tolist(), n=1, tol=3),
        "paris_prob": Metric([round(float(p), 4) for p in france.probs(" Paris")], n=1, tol=0.02),
        "top_by_layer": Metric([row[0] for row in france.top(1)], n=1),
        "first_third_top": Metric.rate(int((right[:, :third] == 0).any(axis=1).sum()), len(known), tol=0.1),
        "median_rank": Metric(np.median(right, axis=0).tolist(), n=len(known), tol=5),
        "median_rank_other": Metric(np.median(wrong, axis=0).tolist(), n=len(known), tol=25),
        "final_beats_other": Metric.rate(int((right[:, -1] < wrong[:, -1]).sum()), len(known), tol=0.02),
        "kl_by_layer": Metric(kl.mean(axis=0).tolist(), n=len(known), tol=0.1, unit="nats"),
        "kl_drop": Metric.mean(
            (kl[:, :third].mean(axis=1) - kl[:, -third:].mean(axis=1)).tolist(), tol=0.1, unit="nats"
        ),
    }


def test_metrics(lens, metrics):
    assert metrics == lens


@finding("the last layer predicts Paris", id="PLAN-0.2", **PLAN)
def test_final_layer_predicts(lens):
    assert lens.paris_rank[-1] == 0


@finding("capitals are known, and likelier than another country's", id="PLAN-0.2", **PLAN)
def test_known(lens):
    assert lens.known.low > 0.5
    assert lens.final_beats_other.low > 0.5


@finding("early layers predict something else", id="PLAN-0.2", **PLAN)
def test_early_layers_differ(lens):
    assert lens.first_third_top.high < 0.5


@finding("layer by layer the prediction is refined", id="PLAN-0.2", **PLAN)
def test_refinement(lens):
    assert lens.kl_drop.low > 0
