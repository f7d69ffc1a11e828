"""Attention knockout (Hopping Too Late, Biran et al. 2024, 4.4): in which layers does the answer need attention from t2 to t1?

Attention from one token to another is knocked out in a window of layers around each layer in turn (3 of 32 on both sides, the
same share in other models). A knockout matters when it changes the continuation, unless the old and the new one both hold the
right answer; its cost is the drop of the prediction's log-probability in nats. Beside t1 alone, as in the paper, attention
from t2 to the whole phrase from e1 to t1 is knocked out, since its other tokens may hold the bridge too. The paper's other
pairs are measured on some of the queries, and on the prompts of each single hop (HTL-11).

The controls knock out attention from t2 to words without information: the article that begins the r1 phrase and the words after
the two relations; in the prompt of a single hop only the last of these, since the article is its first token, on which attention
rests in models without a BOS. The costs of t1 and of the controls are compared query by query in the upper half of the layers,
since in the lowest ones every token of so short a prompt matters. The best and the worst window of a query are chosen on the
other half of the bridges, so that the choice gives no advantage.

In the null world, t1 and the controls change places at random, query by query.
"""

from dataclasses import asdict
from functools import partial

import numpy as np

from assay import methods
from assay.data.two_hop import half_of
from assay.plugin import Metric, above, experiment, finding, not_eligible
from assay.record.curves import mean_curve, rate_curve
from assay.testbed.planted import planted_truth

TESTBED = {"paper": "Testbed", "ref": "planted truth of the built-in models"}
NONE = "no difference"
BOUNDS = {  # of shares of changed answers; windows are chosen on other queries, so the worst may change more than the best
    "best": (0, 1),
    "best_less_worst": (-1, 1),
    "upper_less_nothing": (-1, 1),
    "best_less_worst_less_nothing": (-2, 2),
}
COUNTS = 0.1
"""Nats that count: a tenth off the probability of the answer."""


@experiment
def knockout(lm, groups, blocked, once, tier, null_world, journal):
    """HTL-4: attention from t2 to t1 in compositions, and on some of the right ones the paper's other pairs."""
    if len(groups["right"]) < 2:
        return not_eligible(f"{len(groups['right'])} queries compose", n_right=len(groups["right"]))
    metrics, measured = {"half_width": methods.knockout_half_width(lm.n_layers)}, {}
    fillers = methods.FILLER_PAIRS["prompt"]
    for group, queries in groups.items():
        rows = journal(partial(knocked_out, once, lm, "prompt", blocked), queries, f"knockout, {group}")
        metrics |= by_pair(group, queries, rows, "e3_aliases", fillers, null_world)
        measured |= {query.id: row for query, row in zip(queries, rows, strict=True)}
    some = methods.spread(groups["right"], tier.choose(smoke=2, quick=6, full=None))
    pairs = tuple(pair for pair in methods.KNOCKOUT_PAIRS["prompt"] if pair not in blocked)
    rows = journal(partial(knocked_out, once, lm, "prompt", pairs), some, "knockout, other pairs")
    rows = [with_pairs(row, measured[query.id], fillers) for query, row in zip(some, rows, strict=True)]
    return metrics | by_pair("others", some, rows, "e3_aliases", fillers, null_world)


@experiment
def single_hops(lm, groups, once, tier, null_world, journal):
    """HTL-11: attention knockout on the prompts of the first and the second hop."""
    queries = methods.spread(groups["right"], tier.choose(smoke=3, quick=12, full=None))
    if len(queries) < 2:
        return not_eligible(f"{len(queries)} queries compose", n_right=len(queries))
    metrics = {}
    for prompt, aliases in (("first_hop", "e2_aliases"), ("second_hop", "e3_aliases")):
        rows = journal(partial(knocked_out, once, lm, prompt, methods.KNOCKOUT_PAIRS[prompt]), queries, prompt)
        metrics |= by_pair(prompt, queries, rows, aliases, methods.FILLER_PAIRS[prompt], null_world)
    return metrics


