"""Inference-time intervention: shifts of the heads that tell true from false change answers (Li et al. 2023, CONF-4).

A probe of each head's output, before o_proj and at the last token, is judged by its two-fold accuracy; the best heads, one in
twenty, are shifted along their difference in means, alpha standard deviations far. Two tasks:

    verdicts   the label is whether the statement that is asked about is true; shifts added to false statements and subtracted
               from true ones should turn the verdicts (a paper-variant: it says whether these heads carry the verdict)
    answers    the paper's task: the label is whether an answer to a question is right, shifts are added to questions, and the
               effect is the probability of the right answer against the false twin's

Heads and shifts are found on training statements of some relations, alpha is chosen on validation statements among four, and
effects are measured on a held-out relation, at the first token where the two answers differ, against the shifts of random heads
and random shifts of the same heads, both drawn anew for each prompt; differences are taken prompt by prompt. The paper reads 817
questions, with human and model judges of truth and informativeness. In the null world random shifts stand in.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from kinds_of_truth import twins_of

from assay import methods
from assay.errors import NotEligible, PromptError
from assay.plugin import Metric, above, experiment, finding, not_eligible

NONE = "no difference"
ALPHAS = (5.0, 10.0, 15.0, 20.0)
"""Strengths of which one is chosen; the paper compares 5 to 35 and takes 15."""
HEADS = 20  # one head in so many; the paper: 48 of 1024
COUNTS = 0.05  # of the probability of an answer
ROOM = 0.95  # above this share of right answers there is nothing to mend


@dataclass(frozen=True, eq=False)
class Case:
    """One prompt up to the first token in which two answers differ."""

    prompt: object
    targets: tuple  # the token of the answer that shifts should make likelier, and of the other
    sign: float  # of the shifts
    about: str


@pytest.fixture(scope="session")
def facts(late, tier):
    """Twins of the old relations in train and valid, and of the held-out relation in test: {split: [(true, false), ...]}."""
    sizes = tier.choose(
        smoke={"train": 8, "valid": 4, "test": 6},
        quick={"train": 32, "valid": 6, "test": 24},
        full={"train": 200, "valid": 40, "test": 100},
    )
    return {split: twins_of(split, late, n) for split, n in sizes.items()}


@experiment
def shifted_verdicts(lm, facts, progress, null_world):
    """CONF-4 on verdicts: P("True") of false statements with the shifts added, P("False") of true ones with them subtracted."""
    train = [one for pair in facts["train"] for one in pair]
    z = methods.head_outputs_at_end(lm, [lm.chat(one.question) for one in train])
    cases = {split: verdict_cases(lm, facts[split]) for split in ("valid", "test")}
    before = probabilities(lm, cases["test"], [lambda i: ({}, 0.0)])[:, 0]
    false = np.array([case.sign > 0 for case in cases["test"]])
    area = methods.auroc(1 - before[~false], before[false])
    own = Metric.auroc(area, int((~false).sum()), int(false.sum()), tol=0.05)
    if above(own, 0.5, source="chance").verdict != "yes":
        return not_eligible("the model's own verdicts are not above chance", own_verdicts=own)
    measured = shifted(lm, z, train, cases, progress, null_world)
    return {"own_verdicts": own, **measured}


@experiment
def shifted_answers(lm, facts, progress, null_world):
    """CONF-4 on answers: the probability of the right answer against a false one with the shifts added."""
    train = [one for pair in facts["train"] for one in pair]
    if not all(one.asked for one in train):
        raise NotEligible("statements of one's own have no question to which they are the answer")
    cases = {split: answer_cases(lm, facts[split]) for split in ("valid", "test")}
    if not cases["valid"] or len(cases["test"]) < 5:
        return not_eligible("fewer than 5 questions have answers that begin with different tokens")
    before = probabilities(lm, cases["test"], [lambda i: ({}, 0.0)])[:, 0]
    right = Metric.share(before > 0.5, tol=0.1)
    if above(right, 0.5, source="chance").verdict != "yes":
        return not_eligible("the model's own answers are not right more often than chance", right_before=right)
    if right.value > ROOM:
        return not_eligible(f"more than {ROOM:.0%} of answers are right: there is nothing to mend", right_before=right)
    z = methods.head_outputs_at_end(lm, [lm.chat(one.asked, answer=f"{one.stated}.") for one in train])
    return {"right_before": right, **shifted(lm, z, train, cases, progress, null_world)}


def shifted(lm, z, train, cases, progress, null_world):
    """Metrics: heads, alpha, and what their shifts and both controls do to the probability of each case's first answer."""
    true, about = [one.true for one in train], [(one.relation, one.entity) for one in train]
    accuracy = methods.head_accuracies(z, true, about)
    heads = methods.top_heads(accuracy, max(2, accuracy.size // HEADS))
    every = methods.head_shifts(z, true, list(np.ndindex(*accuracy.shape)))
    best = {head: every[head] for head in heads}
    at_random = lambda i: methods.random_shifts(best, np.random.default_rng([0, i]))  # noqa: E731
    elsewhere = lambda i: {head: every[head] for head in methods.other_heads(lm, heads, i)}  # noqa: E731
    own = lambda i: methods.random_shifts(best, np.random.default_rng([1, i])) if null_world else best  # noqa: E731
    on_valid = probabilities(lm, cases["valid"], [lambda i, a=a: (own(i), a) for a in ALPHAS]).mean(axis=0)
    alpha = ALPHAS[int(np.argmax(on_valid))]
    kinds = {"shifted": own, "random_heads": elsewhere, "random_shifts": at_random}
    variants = [lambda i: ({}, alpha), *(lambda i, of=of: (of(i), alpha) for of in kinds.values())]
    p = probabilities(lm, cases["test"], variants, lambda loop: progress(loop, "shifted heads"))
    reached = dict(zip(["before", *kinds], p.T, strict=True))
    labels = [case.about for case in cases["test"]]
    metrics = {
        "heads": [list(head) for head in heads],
        "alpha": alpha,
        "accuracy_by_layer_head": Metric(accuracy.tolist(), n=len(train), tol=0.1),
        # Without an interval: the heads were chosen by these accuracies, so it is higher than what they would have on others.
        "accuracy_of_heads": Metric(float(np.mean([accuracy[head] for head in heads])), n=len(train), tol=0.1),
    }
    for name, values in reached.items():
        control = {"control": "random_heads"} if name == "shifted" else {}
        metrics[name] = Metric.mean(values.tolist(), bounds=(0, 1), clusters=labels, tol=0.1, **control)
    for name in ("before", "random_heads", "random_shifts"):
        less = (reached["shifted"] - reached[name]).tolist()
        metrics[f"shifted_less_{name}"] = Metric.mean(less, bounds=(-1, 1), clusters=labels, tol=0.1)
    return metrics


def verdict_cases(lm, twins):
    """Of true statements the verdict that they are false, against the shifts; of false ones that they are true, along them."""
    cases = []
    for one in (one for pair in twins for one in pair):
        prompt, (true, false) = methods.where_answers_part(lm, one.question, ("True", "False"))
        targets = (false, true) if one.true else (true, false)
        cases.append(Case(prompt, targets, -1.0 if one.true else 1.0, one.entity))
    return cases


def answer_cases(lm, twins):
    """Of each question the right answer, against its false twin's; without those whose answers begin alike."""
    cases = []
    for right, wrong in twins:
        try:
            prompt, targets = methods.where_answers_part(lm, right.asked, (right.stated, wrong.stated))
        except PromptError:
            continue
        cases.append(Case(prompt, targets, 1.0, right.entity))
    return cases


def probabilities(lm, cases, variants, track=iter):
    """Probability of the first target against the second, with each variant: [cases, variants].

    A variant: a function of the case's number to shifts and alpha, so that controls are drawn anew for each case.
    """
    rows = []
    for i, case in enumerate(track(cases)):
        drawn = [one(i) for one in variants]
        edits = [methods.shift_edits(shifts, case.sign * alpha) for shifts, alpha in drawn]
        swept = lm.sweep(case.prompt, edits, targets=list(case.targets), progress=False)
        rows.append(np.exp(methods.log_probs(swept.target_log_probs))[:, 0])
    return np.array(rows)


def test_verdict_metrics(shifted_verdicts, metrics):
    assert metrics == shifted_verdicts


def test_answer_metrics(shifted_answers, metrics):
    assert metrics == shifted_answers


@finding("shifting the heads that tell true from false turns verdicts, random shifts do not", id="CONF-4", tier="quick")
def test_turns_verdicts(shifted_verdicts):
    r = shifted_verdicts
    assert above(r.shifted_less_before, 0, source=NONE) & above(r.shifted_less_random_shifts, 0, source=NONE)


@finding("the heads that tell true from false turn verdicts more than random heads do", id="CONF-4", tier="quick")
def test_turns_more_than_other_heads(shifted_verdicts):
    assert above(shifted_verdicts.shifted_less_random_heads, 0, source=NONE)


@finding("shifting the heads that tell right answers from wrong ones makes answers truer", id="CONF-4", tier="quick")
def test_truer(shifted_answers):
    r = shifted_answers
    assert (
        above(r.shifted_less_before, 0, worth=COUNTS, source=NONE)
        & above(r.shifted_less_random_heads, 0, worth=COUNTS, source=NONE)
        & above(r.shifted_less_random_shifts, 0, worth=COUNTS, source=NONE)
    )
