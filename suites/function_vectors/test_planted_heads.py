"""Calibration: does causal mediation find the heads that carry the tasks, in models where they were planted?

In a built-in model one layer's heads, named in `testbed.json`, are the only ones that may look from an answer's place at the
labels of the examples. A head that the method misses is a limit of the method. A model without planted truth is not eligible.
In the null world random heads of the same layer are said to be planted.
"""

import numpy as np

from assay import methods
from assay.plugin import Metric, above, experiment, finding, holds, not_eligible
from assay.testbed.planted import planted_truth

TESTBED = {"paper": "Testbed", "ref": "planted truth of the built-in models"}


@experiment
def fv_planted(lm, study, model_spec, less, null_world):
    """The planted heads among all heads, by indirect effect."""
    truth = planted_truth(model_spec)
    carriers = truth and truth["planted"].get("in-context tasks")
    if not carriers:
        return not_eligible("no heads were planted in this model")
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    planted = [(carriers["layer"], head) for head in carriers["heads"]]
    planted = methods.other_heads(lm, planted, seed=0) if null_world else planted
    names = list(study.effects)
    effects = np.concatenate([study.effects[name] for name in names])
    asked = [one.asked for name in names for one in study.corrupted_trials(name, study.corrupted, study.sizes.effects)]
    elsewhere = effects.mean(axis=0)
    for head in planted:
        elsewhere[head] = -np.inf
    strongest = np.unravel_index(elsewhere.argmax(), elsewhere.shape)
    of_planted, of_other = sum(effects[:, *head] for head in planted), effects[:, *strongest]
    return {
        "planted": planted,
        "found": Metric.share([head in planted for head in study.by_effect[: len(planted)]], tol=0.1, control="chance"),
        "chance": len(planted) / elsewhere.size,
        # A sum over heads has no bounds.
        "effect_of_planted": Metric.mean(of_planted.tolist(), clusters=asked, tol=0.03, control="effect_of_best_other"),
        "effect_of_best_other": Metric.mean(of_other.tolist(), clusters=asked, tol=0.03),
        "planted_less_best_other": less(of_planted, of_other, bounds=None, clusters=asked, tol=0.03),
        "best_other": [int(i) for i in strongest],
    }


def test_planted_metrics(fv_planted, metrics):
    assert metrics == fv_planted


@finding("causal mediation ranks the planted heads first", **TESTBED)
def test_finds_planted_heads(fv_planted):
    # No sample, and no interval: by chance two of 64 heads are the first two in one of 2,016 rankings.
    assert holds(fv_planted.found == 1, "the planted heads are the first ones")


@finding("the effect of all planted heads is above that of any other head", tier="quick", **TESTBED)
def test_planted_effect(fv_planted):
    assert above(fv_planted.planted_less_best_other, 0, worth=0.05, source="no difference")
