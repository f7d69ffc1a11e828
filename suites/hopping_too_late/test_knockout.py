"""Attention knockout (Hopping Too Late, Biran et al. 2024, 4.4): in which layers must t2 look at t1 for the answer to come?

On its way to the answer a token is kept from looking at another in a window of layers around each layer in turn (3 of 32 on
both sides, the same share in other models). A knockout matters when the continuation is another one, unless it and the
undisturbed one both hold the right answer. The control keeps t2 from looking at the word "of", which carries nothing.
The paper's other pairs are measured beside it, and the same on the prompts of each single hop (HTL-11).

The best and the worst window of a query are those of the other half of the bridges, so that picking them is no advantage.
"""

from dataclasses import asdict
from functools import partial

import numpy as np

from assay.data.two_hop import split
from assay.models.testbed import planted_truth
from assay.plugin import Metric, experiment, finding, not_eligible, not_replicated
from assay.plugin.curves import mean_curve, rate_curve

PAPER = {"paper": "Hopping Too Late", "ref": "arXiv:2406.12775"}
TESTBED = {"paper": "Testbed", "ref": "planted truth of the built-in models"}


@experiment
def knockout(lm, groups, blocked, once, journal):
    """HTL-4: t2 <- t1 and the paper's other pairs, in compositions."""
    from assay.methods.knockout import half_width

    if len(groups["right"]) < 2:
        return not_eligible(f"{len(groups['right'])} queries compose", n_right=len(groups["right"]))
    metrics = {"half_width": half_width(lm.n_layers)}
    for group, queries in groups.items():
        rows = journal(partial(knocked_out, once, lm, "prompt", blocked[group]), queries, f"knockout, {group}")
        metrics |= by_pair(group, queries, rows, "e3_aliases")
    return metrics


@experiment
def single_hops(lm, groups, once, tier, journal):
    """HTL-11: the same on the prompts of the first and the second hop."""
    from assay.methods.knockout import PAIRS
    from assay.methods.two_hop import spread

    queries = spread(groups["right"], tier.choose(smoke=3, quick=12, full=None))
    if len(queries) < 2:
        return not_eligible(f"{len(queries)} queries compose", n_right=len(queries))
    metrics = {}
    for prompt, aliases in (("first_hop", "e2_aliases"), ("second_hop", "e3_aliases")):
        rows = journal(partial(knocked_out, once, lm, prompt, PAIRS[prompt]), queries, prompt)
        metrics |= by_pair(prompt, queries, rows, aliases)
    return metrics


@experiment
def knockout_planted(lm, model_spec, groups, once, journal):
    """Built-in models: do single layers of t2 <- t1 matter where the second hop was planted, and nowhere else?"""
    from assay.methods.knockout import MAIN, NOTHING

    truth = planted_truth(model_spec)
    if truth is None:
        return not_eligible("nothing was planted in this model")
    early = [query for query in groups["right"] if query.e1 in truth["entities"]["early"]]
    if len(early) < 2:
        return not_eligible(f"{len(early)} early queries compose", n_queries=len(early))
    rows = journal(
        partial(knocked_out, once, lm, "prompt", (MAIN, NOTHING), half=0), early, "knockout of single layers"
    )
    drops, nothing = (np.array([drop(row, pair) for row in rows]) for pair in (MAIN, NOTHING))
    band = truth["planted"]["second hop"]
    outside = [layer for layer in range(lm.n_layers) if layer not in band]
    elsewhere, control = drops[:, outside].mean(axis=1), nothing[:, band].mean(axis=1)
    return {
        "planted_layers": band,
        **mean_curve("drop_by_layer", drops, tol=0.5, unit="nats", control="drop_of_by_layer"),
        **mean_curve("drop_of_by_layer", nothing, tol=0.5, unit="nats"),
        "inside_less_outside": Metric.mean((drops[:, band].mean(axis=1) - elsewhere).tolist(), tol=0.3, unit="nats"),
        "inside_less_nothing": Metric.mean((drops[:, band].mean(axis=1) - control).tolist(), tol=0.3, unit="nats"),
    }


def knocked_out(once, lm, prompt, pairs, query, half=None):
    """`knock_out_query` as JSON."""
    from assay.methods.knockout import knock_out_query

    return asdict(once(lm, knock_out_query, query, prompt, pairs, half))


