"""Plan, phase 2.1: by the logit lens at the last token, in which layer does the bridge appear, and in which the answer?

An entity has appeared when the first token of one of its names is among the thirty likeliest. A query is sequential when its
bridge appears in a lower layer than its answer; the gap is how many layers lie between. The plan's four prompts are
among the queries. The control reads the bridge and the answer of another query from the same states, since first tokens appear
by chance among thirty in every layer. The same is measured with the likeliest token alone (`top`).

The plan's hypothesis, that larger models are more sequential, compares models: the report draws the metrics `scaling_*` of
all recorded models by their size.
"""

import numpy as np

from assay import methods
from assay.data.two_hop import standard
from assay.plugin import Metric, above, experiment, finding, not_eligible, not_replicated
from assay.record.curves import rate_curve

TOP = 30
READ_AT_T1 = "the second hop reads the bridge at t1, where it is; at the last token it comes late and after the answer, if at all"


@experiment
def two_hop_layers(lm, evaluated, named, tier):
    """Ranks of bridge and answer at the last token, over queries that the model knows hop by hop."""
    known = [e.query for e in evaluated if e.eligible]
    if len(known) < 2:
        return not_eligible(f"{len(known)} of {len(evaluated)} queries are known hop by hop", n_known=len(known))
    everything = [e.query for e in evaluated]
    chosen = methods.spread(known, tier.choose(4, 40, None))
    queries = list(dict.fromkeys([*(q for q in standard() if q in known), *chosen]))
    owners, others = [named[query.id][0] for query in queries], [named[query.id][1][0] for query in queries]
    ranked = methods.last_token_ranks(lm, queries, others, owners)
    read = [i for i, row in enumerate(ranked) if all(row.values())]  # every name has a telling token
    rows, bridges = [ranked[i] for i in read], [queries[i].e2 for i in read]
    if not rows:
        return not_eligible("no name has a first token that tells it from others", n_known=len(known))
    ranks = {name: np.array([row[name] for row in rows]) for name in ("e2", "e3", "other", "other_e3")}
    metrics = {"n_queries": len(queries), "n_read": len(rows)}
    plan = methods.last_token_ranks(lm, standard(), [methods.other_query(query, everything) for query in standard()])
    for entity in ("e2", "e3"):  # the plan's four prompts, whether the model knows their hops or not
        metrics[f"plan_{entity}_layers"] = Metric([first_within(row[entity], TOP) for row in plan], n=len(plan), tol=1)
    for name, top in (("top30", TOP), ("top", 1)):
        metrics |= appearance(name, {entity: table < top for entity, table in ranks.items()}, bridges, lm.n_layers)
    return metrics


def first_within(ranks, top):
    """The first layer with a rank below `top`; -1 if there is none, or if the name has no telling first token."""
    return next((layer for layer, rank in enumerate(ranks or ()) if rank < top), -1)


def appearance(name, seen, bridges, n_layers):
    """From bools [queries, layers] by entity: curves, shares, gaps, and how many queries are sequential."""
    n, metrics = len(bridges), {}
    for entity, control in (("other", None), ("other_e3", None), ("e2", "other"), ("e3", "other_e3")):
        beside = {"control": f"{name}_{control}_by_layer"} if control else {}
        metrics |= rate_curve(f"{name}_{entity}_by_layer", seen[entity], tol=0.06, **beside)
        beside = {"control": f"{name}_{control}"} if control else {}
        metrics[f"{name}_{entity}"] = Metric.share(seen[entity].any(axis=1), bridges, tol=0.06, **beside)
    more = seen["e2"].any(axis=1).astype(float) - seen["other"].any(axis=1)
    metrics[f"{name}_e2_less_other"] = Metric.mean(more.tolist(), (-1, 1), bridges, tol=0.06)
    for bridge, answer, suffix in (("e2", "e3", ""), ("other", "other_e3", "_other")):
        both = seen[bridge].any(axis=1) & seen[answer].any(axis=1)
        gaps = seen[answer][both].argmax(axis=1) - seen[bridge][both].argmax(axis=1)
        found, ends = [label for label, hit in zip(bridges, both, strict=True) if hit], (1 - n_layers, n_layers - 1)
        options = {"control": f"scaling_{name}_gap_other"} if not suffix else {}
        metrics[f"scaling_{name}_gap{suffix}"] = Metric.mean(
            gaps.tolist(), ends, found, tol=0.5, unit="layers", **options
        )
        if not suffix:
            metrics[f"scaling_{name}_sequential"] = Metric.rate(int((gaps > 0).sum()), n, tol=0.06)
            metrics[f"{name}_both"] = Metric.share(both, bridges, tol=0.06)
            metrics[f"scaling_{name}_gap_of_depth"] = Metric.mean((gaps / n_layers).tolist(), (-1, 1), found, tol=0.06)
    return metrics


def test_metrics(two_hop_layers, metrics):
    assert metrics == two_hop_layers


@finding("the bridge appears at the last token, more often than another bridge", id="PLAN-2.1", tier="quick")
def test_bridge_appears(two_hop_layers):
    assert above(two_hop_layers.top30_e2_less_other, 0, source="no difference")


@finding("the bridge appears in lower layers than the answer", id="PLAN-2.1", tier="quick")
@not_replicated("tiny", "llama_tiny4", reason=READ_AT_T1)
def test_gap(two_hop_layers):
    # One layer would count.
    assert above(two_hop_layers.scaling_top30_gap, 0, source="no difference", worth=1)
