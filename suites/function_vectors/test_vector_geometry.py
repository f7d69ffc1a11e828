"""The geometry of function vectors (Todd et al. 2024, appendix), and their effect at this size of model.

The queries of each task are split in two, so that a task has two vectors from different queries; a task gives one cosine within
and one mean cosine with other tasks. The control is random heads of the same layers, a hundred sets, since cosines cost nothing:
whatever heads write at the last token depends on the task to some extent, and more for one set of heads than for another. The
effect at this size is one number for each model; the report draws it over sizes, and no claim about scaling can be made on a
single model.
"""

import numpy as np

from assay import methods
from assay.plugin import Metric, above, experiment, finding, not_eligible

SETS = 100


@experiment
def fv_geometry(lm, study, less):
    """FV-19: cosines of function vectors within and between tasks."""
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    first = len(methods.RANDOM_KINDS) + 1  # the draws before it are used as vectors
    sets = [study.heads, *(study.random_order(first + draw)[: study.choice.count] for draw in range(SETS))]
    kinds, vectors = [], []
    for name in study.able:
        half = methods.query_halves(study.recorded_trials(name))
        right = study.recorded[name].score.right
        chosen = [right & (half == which) for which in (0, 1)]
        if not all(of.any() for of in chosen):
            continue
        for of in chosen:
            writes = written(lm, study.recorded[name].means(of))
            kinds.append(name)
            vectors.append([sum(writes[layer, head] for layer, head in heads) for heads in sets])
    tasks = list(dict.fromkeys(kinds))
    if len(tasks) < 2:
        return not_eligible("fewer than 2 tasks have right prompts in both halves of their queries", n_tasks=len(tasks))
    cosines, *of_random = map(methods.cosine_matrix, np.array(vectors).transpose(1, 0, 2))
    within, between = methods.within_and_between_kinds(cosines, kinds)
    closer = within - between
    random = [np.subtract(*methods.within_and_between_kinds(of, kinds)) for of in of_random]
    nearest = [methods.nearest_is_own_kind(of, kinds) for of in of_random]
    return {
        "within": Metric.mean(within.tolist(), (-1, 1), tol=0.05),
        "between": Metric.mean(between.tolist(), (-1, 1), tol=0.05),
        "closer_within": Metric.mean(closer.tolist(), tol=0.05, control="random_heads_closer_within"),
        "random_heads_closer_within": Metric.mean(np.mean(random, axis=0).tolist(), tol=0.05),
        "closer_within_less_random_heads": less(closer, *random, bounds=None, tol=0.05),
        "random_sets_below": Metric.rate(int(sum(closer.mean() > of.mean() for of in random)), SETS, tol=0.06),
        "nearest_is_own": Metric.share(
            methods.nearest_is_own_kind(cosines, kinds), clusters=kinds, tol=0.06, control="chance"
        ),
        "random_heads_nearest_is_own": Metric.mean(np.mean(nearest, axis=0).tolist(), (0, 1), clusters=kinds, tol=0.1),
        "chance": 1 / (len(kinds) - 1),
        "cosine_matrix": Metric(cosines, n=len(kinds), tol=0.05),
        "cosine_matrix_labels": kinds,
    }


def written(lm, means):
    """What each head writes, [layers, H, E]."""
    rows = [methods.head_writes(lm, layer, means.z[layer], means.rms[layer]) for layer in range(lm.n_layers)]
    return np.array([np.array(of) for of in rows])


@experiment
def fv_scaling(lm, study, less):
    """FV-18: how much the function vector adds to accuracy. The report draws it over the size of the models."""
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    plain = [row.plain_rank == 0 for row in study.zero_shot]
    lifted = [row.ranks["function"][study.layer] == 0 for row in study.zero_shot]
    return {
        "layers": lm.n_layers,
        "width": lm.width,
        "heads": lm.n_layers * lm.n_heads,
        "chosen_heads": study.choice.count,
        "chosen_depth": Metric(study.layer / lm.n_layers, tol=0.13),
        "scaling_lift": less(lifted, plain),
    }


def test_geometry_metrics(fv_geometry, metrics):
    assert metrics == fv_geometry


def test_scaling_metrics(fv_scaling, metrics):
    assert metrics == fv_scaling


@finding(
    "function vectors of a task are closer to each other than to those of other tasks, more so than random heads' vectors",
    id="FV-19",
)
def test_closer_within(fv_geometry):
    own = above(fv_geometry.nearest_is_own, fv_geometry.chance)
    # A tenth of a cosine would count: the paper's figure shows clusters, not numbers.
    own &= above(fv_geometry.closer_within_less_random_heads, 0, worth=0.1, source="random heads' vectors")
    assert own & above(fv_geometry.random_sets_below, 0.95, worth=0.0, source="one random set in twenty")
