"""Entity description (Hopping Too Late, Biran et al. 2024, 4.1, 4.2): which entities do t1 and t2 hold, from which layer on?

The state of every layer at t1 (the end of "the performer of Imagine") and at t2 (the last token) is patched into the "x" of
a target prompt, at many target layers, and the model goes on. The state holds an entity when a continuation names it in the
form of a description (": John Lennon "). The same texts judged by the names of another query (`donor`), and as many made
with random vectors of the same norms (`noise`), say what chance would give.

The target prompt is one of the paper's, "describe" and "repeat", or "apposition" ("This is about x:") for models of short
statements: the one that names most bridges when the source prompt states them ("The capital of Texas is"), on half of the
bridges. The first layer is the lowest source layer whose state is described as the entity at any target layer, as in the
paper; `reading` leaves out target layers that compute the bridge whatever is patched in (see
`assay.methods.hopping_too_late.description`), found on the half of the bridges that a query is not in.
"""

import numpy as np

from assay import methods
from assay.plugin import Metric, experiment, finding, not_eligible, not_replicated
from assay.record.curves import mean_or_nan, rate_curve
from assay.stats import sign_test

PLACES = (("e2", "t1"), ("e2", "t2"), ("e3", "t2"))
OVERLAP = "earlier when right in the mean, but the intervals overlap"
NO_ANSWERS = "appositions of a built-in model name an entity's bridge; they describe too few answers in this one"


@experiment
def scope_control(scope):
    """Which target prompt names an entity that the source prompt states; chosen on one half of the bridges."""
    tried = scope.named[scope.name]
    if not all(tried.values()):
        return not_eligible("too few second hops are known", **{f"n_{half}": len(hits) for half, hits in tried.items()})
    metrics = {"scope": scope.name}
    for name, by_half in scope.named.items():
        metrics[f"named_{name}"] = Metric.rate(sum(by_half["select"]), len(by_half["select"]), tol=0.15)
    report, chance = tried["report"], scope.chance[scope.name]["report"]
    metrics["named_on_report"] = Metric.rate(sum(report), len(report), tol=0.15, control="donor_on_report")
    metrics["donor_on_report"] = Metric.rate(sum(chance), len(chance), tol=0.15)
    return metrics


@experiment
def descriptions(lm, groups, scope, description, once, journal):
    """HTL-2 and HTL-3: which entities are described, and from which source layer on."""
    if not (groups["right"] and groups["wrong"]):
        return not_eligible("no query of one of the two outcomes", **{f"n_{g}": len(q) for g, q in groups.items()})
    targets = description[1]
    rows = {
        group: journal(
            lambda query: once(lm, methods.describe_states, query, *description), queries, f"describing {group}"
        )
        for group, queries in groups.items()
    }
    queries, texts = [*groups["right"], *groups["wrong"]], [*rows["right"], *rows["wrong"]]
    reading = methods.reading_targets_by_other_half(
        queries, [methods.where_described(t["t1"], q, "e2") for q, t in zip(queries, texts, strict=True)]
    )
    metrics = {"scope": scope.name, "target_layers": list(targets)}
    for group in groups:
        chosen = [i for i, query in enumerate(queries) if query in groups[group]]
        metrics |= described(
            group, [queries[i] for i in chosen], [texts[i] for i in chosen], [reading[i] for i in chosen], targets
        )
    return metrics