@experiment
def knockout_planted(lm, model_spec, groups, blocked, once, null_world, journal):
    """Built-in models: does t2 need attention to the phrase of e1 where the second hop was planted, and nowhere else?

    Compares windows inside the planted layers with those outside. An early query has its bridge at t1 before these layers.
    """
    truth = planted_truth(model_spec)
    if truth is None:
        return not_eligible("nothing was planted in this model")
    both = [*groups["right"], *groups["wrong"]] if null_world else groups["right"]
    early = [query for query in both if query.e1 in truth["entities"]["early"]]
    if len(early) < 2:
        return not_eligible(f"{len(early)} early queries compose", n_queries=len(early))
    rows = journal(partial(knocked_out, once, lm, "prompt", blocked), early, "knockout of the phrase")
    tables = [np.array([drop(row, pair) for row in rows]) for pair in blocked]
    cost, fillers = dealt(tables[blocked.index(methods.LAST_FROM_PHRASE)], tables[2:], null_world)
    nothing = np.mean(fillers, axis=0)
    half, n_layers = methods.knockout_half_width(lm.n_layers), lm.n_layers
    windows = [set(methods.knockout_window(centre, half, n_layers)) for centre in range(n_layers)]
    planted = set(truth["planted"]["second hop"])
    inside = [centre for centre, layers in enumerate(windows) if layers <= planted]
    outside = [centre for centre, layers in enumerate(windows) if not layers & planted]
    band, bridges = cost[:, inside].mean(axis=1), [query.e2 for query in early]

    def mean(values, tol, **options):
        return Metric.mean(values.tolist(), clusters=bridges, tol=tol, unit="nats", **options)

    return {
        "planted_layers": sorted(planted),
        "centres_inside": inside,
        "centres_outside": outside,
        **mean_curve("cost_by_layer", cost, tol=0.5, unit="nats", control="cost_the_by_layer"),
        **mean_curve("cost_the_by_layer", nothing, tol=0.5, unit="nats"),
        "inside": mean(band, 0.5, control="outside"),
        "outside": mean(cost[:, outside].mean(axis=1), 0.3),
        "inside_less_outside": mean(band - cost[:, outside].mean(axis=1), 0.5),
        "inside_less_nothing": mean(band - nothing[:, inside].mean(axis=1), 0.5),
    }


def knocked_out(once, lm, prompt, pairs, query):
    """`knock_out_query` as JSON."""
    return asdict(once(lm, methods.knock_out_query, query, prompt, pairs))


def with_pairs(row, other, pairs):
    """A row of `knocked_out`, with some pairs of another row of the same query."""
    return row | {part: {**{pair: other[part][pair] for pair in pairs}, **row[part]} for part in ("texts", "log_probs")}


