"""Entity description (Hopping Too Late, Biran et al. 2024, 4.1, 4.2): which entities do t1 and t2 hold, from which layer on?

The state of every layer at t1 (the end of "the performer of Imagine") and at t2 (the last token) is patched into the "x" of
a target prompt, at many target layers, and the model goes on. The state holds an entity when a continuation names it in the
form of a description (": John Lennon "). The names of other queries, of the same family where there are such, in the same texts
(`donor`), and the query's names in texts made with random vectors of the same norms (`noise`), say what chance would give.

The target prompt is one of the paper's, "describe" and "repeat", or "apposition" ("This is about x:") for models of short
statements: the one that names most bridges when the source prompt states them ("The capital of Texas is"), on half of the
bridges. The first layer is the lowest source layer whose state is described as the entity at any target layer, as in the paper.

Some target layers compute the bridge whatever is patched in (see `assay.methods.hopping_too_late.description`): `read_states`
asks the same of those that only read, found on the half of the bridges that a query is not in. Where no target layer reads
without computing, it is not eligible.

The paper draws three samples with the model's own sampling parameters; here temperature is 1, without top-p, at tier full.
"""

import numpy as np

from assay import methods
from assay.plugin import Metric, above, below, experiment, finding, not_eligible
from assay.record.curves import rate_curve

PLACES = (("e2", "t1"), ("e2", "t2"), ("e3", "t2"))
NONE = "no difference"
LAYERS = 1.0
"""The difference of mean layers that would count: one layer."""


@experiment
def scope_control(scope, null_world):
    """Which target prompt names an entity that the source prompt states; chosen on one half of the bridges."""
    tried = scope.named[scope.name]
    if not all(tried.values()):
        return not_eligible("too few second hops are known", **{f"n_{half}": len(hits) for half, hits in tried.items()})
    metrics = {"scope": scope.name}
    for name, by_half in scope.named.items():
        metrics[f"named_{name}"] = Metric.share(by_half["select"], tol=0.15)
    own, chance = np.array(tried["report"], float), np.array(scope.chance[scope.name]["report"], float)
    if null_world:
        own, chance = chance[:, 0], chance[:, 1:]
    bridges, chance = scope.bridges, chance.mean(axis=1)
    metrics["named_on_report"] = Metric.share(own, bridges, tol=0.15, control="donor_on_report")
    metrics["donor_on_report"] = Metric.mean(chance.tolist(), (0, 1), bridges, tol=0.15)
    metrics["named_less_donor"] = Metric.mean((own - chance).tolist(), (-1, 1), bridges, tol=0.15)
    return metrics


@experiment
def descriptions(lm, groups, named, scope, description, once, journal):
    """HTL-2 and HTL-3: which entities are described, and from which source layer on."""
    if not (groups["right"] and groups["wrong"]):
        return not_eligible("no query of one of the two outcomes", **{f"n_{g}": len(q) for g, q in groups.items()})
    metrics = {"scope": scope.name, "target_layers": list(description[1])}
    for group, queries in groups.items():
        texts = journal(
            lambda query: once(lm, methods.describe_states, query, *description), queries, f"describing {group}"
        )
        metrics |= described(group, queries, texts, named, description[1])
    return metrics


@experiment
def read_states(lm, groups, named, description, once, journal):
    """HTL-2 by target layers that read and do not compute: the first source layer from which the bridge is read at t1."""
    queries = [*groups["right"], *groups["wrong"]]
    if not (groups["right"] and groups["wrong"]):
        return not_eligible("no query of one of the two outcomes", **{f"n_{g}": len(q) for g, q in groups.items()})
    texts = journal(lambda query: once(lm, methods.describe_states, query, *description), queries, "reading states")
    reading = methods.reading_targets_by_other_half(
        queries, [methods.where_described(t["t1"], q, "e2") for q, t in zip(queries, texts, strict=True)]
    )
    if not any(reading):
        return not_eligible("no target layer reads the bridge without computing it", n_queries=len(queries))
    metrics = {}
    for group, start in (("right", 0), ("wrong", len(groups["right"]))):
        chosen = [i for i in range(start, start + len(groups[group])) if reading[i]]
        metrics[f"n_{group}"] = len(chosen)
        for entity, place in PLACES:
            what = f"{group}_{entity}_at_{place}"
            grids = [
                methods.where_described(texts[i][place], queries[i], entity, named[queries[i].id][0]) for i in chosen
            ]
            read = [grid[:, reading[i]].any(axis=1) for i, grid in zip(chosen, grids, strict=True)]
            metrics |= rate_curve(f"{what}_by_layer", read, tol=0.21) if chosen else {}
            layers = [methods.first_source_layer(grid, reading[i]) for i, grid in zip(chosen, grids, strict=True)]
            metrics[f"{what}_first"] = first_layers(layers, [queries[i].e2 for i in chosen], lm.n_layers)
    return metrics


