"""Cross-prompt patching (the code of Hopping Too Late, Biran et al. 2024): is the state at t1 a name that the second hop can use?

The state at t1 of a query is put in the place of an "x" in the same query ("The capital of the state containing x is") and in
the prompt of its second hop alone ("The capital of x is"); the state of its r2 word in "The x of the state containing Dallas
is". A variant works on a query when some pair of source and target layers brings out the answer. As many pairs are tried
with the same part of another query, which has another bridge and another answer.
"""

import numpy as np

from assay import methods
from assay.plugin import Metric, experiment, finding, not_eligible, not_replicated
from assay.record.curves import mean_or_nan

FEW = "right in more queries than with a donor's state, but the interval of six queries reaches zero"


@experiment
def cross_patching(lm, groups, evaluated, tier, journal):
    """HTL-10: the three variants on right and on wrong queries, with the query's own states and with another query's."""
    n = tier.choose(smoke=2, quick=6, full=None)
    layers = range(0, lm.n_layers, tier.choose(4, 2, 1) * (1 if tier == "full" else max(1, lm.n_layers // 8)))
    everything, metrics = [e.query for e in evaluated], {"layers": list(layers)}
    for group, queries in groups.items():
        chosen = methods.spread(queries, n)
        if not chosen:
            return not_eligible(f"no query is {group}", **{f"n_{g}": len(q) for g, q in groups.items()})
        rows = journal(
            lambda query: methods.cross_patch(
                lm, query, methods.draw_donor(query, everything, methods.query_rng(query)), layers
            ),
            chosen,
            f"cross-prompt patching of {group}",
        )
        metrics |= brought_out(group, rows, layers, lm.n_layers)
    return metrics


def brought_out(group, rows, layers, n_layers):
    """For each variant: the share of queries on which some pair works, with own and other states, and the table of pairs."""
    n, metrics = len(rows), {f"n_{group}": len(rows)}
    for variant in [name for name in rows[0] if not name.endswith("donor")]:
        what = f"{group}_{variant.replace(' ', '_')}"
        own, donor = (np.array([row[name] for row in rows]) for name in (variant, f"{variant} from donor"))
        metrics[what] = Metric.rate(int(own.any(axis=(1, 2)).sum()), n, tol=0.34, control=f"{what}_donor")
        metrics[f"{what}_donor"] = Metric.rate(int(donor.any(axis=(1, 2)).sum()), n, tol=0.34)
        more = own.any(axis=(1, 2)).astype(float) - donor.any(axis=(1, 2))
        metrics[f"{what}_less_donor"] = mean_or_nan(more.tolist(), tol=0.34)
        table = [[None] * n_layers for _ in range(n_layers)]
        for i, source in enumerate(layers):
            for j, target in enumerate(layers):
                table[source][target] = float(own[:, i, j].mean())
        metrics[f"heatmap_{what}"] = Metric(table, n=n, tol=0.34)
    return metrics


def test_metrics(cross_patching, metrics):
    assert metrics == cross_patching


@finding("the second hop alone finds the answer from the state at t1", id="HTL-10", tier="quick")
@not_replicated("gemma_tiny", "sizes", tier="quick", reason=FEW)
def test_second_hop_uses_t1(cross_patching):
    assert cross_patching.right_e1_to_second_hop_less_donor.low > 0


@finding("t1's state in the place of the entity answers queries that fail", id="HTL-10", tier="quick")
def test_composition_uses_t1(cross_patching):
    assert cross_patching.wrong_e1_to_composition_less_donor.low > 0
