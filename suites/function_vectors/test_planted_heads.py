"""Calibration: does causal mediation find the heads that carry the tasks, in models where they were planted?

In a built-in model one layer's heads, named in `testbed.json`, are the only ones that may look from an answer's place at the
labels of the examples. A head that the method misses is a limit of the method. A model without planted truth is not eligible.
"""

import numpy as np

from assay.plugin import Metric, experiment, finding, not_eligible
from assay.testbed.planted import planted_truth

TESTBED = {"paper": "Testbed", "ref": "planted truth of the built-in models"}


@experiment
def fv_planted(study, model_spec):
    """The planted heads among all heads, by indirect effect."""
    truth = planted_truth(model_spec)
    carriers = truth and truth["planted"].get("in-context tasks")
    if not carriers:
        return not_eligible("no heads were planted in this model")
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    planted = [(carriers["layer"], head) for head in carriers["heads"]]
    effects = np.concatenate(list(study.effects.values()))
    of_planted = sum(effects[:, layer, head] for layer, head in planted)
    for layer, head in planted:
        effects[:, layer, head] = -np.inf
    elsewhere = effects.mean(axis=0)
    strongest = np.unravel_index(elsewhere.argmax(), elsewhere.shape)
    return {
        "planted": planted,
        "found": Metric.share([head in planted for head in study.ranked[: len(planted)]], tol=0.1),
        "effect_of_planted": Metric.mean(of_planted.tolist(), tol=0.03, control="effect_of_best_other"),
        "effect_of_best_other": Metric.mean(effects[:, *strongest].tolist(), tol=0.03),
        "best_other": [int(i) for i in strongest],
    }


def test_planted_metrics(fv_planted, metrics):
    assert metrics == fv_planted


@finding("causal mediation ranks the planted heads first", **TESTBED)
def test_finds_planted_heads(fv_planted):
    assert fv_planted.found == 1


@finding("the effect of all planted heads is above that of any other head", tier="quick", **TESTBED)
def test_planted_effect(fv_planted):
    assert fv_planted.effect_of_planted.low > fv_planted.effect_of_best_other.high