def described(group, queries, texts, named, targets):
    """Metrics of one group: shares of queries, first layers, and heatmaps."""
    n, bridges, metrics, firsts = len(queries), [query.e2 for query in queries], {f"n_{group}": len(queries)}, {}
    told = list(zip(queries, texts, strict=True))
    options = {"clusters": bridges, "tol": 0.21}
    less_donor = {}
    for entity, place in PLACES:
        what = f"{group}_{entity}_at_{place}"
        own = [methods.where_described(t[place], q, entity, named[q.id][0]) for q, t in told]
        held = np.array([grid.any() for grid in own], float)
        donor = np.array([described_as(t[place], q, entity, named[q.id][1]) for q, t in told])
        less_donor[entity, place] = held - donor
        metrics[what] = Metric.share(held, control=f"{what}_donor", **options)
        metrics[f"{what}_donor"] = Metric.mean(donor.tolist(), (0, 1), **options)
        metrics[f"{what}_less_donor"] = Metric.mean((held - donor).tolist(), (-1, 1), **options)
        metrics |= rate_curve(f"{what}_by_layer", [grid.any(axis=1) for grid in own], tol=0.21)
        firsts[entity, place] = [methods.first_source_layer(grid) for grid in own]
        metrics[f"{what}_first"] = first_layers(firsts[entity, place], bridges, len(own[0]))
        metrics[f"heatmap_{what}"] = Metric(all_layers(np.mean(own, axis=0), targets), n=n, tol=0.21)
        if (entity, place) == ("e2", "t1"):
            noise = np.array([described_as(t["noise"], q, entity, [named[q.id][0]]) for q, t in told])
            metrics[f"{what}_noise"] = Metric.share(noise, **options)
            metrics[f"{what}_less_noise"] = Metric.mean((held - noise).tolist(), (-1, 1), **options)
    # How much more often the bridge is described at t1 than at t2, beyond the names of other queries.
    apart = less_donor["e2", "t1"] - less_donor["e2", "t2"]
    metrics[f"{group}_t1_less_t2"] = Metric.mean(apart.tolist(), (-2, 2), **options)
    pairs = list(zip(firsts["e2", "t1"], firsts["e3", "t2"], bridges, strict=True))
    both = [(bridge < answer, label) for bridge, answer, label in pairs if None not in (bridge, answer)]
    metrics[f"{group}_bridge_first"] = Metric.share([first for first, _ in both], [label for _, label in both], tol=0.2)
    return metrics


def described_as(texts, query, entity, whose):
    """The share of the queries `whose` under whose names the texts are described as the entity."""
    return float(np.mean([methods.where_described(texts, query, entity, other).any() for other in whose]))


def first_layers(layers, bridges, n_layers):
    """The mean of first layers, over the queries in which there is one."""
    found = [(layer, bridge) for layer, bridge in zip(layers, bridges, strict=True) if layer is not None]
    values, labels = [layer for layer, _ in found], [bridge for _, bridge in found]
    return Metric.mean(values, (0, n_layers - 1), labels, tol=0.6, unit="layers")


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


def test_read_metrics(read_states, metrics):
    assert metrics == read_states


@finding("some target prompt names the entities that a prompt says", id="HTL-2", tier="quick")
def test_scope_works(scope_control):
    assert above(scope_control.named_less_donor, 0, source=NONE)


@finding("t1 is described as the bridge, more often than chance would have it", id="HTL-2", tier="quick")
def test_bridge_at_t1(descriptions):
    beyond_names = above(descriptions.right_e2_at_t1_less_donor, 0, source=NONE)
    assert beyond_names & above(descriptions.right_e2_at_t1_less_noise, 0, source=NONE)


@finding("the bridge is at t1 in lower layers when the answer is right", id="HTL-2", tier="quick")
def test_bridge_is_earlier_when_right(descriptions):
    assert below(descriptions.right_e2_at_t1_first, descriptions.wrong_e2_at_t1_first, worth=LAYERS)


@finding(
    "the bridge is at t1 in lower layers when the answer is right, by target layers that read and do not compute",
    id="HTL-2",
    tier="quick",
)
def test_bridge_is_read_earlier_when_right(read_states):
    assert below(read_states.right_e2_at_t1_first, read_states.wrong_e2_at_t1_first, worth=LAYERS)


@finding("t2 is described as the answer, more often than chance would have it", id="HTL-3", tier="quick")
def test_answer_at_t2(descriptions):
    assert above(descriptions.right_e3_at_t2_less_donor, 0, source=NONE)


@finding("t2 is described as the bridge less often than t1, beyond chance", id="HTL-3", tier="quick")
def test_bridge_at_t2_is_rarer(descriptions):
    assert above(descriptions.right_t1_less_t2, 0, source=NONE)


@finding("the bridge is at t1 in lower layers than the answer at t2", id="HTL-3", tier="quick")
def test_bridge_before_answer(descriptions):
    assert above(descriptions.right_bridge_first, 0.5, source="either of the two first")
