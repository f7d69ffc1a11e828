"""Cross-prompt patching (the code of Hopping Too Late, Biran et al. 2024): is the state at t1 a name that the second hop can use?

The state at t1 of a query is put in the place of an "x" in the same query ("The capital of the state containing x is") and in
the prompt of its second hop alone ("The capital of x is"); the state of its r2 word in "The x of the state containing Dallas
is". A variant works on a query when some pair of source and target layers brings out the answer. As many pairs are tried
with the same part of another query, which has another bridge and another answer; each query has a donor of its own.

The published code counts pairs from a later into an earlier layer only: `from_later` beside the count over all pairs.
"""

import numpy as np

from assay import methods
from assay.plugin import Metric, above, experiment, finding, not_eligible

NONE = "no difference"


@experiment
def cross_patching(lm, groups, evaluated, donated, tier, journal):
    """HTL-10: the three variants on right and on wrong queries, with the query's own states and with another query's."""
    n = tier.choose(smoke=2, quick=10, full=None)
    layers = range(0, lm.n_layers, tier.choose(4, 2, 1) * (1 if tier == "full" else max(1, lm.n_layers // 8)))
    everything, metrics = [e.query for e in evaluated], {"layers": list(layers)}
    for group, queries in groups.items():
        chosen = methods.spread(queries, n)
        if not chosen:
            return not_eligible(f"no query is {group}", **{f"n_{g}": len(q) for g, q in groups.items()})
        rows = journal(
            lambda query: methods.cross_patch(
                lm,
                query,
                methods.draw_donor(query, everything, methods.query_rng(query)),
                layers,
                own=donated.get(query.id),
            ),
            chosen,
            f"cross-prompt patching of {group}",
        )
        metrics |= brought_out(group, rows, [query.e2 for query in chosen], layers, lm.n_layers)
    return metrics


def brought_out(group, rows, bridges, layers, n_layers):
    """For each variant: the share of queries on which some pair works, with own and other states, and the table of pairs."""
    metrics = {f"n_{group}": len(rows)}
    for variant in [name for name in rows[0] if not name.endswith("donor")]:
        what = f"{group}_{variant.replace(' ', '_')}"
        for which, counted in (("", list), ("_from_later", methods.from_later)):
            own, donor = (
                np.array([np.any(counted(row[name])) for row in rows], float)
                for name in (variant, f"{variant} from donor")
            )
            options = {"clusters": bridges, "tol": 0.34}
            metrics[what + which] = Metric.share(own, control=f"{what}{which}_donor", **options)
            metrics[f"{what}{which}_donor"] = Metric.share(donor, **options)
            metrics[f"{what}{which}_less_donor"] = Metric.mean((own - donor).tolist(), (-1, 1), **options)
        works = np.array([row[variant] for row in rows], float)
        table = [[None] * n_layers for _ in range(n_layers)]
        for i, source in enumerate(layers):
            for j, target in enumerate(layers):
                table[source][target] = float(works[:, i, j].mean())
        metrics[f"heatmap_{what}"] = Metric(table, n=len(rows), tol=0.34)
    return metrics


def test_metrics(cross_patching, metrics):
    assert metrics == cross_patching


@finding("the second hop alone finds the answer from the state at t1", id="HTL-10", tier="quick")
def test_second_hop_uses_t1(cross_patching):
    assert above(cross_patching.right_e1_to_second_hop_less_donor, 0, source=NONE)


@finding("t1's state in the place of the entity answers queries that fail", id="HTL-10", tier="quick")
def test_composition_uses_t1(cross_patching):
    assert above(cross_patching.wrong_e1_to_composition_less_donor, 0, source=NONE)