def by_pair(name, queries, rows, aliases):
    """For each pair: by layer, how often the knockout matters, and what it takes from the prediction."""
    from assay.methods.knockout import NOTHING, KnockedOut, matters

    n, metrics, best = len(queries), {f"n_{name}": len(queries)}, {}
    if n < 2:
        return metrics
    control = metric_name(name, NOTHING)
    for pair in sorted(rows[0]["texts"], key=lambda pair: pair != NOTHING):  # the control first
        what = metric_name(name, pair)
        flags = np.array(
            [matters(KnockedOut(**r), pair, getattr(q, aliases)) for r, q in zip(rows, queries, strict=True)]
        )
        best[what], worst = windows_of_other_half(queries, flags)
        beside = {} if what == control else {"control": f"{control}_by_layer"}
        metrics |= rate_curve(f"{what}_by_layer", flags, tol=0.21, **beside)
        beside = {} if what == control else {"control": f"{control}_nats_by_layer"}
        drops = [drop(row, pair) for row in rows]
        metrics |= mean_curve(f"{what}_nats_by_layer", drops, tol=0.5, unit="nats", **beside)
        metrics[f"{what}_best"] = Metric.rate(int(best[what].sum()), n, tol=0.21)
        metrics[f"{what}_worst"] = Metric.rate(int(worst.sum()), n, tol=0.21)
        metrics[f"{what}_best_less_worst"] = paired(best[what], worst)
        if what != control:
            metrics[f"{what}_best_less_nothing"] = paired(best[what], best[control])
    return metrics


def metric_name(name, pair):
    return f"{name}_{pair.replace(' <- ', '_from_')}"


def drop(row, pair):
    """Nats that the knockout takes from the log-probability of the undisturbed prediction, by layer."""
    return [row["clean_log_prob"] - after for after in row["log_probs"][pair]]


def paired(flags, others):
    """The mean difference of two outcomes of the same queries."""
    return Metric.mean((flags.astype(float) - others).tolist(), tol=0.21)


def windows_of_other_half(queries, flags):
    """For each query, whether the knockout matters in the window that matters most, and least, to the other half."""
    half = np.array([split(query) == "select" for query in queries])
    best, worst = np.zeros(len(queries), bool), np.zeros(len(queries), bool)
    for mine in (half, ~half):
        if mine.any() and (~mine).any():
            share = flags[~mine].mean(axis=0)
            best[mine], worst[mine] = flags[mine][:, share.argmax()], flags[mine][:, share.argmin()]
    return best, worst


def test_metrics(knockout, metrics):
    assert metrics == knockout


def test_single_hop_metrics(single_hops, metrics):
    assert metrics == single_hops


def test_planted_metrics(knockout_planted, metrics):
    assert metrics == knockout_planted


@finding("keeping t2 from t1 changes answers in some layers, and not in others", id="HTL-4", tier="quick", **PAPER)
def test_matters_in_a_band(knockout):
    assert knockout.right_last_from_e1_best_less_worst.low > 0


@finding('keeping t2 from t1 changes more answers than keeping it from "of"', id="HTL-4", tier="quick", **PAPER)
@not_replicated(
    "llama_tiny", "qwen_tiny", tier="quick", reason='keeping t2 from "of" changes about as many answers in this model'
)
def test_matters_more_than_nothing(knockout):
    assert knockout.right_last_from_e1_best_less_nothing.low > 0


@finding('on single hops t2 must look at the entity, and need not at "of"', id="HTL-11", tier="quick", **PAPER)
@not_replicated(
    "tiny",
    tier="quick",
    reason="no window of layers changes a single hop: the layers outside it bring the entity to t2 too",
)
def test_single_hops_need_the_entity(single_hops):
    assert single_hops.first_hop_last_from_e1_best_less_nothing.low > 0
    assert single_hops.second_hop_last_from_e2_best_less_nothing.low > 0


@finding("t2 reads t1 in the planted layers, and not below", tier="quick", **TESTBED)
@not_replicated(
    "llama_tiny",
    "qwen_tiny",
    tier="quick",
    reason="one layer less is made up for by the others: t1 is read in all layers from 3 on",
)
def test_planted_band(knockout_planted):
    assert knockout_planted.inside_less_outside.low > 0
    assert knockout_planted.inside_less_nothing.low > 0