def described(group, queries, texts, reading, targets):
    """Metrics of one group: shares of queries, first layers, and heatmaps."""
    n, metrics, firsts = len(queries), {f"n_{group}": len(queries)}, {}
    for entity, place in PLACES:
        what = f"{group}_{entity}_at_{place}"
        own = [methods.where_described(t[place], q, entity) for q, t in zip(queries, texts, strict=True)]
        donor = [methods.where_described(texts[other(queries, i)][place], q, entity) for i, q in enumerate(queries)]
        metrics[what] = Metric.rate(int(sum(grid.any() for grid in own)), n, tol=0.21, control=f"{what}_donor")
        metrics[f"{what}_donor"] = Metric.rate(int(sum(grid.any() for grid in donor)), n, tol=0.21)
        by_layer = [grid[:, read].any(axis=1) for grid, read in zip(own, reading, strict=True)]
        metrics |= rate_curve(f"{what}_by_layer", by_layer, tol=0.21)
        firsts[entity, place] = [methods.first_source_layer(grid) for grid in own]
        metrics[f"{what}_first"] = mean_or_nan(found(firsts[entity, place]), tol=0.6, unit="layers")
        by_reading = [methods.first_source_layer(grid, read) for grid, read in zip(own, reading, strict=True)]
        metrics[f"{what}_first_reading"] = mean_or_nan(found(by_reading), tol=0.6, unit="layers")
        metrics[f"heatmap_{what}"] = Metric(all_layers(np.mean(own, axis=0), targets), n=n, tol=0.21)
    held = [
        [methods.where_described(t[place], q, "e2").any() for place in ("t1", "t2")]
        for q, t in zip(queries, texts, strict=True)
    ]
    metrics[f"{group}_t1_less_t2"] = mean_or_nan([float(t1) - float(t2) for t1, t2 in held], tol=0.21)
    noise = sum(methods.where_described(t["noise"], q, "e2").any() for q, t in zip(queries, texts, strict=True))
    metrics[f"{group}_e2_at_t1_noise"] = Metric.rate(int(noise), n, tol=0.21)
    pairs = [(a, b) for a, b in zip(firsts["e2", "t1"], firsts["e3", "t2"], strict=True) if None not in (a, b)]
    metrics[f"{group}_bridge_first"] = Metric.rate(sum(a < b for a, b in pairs), len(pairs), tol=0.2)
    metrics[f"{group}_bridge_first_p"] = Metric(sign_test([b - a for a, b in pairs]), n=len(pairs), tol=0.1)
    return metrics


def found(layers):
    return [layer for layer in layers if layer is not None]


def other(queries, i):
    """Index of another query of the group, with another bridge and answer; the query itself when there is none."""
    fits = [*range(i + 1, len(queries)), *range(i)]
    return next((j for j in fits if queries[j].e2 != queries[i].e2 and queries[j].e3 != queries[i].e3), i)


def all_layers(share, targets):
    """[sources, targets tried] as a table over all target layers; None where none was tried."""
    table = [[None] * len(share) for _ in share]
    for source, row in enumerate(share.tolist()):
        for target, value in zip(targets, row, strict=True):
            table[source][target] = value
    return table


def test_scope_metrics(scope_control, metrics):
    assert metrics == scope_control


def test_metrics(descriptions, metrics):
    assert metrics == descriptions


@finding("some target prompt names the entities that a prompt says", id="HTL-2")
def test_scope_works(scope_control):
    assert scope_control.named_on_report.low > scope_control.donor_on_report.high


@finding("t1 is described as the bridge, more often than chance would have it", id="HTL-2", tier="quick")
def test_bridge_at_t1(descriptions):
    held = descriptions.right_e2_at_t1
    assert held.low > descriptions.right_e2_at_t1_donor.high
    assert held.low > descriptions.right_e2_at_t1_noise.high


@finding("the bridge is at t1 in lower layers when the answer is right", id="HTL-2", tier="quick")
@not_replicated("qwen_tiny", tier="quick", reason=OVERLAP)
def test_bridge_is_earlier_when_right(descriptions):
    assert descriptions.right_e2_at_t1_first.high < descriptions.wrong_e2_at_t1_first.low


@finding("the same, by target layers that read and do not compute", id="HTL-2", tier="quick")
@not_replicated("llama_tiny", "qwen_tiny", tier="quick", reason=OVERLAP)
def test_bridge_is_read_earlier_when_right(descriptions):
    assert descriptions.right_e2_at_t1_first_reading.high < descriptions.wrong_e2_at_t1_first_reading.low


@finding("t2 is described as the answer, more often than chance would have it", id="HTL-3", tier="quick")
@not_replicated("tiny", "llama_tiny4", reason=NO_ANSWERS)
def test_answer_at_t2(descriptions):
    assert descriptions.right_e3_at_t2.low > descriptions.right_e3_at_t2_donor.high


@finding("t2 is described as the bridge less often than t1", id="HTL-3", tier="quick")
def test_bridge_at_t2_is_rarer(descriptions):
    assert descriptions.right_t1_less_t2.low > 0


@finding("the bridge is at t1 in lower layers than the answer at t2", id="HTL-3", tier="quick")
@not_replicated("tiny", reason=NO_ANSWERS)
def test_bridge_before_answer(descriptions):
    assert descriptions.right_bridge_first.low > 0.5