def by_pair(name, queries, rows, aliases, fillers, null_world):
    """For each pair and layer: how often the knockout matters, and its mean cost in nats; for pairs that are no controls, also
    how much more than the `fillers`."""
    n, metrics, bridges = len(queries), {f"n_{name}": len(queries)}, [query.e2 for query in queries]
    if n < 2:
        return metrics
    found = [methods.KnockedOut(**row) for row in rows]

    def changed(pair):
        told = zip(found, queries, strict=True)
        return np.array([methods.knockout_matters(one, pair, getattr(q, aliases)) for one, q in told], float)

    def cost(pair):
        return np.array([drop(row, pair) for row in rows])

    for suffix, table_of, curve, bounds, options in (
        ("", changed, rate_curve, BOUNDS, {"tol": 0.26}),
        ("_nats", cost, mean_curve, {}, {"tol": 0.5, "unit": "nats"}),
    ):
        controls = [table_of(pair) for pair in fillers]
        beside = {"control": f"{metric_name(name, fillers[0])}{suffix}_by_layer"}
        for pair in sorted(rows[0]["texts"], key=lambda pair: pair not in fillers):  # the controls first
            what, given = f"{metric_name(name, pair)}{suffix}", table_of(pair)
            metrics |= curve(f"{what}_by_layer", given, **options, **({} if pair in fillers else beside))
            table, nothing = (given, []) if pair in fillers else dealt(given, controls, null_world)
            best, worst = of_other_half(queries, table)
            measured = {"best": best, "best_less_worst": best - worst}
            if nothing:
                upper = [one[:, one.shape[1] // 2 :].mean(axis=1) for one in (table, *nothing)]
                apart = [np.subtract(*of_other_half(queries, one)) for one in nothing]
                measured["upper_less_nothing"] = upper[0] - np.mean(upper[1:], axis=0)
                measured["best_less_worst_less_nothing"] = best - worst - np.mean(apart, axis=0)
            for which, values in measured.items():
                metrics[f"{what}_{which}"] = Metric.mean(values.tolist(), bounds.get(which), bridges, **options)
    return metrics


def dealt(own, fillers, null_world):
    """The table [queries, layers] of a pair and those of the controls; in the null world dealt anew, query by query.

    With several controls, the pair's place is taken by one of them; with one, the two change places by the fall of a coin.
    """
    if not null_world:
        return own, fillers
    tables = np.array(fillers if len(fillers) > 1 else [own, *fillers])  # [tables, queries, layers]
    order = np.random.default_rng(0).permuted(np.tile(np.arange(len(tables))[:, None], len(own)), axis=0)
    first, *rest = np.take_along_axis(tables, order[:, :, None], axis=0)
    return first, rest


def metric_name(name, pair):
    return f"{name}_{pair.replace(' <- ', '_from_')}"


def drop(row, pair):
    """Nats that the knockout takes from the log-probability of the undisturbed prediction, by layer."""
    return [row["clean_log_prob"] - after for after in row["log_probs"][pair]]


def of_other_half(queries, table):
    """For each query its values in the windows with the highest and the lowest mean over the other half of the bridges."""
    half = np.array([half_of(query) == "select" for query in queries])
    high, low = np.zeros(len(queries)), np.zeros(len(queries))
    for mine in (half, ~half):
        # If one half is empty, the other chooses for itself, as in the paper.
        judges = table[~mine] if (~mine).any() else table[mine]
        if mine.any():
            mean = judges.mean(axis=0)
            high[mine], low[mine] = table[mine][:, mean.argmax()], table[mine][:, mean.argmin()]
    return high, low


def test_metrics(knockout, metrics):
    assert metrics == knockout


def test_single_hop_metrics(single_hops, metrics):
    assert metrics == single_hops


def test_planted_metrics(knockout_planted, metrics):
    assert metrics == knockout_planted


@finding(
    "keeping t2 from t1 changes answers in some layers more than in others, beyond a control", id="HTL-4", tier="quick"
)
def test_matters_somewhere(knockout):
    assert above(knockout.right_last_from_e1_best_less_worst_less_nothing, 0, source=NONE)


@finding(
    "keeping t2 from the whole phrase of e1 changes answers in some layers more than in others, beyond a control",
    id="HTL-4",
    tier="quick",
)
def test_matters_in_a_band(knockout):
    assert above(knockout.right_last_from_phrase_best_less_worst_less_nothing, 0, source=NONE)


@finding("in the upper layers t1 changes more answers than words without information do", id="HTL-4", tier="quick")
def test_changes_more_than_nothing(knockout):
    assert above(knockout.right_last_from_e1_upper_less_nothing, 0, source=NONE)


@finding("in the upper layers t1 costs the answer more than words without information do", id="HTL-4", tier="quick")
def test_matters_more_than_nothing(knockout):
    assert above(knockout.right_last_from_e1_nats_upper_less_nothing, 0, source=NONE, worth=COUNTS)


@finding(
    "in single hops, too, keeping the last token from the entity costs more than from a word without information",
    id="HTL-11",
    tier="quick",
)
def test_single_hops_need_the_entity(single_hops):
    first = above(single_hops.first_hop_last_from_e1_nats_upper_less_nothing, 0, source=NONE, worth=COUNTS)
    assert first & above(single_hops.second_hop_last_from_e2_nats_upper_less_nothing, 0, source=NONE, worth=COUNTS)


@finding("t2 reads the phrase of e1 in the planted layers, and not below", tier="quick", **TESTBED)
def test_planted_band(knockout_planted):
    beyond_others = above(knockout_planted.inside_less_outside, 0, source=NONE, worth=COUNTS)
    assert beyond_others & above(knockout_planted.inside_less_nothing, 0, source=NONE, worth=COUNTS)
