"""The geometry of function vectors (Todd et al. 2024, appendix), and their effect at this size of model.

The prompts of each task are split in two, so that a task has two vectors from different queries and examples. The control uses
random heads of the same layers. The effect is one number for each model; the report compares models by size.
"""

import numpy as np

from assay import methods
from assay.plugin import Metric, experiment, finding, not_eligible


@experiment
def fv_geometry(lm, study):
    """FV-19: cosines of function vectors within and between tasks."""
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    kinds, vectors = [], {"function": [], "random_heads": []}
    others = study.random_order(study.main_able[0])[: study.choice.count]
    for name in study.able:
        right = study.recorded[name].score.right
        number = np.cumsum(right) * right  # numbers the right prompts 1, 2, 3, ...
        for half in (0, 1):
            means = study.recorded[name].means(right & (number % 2 == half))
            kinds.append(name)
            vectors["function"].append(np.array(methods.function_vector(lm, means, study.heads)))
            vectors["random_heads"].append(np.array(methods.function_vector(lm, means, others)))
    cosines = {kind: methods.cosine_matrix(np.array(of)) for kind, of in vectors.items()}
    within, between = methods.within_and_between_kinds(cosines["function"], kinds)
    of_random_heads = methods.within_and_between_kinds(cosines["random_heads"], kinds)
    return {
        "within": Metric.mean(within.tolist(), tol=0.05),
        "between": Metric.mean(between.tolist(), tol=0.05),
        "closer_within": Metric.mean((within - between).tolist(), tol=0.05),
        "nearest_is_own": Metric.share(
            methods.nearest_is_own_kind(cosines["function"], kinds), tol=0.06, control="chance"
        ),
        "random_heads_closer_within": Metric.mean(np.subtract(*of_random_heads).tolist(), tol=0.05),
        "random_heads_nearest_is_own": Metric.share(
            methods.nearest_is_own_kind(cosines["random_heads"], kinds), tol=0.1
        ),
        "chance": 1 / (len(kinds) - 1),
        "cosine_matrix": Metric(cosines["function"], n=len(kinds), tol=0.05),
        "cosine_matrix_labels": kinds,
    }


@experiment
def fv_scaling(lm, study):
    """FV-18: how much the function vector adds to accuracy, to be compared across sizes of models."""
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    plain = np.array([row.plain_rank == 0 for row in study.zero_shot], float)
    lifted = np.array([row.ranks["function"][study.layer] == 0 for row in study.zero_shot], float)
    return {
        "layers": lm.n_layers,
        "width": lm.width,
        "heads": lm.n_layers * lm.n_heads,
        "chosen_heads": study.choice.count,
        "chosen_depth": Metric(study.layer / lm.n_layers, tol=0.13),
        "scaling_lift": Metric.mean((lifted - plain).tolist(), tol=0.06),
    }


def test_geometry_metrics(fv_geometry, metrics):
    assert metrics == fv_geometry


def test_scaling_metrics(fv_scaling, metrics):
    assert metrics == fv_scaling


@finding("function vectors of a task are closer to each other than to those of other tasks", id="FV-19")
def test_closer_within(fv_geometry):
    assert fv_geometry.closer_within.low > 0
    assert fv_geometry.nearest_is_own.low > fv_geometry.chance


@finding("the function vector works at this size", id="FV-18", tier="quick")
def test_works_at_this_size(fv_scaling):
    assert fv_scaling.scaling_lift.low > 0
