"""Sublayer projection (Hopping Too Late, Biran et al. 2024, 4.3): which sublayers write the bridge and the prediction at t2?

The lens reads the output of each attention and each MLP sublayer at the last token as if it were the last state. An
entity or the prediction is extracted in a layer when it is the top token there. The controls are the names of another query:
its bridge, and in place of the prediction its answer.
"""

import numpy as np

from assay import methods
from assay.plugin import Metric, above, experiment, finding, not_eligible
from assay.record.curves import rate_curve

CONTROLS = {"e2": "other", "e3": "other_e3", "prediction": "other_e3"}
NONE = "no difference"


@experiment
def projection(lm, groups, evaluated, named, once, tier, journal):
    """HTL-5: where e2, e3 and the prediction are the top token of an attention or MLP sublayer."""
    if not groups["right"]:
        return not_eligible("no query composes", n_right=0)
    metrics, n = {}, tier.choose(smoke=3, quick=24, full=None)  # one forward pass each
    for group, members in (
        ("right", methods.composed_queries(evaluated)),
        ("wrong", methods.failed_queries(evaluated)),
    ):
        queries = list(dict.fromkeys([*groups[group], *methods.spread(members, n)]))
        rows = journal(
            lambda query: once(lm, methods.project_query, query, *read_with(query, *named[query.id])),
            queries,
            f"projecting {group}",
        )
        metrics |= extracted(group, rows, [query.e2 for query in queries], lm.n_layers)
    return metrics


def read_with(query, whose, others):
    """The other arguments of `project_query`: the control, and in the null world the query whose names count as its own."""
    return (others[0],) if whose == query else (others[0], whose)


def extracted(group, rows, bridges, n_layers):
    """How often, and in which layers, each name is the top token of each sublayer."""
    metrics = {f"n_{group}": len(rows)}
    for sublayer in ("attn_out", "mlp_out"):
        for name in ("other", "other_e3", "e2", "e3", "prediction"):
            read = [i for i, row in enumerate(rows) if row[sublayer][name]]  # none without a telling first token
            if not read:
                continue
            what, labels = f"{group}_{sublayer}_{name}", [bridges[i] for i in read]
            on_top = np.array([rows[i][sublayer][name] for i in read]) == 0
            hits, control = on_top.any(axis=1), f"{group}_{sublayer}_{CONTROLS.get(name)}"
            beside = {"control": control} if control in metrics else {}
            metrics[what] = Metric.share(hits, labels, tol=0.1, **beside)
            beside = {"control": f"{control}_by_layer"} if beside else {}
            metrics |= rate_curve(f"{what}_by_layer", on_top, tol=0.1, **beside)
            layers = [float(np.flatnonzero(row).mean()) for row in on_top[hits]]
            found = [label for label, hit in zip(labels, hits, strict=True) if hit]
            metrics[f"{what}_layer"] = Metric.mean(layers, (0, n_layers - 1), found, tol=0.6, unit="layers")
    metrics |= less(f"{group}_mlp_less_attn", rows, bridges, ("mlp_out", "prediction"), ("attn_out", "prediction"))
    metrics |= less(f"{group}_mlp_less_other", rows, bridges, ("mlp_out", "prediction"), ("mlp_out", "other_e3"))
    return metrics | less(f"{group}_attn_e2_less_other", rows, bridges, ("attn_out", "e2"), ("attn_out", "other"))


def less(name, rows, bridges, one, other):
    """How much more often `one` (sublayer, name) is the top token than `other`, over the same queries."""
    pairs = [(row[one[0]][one[1]], row[other[0]][other[1]], label) for row, label in zip(rows, bridges, strict=True)]
    more = [(float(0 in ranks) - float(0 in others), label) for ranks, others, label in pairs if ranks and others]
    values, labels = [value for value, _ in more], [label for _, label in more]
    return {name: Metric.mean(values, (-1, 1), labels, tol=0.1)}


def test_metrics(projection, metrics):
    assert metrics == projection


@finding(
    "MLP sublayers extract the prediction: more often than attention, and than another answer", id="HTL-5", tier="quick"
)
def test_mlp_extracts(projection):
    beyond_attention = above(projection.right_mlp_less_attn, 0, source=NONE)
    assert beyond_attention & above(projection.right_mlp_less_other, 0, source=NONE)


@finding("the prediction is extracted in the upper half of the layers", id="HTL-5", tier="quick")
def test_extraction_is_late(projection):
    middle = (len(projection.right_mlp_out_prediction_by_layer) - 1) / 2
    # One layer would count.
    assert above(projection.right_mlp_out_prediction_layer, middle, source="the middle of the layers", worth=1)


@finding("attention writes the bridge at t2, more often than another bridge", id="HTL-5", tier="quick")
def test_attention_brings_the_bridge(projection):
    assert above(projection.right_attn_e2_less_other, 0, source=NONE)
