"""Does a model know what it knows? P(True) of a proposed answer, and stated certainty (Kadavath et al. 2022, CONF-1).

The model calls a question's proposed answer (A) True or (B) False; P(True) is the probability of the first letter against
the second. The form is the paper's, in a chat turn and without examples; the paper lets a model judge its own samples,
here half of the proposals are facts and half their false twins (a paper-variant). Nearly every answer is right as often as
wrong. The control is the same answer to a question about another entity: it shows the effect of the answer alone. Then the
model is asked how sure it is about known and about made-up names; the paper trains a predictor instead.

In a built-in model questions about late entities are left out (`testbed.json`).
"""

from dataclasses import replace

import numpy as np
import pytest

from assay import methods
from assay.data.knowledge import LETTERS, confident, entities, hedged, statements
from assay.plugin import Metric, experiment, finding, not_replicated

MAX_TOKENS = 16


@pytest.fixture(scope="session")
def proposals(late, tier):
    """Right and wrong proposals, and for each the same answer to another question of the relation."""
    n = tier.choose(smoke=6, quick=None, full=None)
    kept = [item for item in statements("test") if item.entity not in late]
    asked = [item for true in (True, False) for item in methods.spread([item for item in kept if item.true == true], n)]
    questions = {}
    for item in kept:
        questions.setdefault(item.relation, []).append(item.asked)

    def another(item):
        some = questions[item.relation]  # each question occurs twice: for the true and the false statement
        return some[(some.index(item.asked) + 2) % len(some)]

    elsewhere = [replace(item, asked=another(item)) for item in asked]
    return {"": asked, "_other_question": elsewhere}


@experiment
def p_true(lm, proposals, progress):
    """P(True) of right and of wrong proposals: how well it separates them, and how well it is calibrated."""
    metrics = {}
    for suffix, asked in reversed(proposals.items()):
        true = np.array([item.true for item in asked])
        p = methods.answer_preference(
            lm,
            [item.proposal for item in asked],
            (LETTERS[True], LETTERS[False]),
            track=lambda loop: progress(loop, "P(True)"),
        )
        for name, values in (
            ("of_right", p[true]),
            ("of_wrong", p[~true]),
            ("auroc", methods.pairwise_above(p[true], p[~true]).mean(axis=1)),
            ("brier", methods.squared_errors(p, true)),
        ):
            control = {} if suffix else {"control": f"{name}_other_question"}
            metrics[name + suffix] = Metric.mean(values.tolist(), tol=0.05, **control)
        control = {} if suffix else {"control": "calibration_error_other_question"}
        metrics[f"calibration_error{suffix}"] = Metric(
            methods.calibration_error(p, true), n=len(p), tol=0.05, **control
        )
    return metrics


@experiment
def how_sure(lm, late, tier):
    """How sure the model says it is, about known and about made-up names."""
    n, metrics = tier.choose(smoke=4, quick=None, full=None), {}
    for name, known in (("made_up", False), ("known", True)):
        asked = [item for item in entities("test") if item.known == known and item.name not in late][:n]
        said = [made.text for made in lm.generate([lm.chat(item.how_sure) for item in asked], max_tokens=MAX_TOKENS)]
        for kind, judged, there in (("certain", confident, "known"), ("not_sure", hedged, "made_up")):
            control = {"control": f"{kind}_of_{'made_up' if known else 'known'}"} if name == there else {}
            metrics[f"{kind}_of_{name}"] = Metric.share(map(judged, said), tol=0.11, **control)
    return metrics


def test_p_true_metrics(p_true, metrics):
    assert metrics == p_true


def test_how_sure_metrics(how_sure, metrics):
    assert metrics == how_sure


@finding("P(True) is higher for right proposals than for wrong ones", id="CONF-1", tier="quick")
def test_parts(p_true):
    assert p_true.auroc.low > max(0.5, p_true.auroc_other_question.high)


@finding("proposals of both kinds are called what they are", id="CONF-1", tier="quick")
@not_replicated("qwen_tiny", reason="right ones at 0.53 in the mean, and the interval reaches below a half")
def test_calls(p_true):
    assert p_true.of_right.low > 0.5 > p_true.of_wrong.high


@finding("P(True) is nearer to the truth than a half is, and than of another question", id="CONF-1", tier="quick")
def test_calibrated(p_true):
    assert p_true.brier.high < min(0.25, p_true.brier_other_question.low)


@finding(
    "asked how sure it is, it is certain of known names and hedges about made-up ones",
    paper="Know what they know",
    ref="arXiv:2207.05221",
    tier="quick",
)
def test_sure(how_sure):
    assert how_sure.certain_of_known.low > how_sure.certain_of_made_up.high
    assert how_sure.not_sure_of_made_up.low > how_sure.not_sure_of_known.high
