"""The four stages (Hopping Too Late, Biran et al. 2024, section 5): in which order is a query solved, and where does it go wrong?

The stages of a query are the layers in which the bridge appears at t1, t2 reads it, the answer appears at t2, and the prediction
is extracted (see `timeline.py`). Two stages come in order in a query when the later one is in a higher layer; the *concordance*
of a query is the mean over all pairs of stages, 1 where all are in order and 0 by chance. Stages are in order when the
concordance is above 0 and every stage comes after the one before it, over queries in which all were found: extraction is late
in any case. Right queries are compared with wrong ones.

The stages are also read by the logit lens alone: it needs no target prompt, and finds the answer where Patchscopes names bridges
only. `read_timeline` reads them without target layers that compute the bridge themselves (see `description.py`).

In the null world the stages of every query change places at random, and queries are dealt to right and wrong at random.
"""

from dataclasses import asdict
from functools import partial

import numpy as np

from assay import methods
from assay.plugin import Metric, above, experiment, finding, not_eligible

ORDERS = {  # the stages whose order is asked for, over queries in which all of these were found
    "four_stages": ("first hop", "propagation", "second hop", "extraction"),
    "without_second_hop": ("first hop", "propagation", "extraction"),
    "hops": ("first hop", "second hop"),
}
NONE = "no difference"
LAYERS = 1.0
"""The difference of mean layers that would count: one layer."""


@experiment
def timeline(lm, groups, named, description, blocked, once, null_world, journal):
    """HTL-6: the layers of all stages, by the paper's instruments and by the lens."""
    if not all(groups.values()):
        return not_eligible("no query of one of the two outcomes", **{f"n_{g}": len(q) for g, q in groups.items()})
    metrics = {"stages_labels": list(methods.STAGES)}
    for group, queries in groups.items():
        traces = journal(partial(measured, once, lm, description, blocked, named), queries, f"stages of {group}")
        told = list(zip(queries, traces, strict=True))
        for instrument, stages in (
            ("", [methods.query_stages(query, *instruments(trace)) for query, trace in told]),
            ("lens_", [methods.lens_stages(trace["lens"]) for trace in traces]),
        ):
            metrics |= in_order(f"{instrument}{group}", stages, queries, lm.n_layers, null_world)
    return metrics


@experiment
def read_timeline(lm, groups, named, description, blocked, once, null_world, journal):
    """HTL-6: the stages by target layers that read the bridge and do not compute it."""
    queries = [*groups["right"], *groups["wrong"]]
    if not all(groups.values()):
        return not_eligible("no query of one of the two outcomes", **{f"n_{g}": len(q) for g, q in groups.items()})
    traces = journal(partial(measured, once, lm, description, blocked, named), queries, "stages")
    held = [methods.where_described(t["described"]["t1"], q, "e2") for q, t in zip(queries, traces, strict=True)]
    reading = methods.reading_targets_by_other_half(queries, held)
    if not any(reading):
        return not_eligible("no target layer reads the bridge without computing it", n_queries=len(queries))
    metrics = {"stages_labels": list(methods.STAGES)}
    for group, start in (("right", 0), ("wrong", len(groups["right"]))):
        chosen = [i for i in range(start, start + len(groups[group])) if reading[i]]
        stages = [methods.query_stages(queries[i], *instruments(traces[i]), targets=reading[i]) for i in chosen]
        metrics |= in_order(group, stages, [queries[i] for i in chosen], lm.n_layers, null_world)
    return metrics


def measured(once, lm, description, pairs, named, query):
    """The readings of all instruments on one query; measurements of the other modules are reused."""
    return {
        "described": once(lm, methods.describe_states, query, *description),
        "blocked": asdict(once(lm, methods.knock_out_query, query, "prompt", pairs)),
        "projected": once(lm, methods.project_query, query, named[query.id][1][0]),
        "lens": once(lm, methods.lens_ranks, query),
    }


def instruments(trace):
    """What `query_stages` reads of a trace."""
    return trace["described"], methods.KnockedOut(**trace["blocked"]), trace["projected"]


