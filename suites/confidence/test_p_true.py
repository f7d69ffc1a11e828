"""Does a model know what it knows? P(True) of a proposed answer, and stated certainty (Kadavath et al. 2022, CONF-1).

The model calls a question's proposed answer (A) True or (B) False; P(True) is the probability of the first letter against
the second. The form is the paper's, in a chat turn and without examples; the paper lets a model judge its own samples,
here half of the proposals are facts and half their false twins (a paper-variant). Nearly every answer is right as often as
wrong. The control is the same answer to a question about another entity: it shows the effect of the answer alone. Then the
model is asked how sure it is about known and about made-up names; the paper trains a predictor instead. The right and the wrong
proposals about one entity are not independent: they are one cluster.

In a built-in model questions about late entities are left out (`testbed.json`).
"""

from dataclasses import replace

import numpy as np
import pytest

from assay import methods
from assay.data.knowledge import LETTERS, confident, entities, hedged, statements
from assay.errors import NotEligible
from assay.plugin import Metric, above, below, experiment, finding, not_replicated

MAX_TOKENS = 16


@pytest.fixture(scope="session")
def proposals(late, tier, null_world):
    """Right and wrong proposals, and for each the same answer to another question of the relation.

    In the null world both are such answers, each to a different question.
    """
    n = tier.choose(smoke=6, quick=None, full=None)
    kept = [item for item in statements("test") if item.entity not in late]
    if not all(item.asked for item in kept):
        raise NotEligible("statements of one's own have no question to which they are the answer")
    asked = [item for true in (True, False) for item in methods.spread([item for item in kept if item.true == true], n)]
    questions = {}
    for item in kept:
        questions.setdefault(item.relation, []).append(item.asked)

    def elsewhere(away):
        return [replace(item, asked=another(item, away)) for item in asked]

    def another(item, away):
        some = questions[item.relation]  # each question occurs twice: for the true and the false statement
        return some[(some.index(item.asked) + 2 * away) % len(some)]

    return {"": elsewhere(2) if null_world else asked, "_other_question": elsewhere(1)}


@experiment
def p_true(lm, proposals, progress):
    """P(True) of right and of wrong proposals: how well it separates them, and how well it is calibrated."""
    metrics, errors = {}, {}
    for suffix, asked in reversed(proposals.items()):
        true, entity = np.array([item.true for item in asked]), [item.entity for item in asked]
        p = methods.answer_preference(
            lm,
            [item.proposal for item in asked],
            (LETTERS[True], LETTERS[False]),
            track=lambda loop: progress(loop, "P(True)"),
        )
        errors[suffix] = methods.squared_errors(p, true)
        some = {
            "of_right": (p[true], true),
            "of_wrong": (p[~true], ~true),
            "brier": (errors[suffix], np.ones_like(true)),
        }
        for name, (values, kept) in some.items():
            control = {} if suffix else {"control": f"{name}_other_question"}
            labels = [one for one, here in zip(entity, kept, strict=True) if here]
            metrics[name + suffix] = Metric.mean(values.tolist(), bounds=(0, 1), clusters=labels, tol=0.05, **control)
        n = [len({one for one, here in zip(entity, kept, strict=True) if here}) for kept in (true, ~true)]
        control = {} if suffix else {"control": "auroc_other_question"}
        metrics[f"auroc{suffix}"] = Metric.auroc(methods.auroc(p[true], p[~true]), *n, tol=0.05, **control)
        said, came_true = by_bin(p, true)
        metrics[f"said_by_bin{suffix}"] = Metric(said, n=len(p), tol=0.05)
        metrics[f"true_by_bin{suffix}"] = Metric(came_true, n=len(p), tol=0.1)
    less = (errors[""] - errors["_other_question"]).tolist()
    metrics["brier_less_other_question"] = Metric.mean(less, bounds=(-1, 1), clusters=entity, tol=0.05)
    return metrics


def by_bin(p, true, bins=5):
    """Mean probability, and share of true proposals, in bins of equal width; those with no proposal are left out."""
    place = np.minimum((p * bins).astype(int), bins - 1)
    filled = [place == i for i in range(bins) if (place == i).any()]
    return [float(p[here].mean()) for here in filled], [float(true[here].mean()) for here in filled]


@experiment
def how_sure(lm, late, tier, null_world):
    """How sure the model says it is, about known and about made-up names."""
    n, metrics = tier.choose(smoke=4, quick=None, full=None), {}
    kinds = {
        name: [item for item in entities("test") if item.known == known and item.name not in late][:n]
        for name, known in (("made_up", False), ("known", True))
    }
    if null_world:  # the names divided at random
        both = [*kinds["made_up"], *kinds["known"]]
        some = [both[i] for i in np.random.default_rng(0).permutation(len(both))]
        kinds = {"made_up": some[: len(kinds["made_up"])], "known": some[len(kinds["made_up"]) :]}
    for name, asked in kinds.items():
        said = [made.text for made in lm.generate([lm.chat(item.how_sure) for item in asked], max_tokens=MAX_TOKENS)]
        for kind, judged, there in (("certain", confident, "known"), ("not_sure", hedged, "made_up")):
            control = {"control": f"{kind}_of_{'made_up' if name == 'known' else 'known'}"} if name == there else {}
            metrics[f"{kind}_of_{name}"] = Metric.share(map(judged, said), tol=0.11, **control)
    return metrics


def test_p_true_metrics(p_true, metrics):
    assert metrics == p_true


def test_how_sure_metrics(how_sure, metrics):
    assert metrics == how_sure


@finding("P(True) is higher for right proposals than for wrong ones", id="CONF-1", tier="quick")
def test_parts(p_true):
    assert above(p_true.auroc, 0.5, source="chance") & above(p_true.auroc, p_true.auroc_other_question)


@finding("proposals of both kinds are called what they are", id="CONF-1", tier="quick")
@not_replicated("qwen_tiny", tier="quick", reason="right ones at 0.53 [0.46, 0.60] in the mean")
def test_calls(p_true):
    assert above(p_true.of_right, 0.5, source="even odds") & below(p_true.of_wrong, 0.5, source="even odds")


@finding("P(True) is nearer to the truth than a half is, and than of another question", id="CONF-1", tier="quick")
def test_calibrated(p_true):
    # 0.05: a fifth of the error of a half
    assert below(p_true.brier, 0.25, worth=0.05, source="a half every time") & below(
        p_true.brier_less_other_question, 0, worth=0.05, source="no difference"
    )


@finding(
    "asked how sure it is, the model is certain of known names and hedges about made-up ones",
    paper="Know what they know",
    ref="arXiv:2207.05221",
    tier="quick",
)
def test_sure(how_sure):
    assert above(how_sure.certain_of_known, how_sure.certain_of_made_up) & above(
        how_sure.not_sure_of_made_up, how_sure.not_sure_of_known
    )
