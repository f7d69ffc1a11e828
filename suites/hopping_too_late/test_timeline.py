"""The four stages (Hopping Too Late, Biran et al. 2024, section 5): in which order is a query solved, and where does it go wrong?

The stages of a query are the layers in which the bridge appears at t1, t2 reads it, the answer appears at t2, and the prediction
is extracted (see `timeline.py`). Page's trend test asks whether these layers rise from stage to stage, over queries in which
all stages were found. Right queries are compared with wrong ones.

The stages are also read without target layers that compute the bridge themselves (`reading`, see `description.py`), and by
the logit lens alone: it needs no target prompt, and finds the answer where Patchscopes names bridges only.
"""

from dataclasses import asdict
from functools import partial

from assay import methods
from assay.plugin import Metric, experiment, finding, not_eligible, not_replicated
from assay.record.curves import mean_or_nan
from assay.stats import page_trend

ORDERS = {  # the stages of each trend test, over queries in which all of these were found
    "four_stages": ("first hop", "propagation", "second hop", "extraction"),
    "without_second_hop": ("first hop", "propagation", "extraction"),
    "hops": ("first hop", "second hop"),
}
OVERLAP = "later when wrong in the mean, but the intervals overlap"


@experiment
def timeline(lm, groups, evaluated, description, blocked, once, journal):
    """HTL-6: the layers of all stages, by the paper's instruments and by the lens."""
    if not all(groups.values()):
        return not_eligible("no query of one of the two outcomes", **{f"n_{g}": len(q) for g, q in groups.items()})
    everything = [e.query for e in evaluated]
    traces = {
        group: journal(partial(measured, once, lm, description, blocked, everything), queries, f"stages of {group}")
        for group, queries in groups.items()
    }
    told = [(q, t) for group in groups for q, t in zip(groups[group], traces[group], strict=True)]
    held = [methods.where_described(trace["described"]["t1"], query, "e2") for query, trace in told]
    reading = iter(methods.reading_targets_by_other_half([query for query, _ in told], held))
    metrics = {"stages_labels": list(methods.STAGES)}
    for group, queries in groups.items():
        found = {"": [], "reading_": [], "lens_": []}
        for query, trace in zip(queries, traces[group], strict=True):
            read = query, trace["described"], methods.KnockedOut(**trace["blocked"]), trace["projected"]
            found[""].append(methods.query_stages(*read))
            found["reading_"].append(methods.query_stages(*read, targets=next(reading)))
            found["lens_"].append(methods.lens_stages(trace["lens"]))
        for instrument, stages in found.items():
            metrics |= in_order(f"{instrument}{group}", stages, methods.STAGES)
    return metrics


def measured(once, lm, description, pairs, everything, query):
    """The readings of all instruments on one query; measurements of the other modules are reused."""
    return {
        "described": once(lm, methods.describe_states, query, *description),
        "blocked": asdict(once(lm, methods.knock_out_query, query, "prompt", pairs)),
        "projected": once(lm, methods.project_query, query, methods.other_query(query, everything)),
        "lens": once(lm, methods.lens_ranks, query),
    }


def in_order(name, stages, labels):
    """Metrics of one group by one instrument: how often each stage was found, where, and whether they come in order."""
    n, found = len(stages), methods.stage_layers(stages)
    metrics = {f"stages_{name}": Metric(found, n=n, tol=0.6, unit="layers")}
    for stage, layers in zip(labels, found, strict=True):
        what = f"{name}_{stage.replace(' ', '_')}"
        metrics[f"{what}_found"] = Metric.rate(len(layers), n, tol=0.26)
        metrics[what] = mean_or_nan(layers, tol=0.6, unit="layers")
    for order, which in ORDERS.items():
        rows = methods.complete_stages(stages, which)
        metrics[f"{name}_{order}_complete"] = Metric.rate(len(rows), n, tol=0.26)
        metrics[f"{name}_{order}_p"] = Metric(page_trend(rows), n=len(rows), tol=0.05)
    hops = methods.complete_stages(stages, ("first hop", "second hop"))
    metrics[f"{name}_inversions"] = Metric.rate(sum(first > second for first, second in hops), len(hops), tol=0.26)
    return metrics


def test_metrics(timeline, metrics):
    assert metrics == timeline


@finding("right answers go through the four stages in order", id="HTL-6", tier="quick")
def test_order(timeline):
    assert timeline.right_four_stages_p < 0.05


@finding("the first hop, its propagation and the extraction come in order", id="HTL-6", tier="quick")
def test_order_without_second_hop(timeline):
    assert timeline.right_without_second_hop_p < 0.05


@finding("these three come in order by target layers that read and do not compute", id="HTL-6", tier="quick")
@not_replicated("llama_tiny", tier="quick", reason="two queries show all three by these target layers")
def test_read_order_without_second_hop(timeline):
    assert timeline.reading_right_without_second_hop_p < 0.05


@finding("by the lens, the bridge is at t1 in lower layers than the answer at t2", id="HTL-6", tier="quick")
def test_hops_in_order_by_lens(timeline):
    assert timeline.lens_right_hops_p < 0.05


@finding("the first hop is resolved later when the answer is wrong", id="HTL-6", tier="quick")
@not_replicated("qwen_tiny", tier="quick", reason=OVERLAP)
def test_first_hop_is_later_when_wrong(timeline):
    assert timeline.wrong_first_hop.low > timeline.right_first_hop.high


@finding("the same, by target layers that read and do not compute", id="HTL-6", tier="quick")
@not_replicated("llama_tiny", "qwen_tiny", tier="quick", reason=OVERLAP)
def test_first_hop_is_read_later_when_wrong(timeline):
    assert timeline.reading_wrong_first_hop.low > timeline.reading_right_first_hop.high


@finding("the first hop is resolved later when the answer is wrong, by the lens", id="HTL-6", tier="quick")
def test_first_hop_is_later_when_wrong_by_lens(timeline):
    assert timeline.lens_wrong_first_hop.low > timeline.lens_right_first_hop.high
