"""Sublayer projection (Hopping Too Late, Biran et al. 2024, 4.3): which sublayers write the bridge and the prediction at t2?

The lens reads the output of each attention and each MLP sublayer at the last token as if it were the last state. An
entity or the prediction is extracted in a layer when it is the top token there. The control is the bridge of another query.
"""

import numpy as np

from assay import methods
from assay.plugin import Metric, experiment, finding, not_eligible
from assay.record.curves import mean_or_nan, rate_curve

FEW = "few sublayers of this model have the prediction on top by themselves: it is the sum of several"


@experiment
def projection(lm, groups, evaluated, once, tier, journal):
    """HTL-5: where e2, e3 and the prediction are the top token of an attention or MLP sublayer."""
    if not groups["right"]:
        return not_eligible("no query composes", n_right=0)
    everything, metrics = [e.query for e in evaluated], {}
    n = tier.choose(smoke=3, quick=24, full=None)  # one forward pass each
    for group, members in (
        ("right", methods.composed_queries(evaluated)),
        ("wrong", methods.failed_queries(evaluated)),
    ):
        queries = list(dict.fromkeys([*groups[group], *methods.spread(members, n)]))
        rows = journal(
            lambda query: once(lm, methods.project_query, query, methods.other_query(query, everything)),
            queries,
            f"projecting {group}",
        )
        metrics |= extracted(group, rows)
    return metrics


def extracted(group, rows):
    """How often, and in which layers, each name is the top token of each sublayer."""
    metrics = {f"n_{group}": len(rows)}
    for sublayer in ("attn_out", "mlp_out"):
        for name in ("other", "e2", "e3", "prediction"):
            ranks = [row[sublayer][name] for row in rows if row[sublayer][name]]  # none without a telling first token
            if not ranks:
                continue
            what, on_top = f"{group}_{sublayer}_{name}", np.array(ranks) == 0
            hits = on_top.any(axis=1)
            control = None if name == "other" else f"{group}_{sublayer}_other"
            metrics[what] = Metric.rate(int(hits.sum()), len(ranks), tol=0.1, control=control)
            metrics |= rate_curve(
                f"{what}_by_layer", on_top, tol=0.1, **({"control": f"{control}_by_layer"} if control else {})
            )
            layers = [float(np.flatnonzero(row).mean()) for row in on_top[hits]]
            metrics[f"{what}_layer"] = mean_or_nan(layers, tol=0.6, unit="layers")
    metrics |= less(f"{group}_mlp_less_attn", rows, ("mlp_out", "prediction"), ("attn_out", "prediction"))
    return metrics | less(f"{group}_attn_e2_less_other", rows, ("attn_out", "e2"), ("attn_out", "other"))


def less(name, rows, one, other):
    """How much more often `one` (name, sublayer) is the top token than `other`, over the same queries."""
    pairs = [(row[one[0]][one[1]], row[other[0]][other[1]]) for row in rows]
    more = [float(0 in ranks) - float(0 in others) for ranks, others in pairs if ranks and others]
    return {name: mean_or_nan(more, tol=0.1)}


def test_metrics(projection, metrics):
    assert metrics == projection


@finding("MLP sublayers extract the prediction more often than attention sublayers", id="HTL-5", tier="quick")
def test_mlp_extracts(projection):
    assert projection.right_mlp_less_attn.low > 0


@finding("the prediction is extracted in the upper half of the layers", id="HTL-5", tier="quick")
def test_extraction_is_late(projection):
    assert projection.right_mlp_out_prediction_layer.low > (len(projection.right_mlp_out_prediction_by_layer) - 1) / 2


@finding("attention writes the bridge at t2, more often than another bridge", id="HTL-5", tier="quick")
def test_attention_brings_the_bridge(projection):
    assert projection.right_attn_e2_less_other.low > 0
