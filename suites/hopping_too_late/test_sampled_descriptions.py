"""Entity description with sampled texts (Hopping Too Late, Biran et al. 2024, 4.1), as the paper has them: three for each state.

test_patchscopes.py describes states by one greedy text at tier quick. The paper draws three texts with the model's own sampling
parameters, and a state holds an entity if any of the three names it. So here: temperature 0.6 and top-p 0.9, which is what the
models that it studies most (Llama 2 and 3) come with, for all models alike. A seed, the query and the two layers decide a text,
nothing else. Three texts name more than one, of anything: the names of other queries are looked for in the same three, and the
greedy text is compared beyond such names, too. Only t1 and the bridge, of queries that are answered right.
"""

import numpy as np

from assay import methods
from assay.plugin import Metric, above, experiment, finding, not_eligible
from assay.record.curves import rate_curve

NONE = "no difference"
SEEDS = (0, 1, 2)
TEMPERATURE, TOP_P = 0.6, 0.9


@experiment
def sampled_descriptions(lm, groups, named, scope, description, journal):
    """HTL-2: is t1 described as the bridge in texts that are sampled from the nucleus?"""
    queries, (prompt, targets, _) = groups["right"], description
    if not queries:
        return not_eligible("no query is composed", n_wrong=len(groups["wrong"]))

    def said(query):
        nucleus = {"temperature": TEMPERATURE, "top_p": TOP_P}
        return [
            methods.describe_states(lm, query, prompt, targets, seeds, places=("t1",), **nucleus)["t1"]
            for seeds in (SEEDS, ())
        ]

    texts, greedy = zip(*journal(said, queries, "sampled descriptions"), strict=True)
    options = {"clusters": [query.e2 for query in queries], "tol": 0.21}
    (of_three, donor), (of_greedy, donor_of_greedy) = (
        [
            np.array([share(some, one, whose(one)) for one, some in zip(queries, of, strict=True)])
            for whose in (lambda one: [named[one.id][0]], lambda one: named[one.id][1])
        ]
        for of in (texts, greedy)
    )
    grids = [
        methods.where_described(some, one, "e2", named[one.id][0]) for one, some in zip(queries, texts, strict=True)
    ]
    return {
        "scope": scope.name,
        "target_layers": list(targets),
        "temperature": TEMPERATURE,
        "top_p": TOP_P,
        "e2_at_t1": Metric.share(of_three, control="e2_at_t1_donor", **options),
        "e2_at_t1_donor": Metric.mean(donor.tolist(), (0, 1), **options),
        "e2_at_t1_less_donor": Metric.mean((of_three - donor).tolist(), (-1, 1), **options),
        "e2_at_t1_greedy": Metric.share(of_greedy, **options),
        "sampled_less_greedy": Metric.mean(
            (of_three - donor - of_greedy + donor_of_greedy).tolist(), (-2, 2), **options
        ),
        **rate_curve("e2_at_t1_by_layer", [grid.any(axis=1) for grid in grids], tol=0.21),
    }  # fmt: skip


def share(texts, query, whose):
    """The share of the queries `whose` under whose names the texts are described as the bridge."""
    return float(np.mean([methods.where_described(texts, query, "e2", other).any() for other in whose]))


def test_sampled_metrics(sampled_descriptions, metrics):
    assert metrics == sampled_descriptions


@finding(
    "in texts sampled with top-p, t1 is described as the bridge, more often than chance would have it",
    id="HTL-2",
    tier="quick",
)
def test_bridge_in_samples(sampled_descriptions):
    assert above(sampled_descriptions.e2_at_t1_less_donor, 0, source=NONE)
