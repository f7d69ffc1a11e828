"""Calibration on models with a planted mechanism: do the lens and back-patching find the bridge where it was put?

In a built-in model the first hop of *early* entities is made in the first layers, that of *late* ones by the last layers
only (`testbed.json` names them). A planted bridge that an instrument misses is a limit of the instrument. A
model without planted truth is not eligible. The numbers validate methods and say nothing about large language models.
"""

import numpy as np

from assay import methods
from assay.data.two_hop import half_of, two_hop
from assay.plugin import Metric, experiment, finding, not_eligible
from assay.testbed.planted import planted_truth

TESTBED = {"paper": "Testbed", "ref": "planted truth of the built-in models"}
NOTHING_PLANTED = "nothing was planted in this model"


def queries_of(truth, kind, n):
    """n queries of all families whose first entity is early or late, from the half "report" (see `half_of`)."""
    wanted = set(truth["entities"][kind])
    found = [q for q in two_hop() if q.e1 in wanted and half_of(q) == "report"]
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))[:n]]


@experiment
def bridge_by_layer(lm, model_spec, tier):
    """Rank of the bridge (and, as control, of another query's bridge) at t1, through the logit lens."""
    truth = planted_truth(model_spec)
    if truth is None:
        return not_eligible(NOTHING_PLANTED)
    n = tier.choose(smoke=8, quick=40, full=200)
    metrics = {}
    for kind in ("early", "late"):
        queries = queries_of(truth, kind, n)
        others = [next(o for o in queries[i:] + queries[:i] if o.e2 != q.e2) for i, q in enumerate(queries)]
        lenses = [methods.logit_lens(lm, q.prompt, q.t1_text) for q in queries]
        own = np.array([lens.ranks(" " + q.e2) for lens, q in zip(lenses, queries, strict=True)])
        other = np.array([lens.ranks(" " + o.e2) for lens, o in zip(lenses, others, strict=True)])
        (lens_layer,) = truth["planted"][f"{kind} bridge at t1 from layer"]
        metrics |= {
            f"{kind}_median_rank": Metric(np.median(own, axis=0).tolist(), n=n, tol=3),
            f"{kind}_median_rank_other": Metric(np.median(other, axis=0).tolist(), n=n, tol=60),
            f"{kind}_top_at_planted": Metric.rate(int((own[:, lens_layer] == 0).sum()), n, tol=0.03),
            f"{kind}_other_at_planted": Metric.rate(int((other[:, lens_layer] == 0).sum()), n, tol=0.03),
            f"{kind}_top_in_lower_half": Metric.rate(
                int((own[:, : lm.n_layers // 2] == 0).any(axis=1).sum()), n, tol=0.03
            ),
        }
    return metrics


@experiment
def planted_cells(lm, model_spec, tier, journal):
    """Back-patching at t1 of late queries: are the hot cells (source, target) the planted ones?"""
    truth = planted_truth(model_spec)
    if truth is None:
        return not_eligible(NOTHING_PLANTED)
    n = tier.choose(smoke=3, quick=12, full=60)
    tried = methods.evaluate_queries(lm, queries_of(truth, "late", 2 * n))
    queries = [t.query for t in tried if t.eligible and not t.composes][:n]
    donors = two_hop()
    rows = journal(lambda query: methods.back_patch(lm, query, "t1", donors=donors), queries, "planted cells")
    table = methods.patch_table(lm.n_layers, rows)
    sources, targets = truth["planted"]["back-patching sources"], truth["planted"]["back-patching targets"]
    inside = np.array([s in sources and t in targets for s, t in table.pairs["back"]])
    right, donor, n = table.right["back"], table.right["donor"], len(queries)
    planted = right[:, inside].mean(axis=1)
    return {
        "planted_sources": sources,
        "planted_targets": targets,
        "planted_rate": Metric.mean(planted.tolist(), tol=0.06),
        "less_elsewhere": Metric.mean((planted - right[:, ~inside].mean(axis=1)).tolist(), tol=0.06),
        "less_donor": Metric.mean((planted - donor[:, inside].mean(axis=1)).tolist(), tol=0.06),
        "heatmap": Metric(table.heatmap("back"), n=n, tol=0.11),
    }


def test_bridge_metrics(bridge_by_layer, metrics):
    assert metrics == bridge_by_layer


def test_cells_metrics(planted_cells, metrics):
    assert metrics == planted_cells


@finding("the lens finds early bridges at t1 in the planted layer", tier="quick", **TESTBED)
def test_early_bridge(bridge_by_layer):
    assert bridge_by_layer.early_top_at_planted.low > 0.8
    assert bridge_by_layer.early_other_at_planted.high < 0.2


@finding("the lens finds late bridges at t1 in the planted layer, and not below", tier="quick", **TESTBED)
def test_late_bridge(bridge_by_layer):
    assert bridge_by_layer.late_top_at_planted.low > 0.8
    assert bridge_by_layer.late_other_at_planted.high < 0.2
    assert bridge_by_layer.late_top_in_lower_half.high < 0.2


@finding("back-patching at t1 works in the planted layers, and not elsewhere", tier="quick", **TESTBED)
def test_hot_cells(planted_cells):
    assert planted_cells.less_elsewhere.low > 0
    assert planted_cells.less_donor.low > 0