def in_order(name, stages, queries, n_layers, null_world):
    """Metrics of one group by one instrument: how often each stage was found, where, and whether they come in order."""
    bridges, rng = [query.e2 for query in queries], np.random.default_rng(0)
    metrics = {f"stages_{name}": Metric(methods.stage_layers(stages), n=len(stages), tol=0.6, unit="layers")}
    for stage in methods.STAGES:
        layers = [row[stage] for row in stages]
        hits, what = [layer is not None for layer in layers], f"{name}_{stage.replace(' ', '_')}"
        metrics[f"{what}_found"] = Metric.share(hits, bridges, tol=0.26)
        metrics[what] = Metric.mean(
            [layer for layer in layers if layer is not None],
            (0, n_layers - 1),
            [bridge for bridge, hit in zip(bridges, hits, strict=True) if hit],
            tol=0.6,
            unit="layers",
        )
    for order, which in ORDERS.items():
        complete = [None not in [row[stage] for stage in which] for row in stages]
        rows = methods.complete_stages(stages, which)
        if null_world:
            rows = [rng.permutation(row).tolist() for row in rows]
        options = {"clusters": [bridge for bridge, all_ in zip(bridges, complete, strict=True) if all_], "tol": 0.26}
        what = f"{name}_{order}"
        metrics[f"{what}_complete"] = Metric.share(complete, bridges, tol=0.26)
        metrics[f"{what}_concordance"] = Metric.mean([methods.concordance(row) for row in rows], (-1, 1), **options)
        for i in range(1, len(which)):
            steps = [methods.concordance(row[i - 1 : i + 1]) for row in rows]
            metrics[f"{what}_step_{i}"] = Metric.mean(steps, (-1, 1), **options)
    hops = methods.complete_stages(stages, ORDERS["hops"])
    metrics[f"{name}_inversions"] = Metric.share([first > second for first, second in hops], tol=0.26)
    return metrics


def comes_in_order(measured, what, order):
    """The judgement that the stages of `order` come in order: their concordance, and each stage after the one before it."""
    judged = above(measured[f"{what}_{order}_concordance"], 0, source="random order")
    for i in range(1, len(ORDERS[order])):
        judged &= above(measured[f"{what}_{order}_step_{i}"], 0, source="random order")
    return judged


def test_metrics(timeline, metrics):
    assert metrics == timeline


def test_read_metrics(read_timeline, metrics):
    assert metrics == read_timeline


@finding("right answers go through the four stages in order", id="HTL-6", tier="quick")
def test_order(timeline):
    assert comes_in_order(timeline, "right", "four_stages")


@finding("the first hop, its propagation and the extraction come in order", id="HTL-6", tier="quick")
def test_order_without_second_hop(timeline):
    assert comes_in_order(timeline, "right", "without_second_hop")


@finding(
    "the first hop, its propagation and the extraction come in order, by target layers that read and do not compute",
    id="HTL-6",
    tier="quick",
)
def test_read_order_without_second_hop(read_timeline):
    assert comes_in_order(read_timeline, "right", "without_second_hop")


@finding("by the lens, the bridge is at t1 in lower layers than the answer at t2", id="HTL-6", tier="quick")
def test_hops_in_order_by_lens(timeline):
    assert comes_in_order(timeline, "lens_right", "hops")


@finding("the first hop is resolved later when the answer is wrong", id="HTL-6", tier="quick")
def test_first_hop_is_later_when_wrong(timeline):
    assert above(timeline.wrong_first_hop, timeline.right_first_hop, worth=LAYERS)


@finding(
    "the first hop is resolved later when the answer is wrong, by target layers that read and do not compute",
    id="HTL-6",
    tier="quick",
)
def test_first_hop_is_read_later_when_wrong(read_timeline):
    assert above(read_timeline.wrong_first_hop, read_timeline.right_first_hop, worth=LAYERS)


@finding("the first hop is resolved later when the answer is wrong, by the lens", id="HTL-6", tier="quick")
def test_first_hop_is_later_when_wrong_by_lens(timeline):
    assert above(timeline.lens_wrong_first_hop, timeline.lens_right_first_hop, worth=LAYERS)
