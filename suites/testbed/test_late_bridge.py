"""Calibration on models with a planted mechanism: do the lens and back-patching find the bridge where it was put?

In a built-in model the first hop of *early* entities is made in the first layers, that of *late* ones by the last layers
only (`testbed.json` names them). A planted bridge that an instrument misses is a limit of the instrument. A
model without planted truth is not eligible. The numbers validate methods and say nothing about large language models.

In the null world the bridge is that of a second other query, and the states patched are those of a second donor.
"""

import numpy as np

from assay import methods
from assay.data.two_hop import half_of, two_hop
from assay.plugin import Metric, above, below, experiment, finding, not_eligible
from assay.testbed.planted import planted_truth

TESTBED = {"paper": "Testbed", "ref": "planted truth of the built-in models"}
NOTHING_PLANTED = "nothing was planted in this model"
MADE = "training reached more, by its own measure"
NONE = "no difference"


def queries_of(truth, kind, n):
    """n queries of all families whose first entity is early or late, from the half "report" (see `half_of`)."""
    wanted = set(truth["entities"][kind])
    found = [q for q in two_hop() if q.e1 in wanted and half_of(q) == "report"]
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))[:n]]


@experiment
def bridge_by_layer(lm, model_spec, tier, null_world):
    """Rank of the bridge (and, as control, of another query's bridge) at t1, through the logit lens."""
    truth = planted_truth(model_spec)
    if truth is None:
        return not_eligible(NOTHING_PLANTED)
    n = tier.choose(smoke=8, quick=40, full=200)
    metrics = {}
    for kind in ("early", "late"):
        queries = queries_of(truth, kind, n)
        drawn = [methods.other_queries(query, queries, 2) for query in queries]
        owners = [others[-1] for others in drawn] if null_world else queries
        lenses = [methods.logit_lens(lm, q.prompt, q.t1_text) for q in queries]
        own = np.array([lens.ranks(" " + o.e2) for lens, o in zip(lenses, owners, strict=True)])
        other = np.array([lens.ranks(" " + others[0].e2) for lens, others in zip(lenses, drawn, strict=True)])
        bridges = [query.e2 for query in queries]
        (lens_layer,) = truth["planted"][f"{kind} bridge at t1 from layer"]
        metrics |= {
            f"{kind}_median_rank": Metric(np.median(own, axis=0).tolist(), n=n, tol=3),
            f"{kind}_median_rank_other": Metric(np.median(other, axis=0).tolist(), n=n, tol=60),
            f"{kind}_top_at_planted": Metric.share(own[:, lens_layer] == 0, bridges, tol=0.03),
            f"{kind}_other_at_planted": Metric.share(other[:, lens_layer] == 0, bridges, tol=0.03),
            f"{kind}_top_in_lower_half": Metric.share((own[:, : lm.n_layers // 2] == 0).any(axis=1), bridges, tol=0.03),
        }
    return metrics


@experiment
def planted_cells(lm, model_spec, tier, null_world, journal):
    """Back-patching at t1 of late queries: are the hot cells (source, target) the planted ones?"""
    truth = planted_truth(model_spec)
    if truth is None:
        return not_eligible(NOTHING_PLANTED)
    n = tier.choose(smoke=3, quick=12, full=60)
    tried = methods.evaluate_queries(lm, queries_of(truth, "late", 2 * n))
    queries = [t.query for t in tried if t.eligible and not t.composes][:n]
    donors = two_hop()
    own = {q.id: methods.draw_donor(q, donors, methods.query_rng(q, seed=1)) for q in queries if null_world}
    rows = journal(
        lambda query: methods.back_patch(lm, query, "t1", donors=donors, own=own.get(query.id)),
        queries,
        "planted cells",
    )
    table = methods.patch_table(lm.n_layers, rows)
    sources, targets = truth["planted"]["back-patching sources"], truth["planted"]["back-patching targets"]
    inside = np.array([s in sources and t in targets for s, t in table.pairs["back"]])
    right, donor, n = table.right["back"], table.right["donor"], len(queries)
    planted, bridges = right[:, inside].mean(axis=1), [query.e2 for query in queries]
    elsewhere, by_donor = right[:, ~inside].mean(axis=1), donor[:, inside].mean(axis=1)
    return {
        "planted_sources": sources,
        "planted_targets": targets,
        "planted_rate": Metric.mean(planted.tolist(), (0, 1), bridges, tol=0.06),
        "less_elsewhere": Metric.mean((planted - elsewhere).tolist(), (-1, 1), bridges, tol=0.06),
        "less_donor": Metric.mean((planted - by_donor).tolist(), (-1, 1), bridges, tol=0.06),
        "heatmap": Metric(table.heatmap("back"), n=n, tol=0.11),
    }


def test_bridge_metrics(bridge_by_layer, metrics):
    assert metrics == bridge_by_layer


def test_cells_metrics(planted_cells, metrics):
    assert metrics == planted_cells


@finding("the lens finds early bridges at t1 in the planted layer", tier="quick", **TESTBED)
def test_early_bridge(bridge_by_layer):
    found = above(bridge_by_layer.early_top_at_planted, 0.8, source=MADE)
    assert found & below(bridge_by_layer.early_other_at_planted, 0.2, source=MADE)


@finding("the lens finds late bridges at t1 in the planted layer, and not below", tier="quick", **TESTBED)
def test_late_bridge(bridge_by_layer):
    found = above(bridge_by_layer.late_top_at_planted, 0.8, source=MADE)
    found &= below(bridge_by_layer.late_other_at_planted, 0.2, source=MADE)
    assert found & below(bridge_by_layer.late_top_in_lower_half, 0.2, source=MADE)


@finding("back-patching at t1 works in the planted layers, and not elsewhere", tier="quick", **TESTBED)
def test_hot_cells(planted_cells):
    assert above(planted_cells.less_elsewhere, 0, source=NONE) & above(planted_cells.less_donor, 0, source=NONE)
