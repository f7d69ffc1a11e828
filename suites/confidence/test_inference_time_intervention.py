"""Inference-time intervention: shifts of the heads that tell true from false change answers (Li et al. 2023, CONF-4).

A probe of each head's output, before o_proj and at the last token, is judged by its two-fold accuracy; the best heads, one in ten
or in twenty, are shifted along their difference in means, alpha standard deviations far. Two tasks:

    verdicts   the label is whether the statement that is asked about is true; shifts added to false statements and subtracted
               from true ones should turn the verdicts (a paper-variant: it says whether these heads carry the verdict)
    answers    the paper's task: the label is whether an answer to a question is right, shifts are added to questions, and the
               effect is the probability of the right answer against the false twin's

Heads and shifts are found on training statements of some relations. How many heads are shifted, and how far, is chosen on
validation statements by the effect, which is measured on a held-out relation, at the first token where the two answers differ.
Three controls are drawn several times, and each draw chooses its own number and strength on the same validation statements:

    random heads      other heads of the same layers, with their own shifts
    shuffled labels   heads and shifts of labels that are exchanged between twins at random, without the part along the true shift
    random shifts     the same heads, with shifts of the same lengths in random directions

The paper reads 817 questions, with human and model judges of truth and informativeness. In the null world the labels are
exchanged at random between twins, as in one more draw of the shuffled ones.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from kinds_of_truth import first_of_two, parted, preferred, twins_of

from assay import methods
from assay.errors import NotEligible
from assay.plugin import Metric, above, experiment, finding, not_eligible

NONE = "no difference"
UNSHIFTED = ({}, 0.0)
ALPHAS = (5.0, 10.0, 20.0)
"""Strengths of which one is chosen; the paper compares 5 to 35 and takes 15."""
HEADS = (20, 10)
"""One head in so many is shifted: numbers of which one is chosen; the paper takes 48 of 1024, one in 21."""
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
        quick={"train": 32, "valid": 4, "test": 24},
        full={"train": 200, "valid": 40, "test": 100},
    )
    return {split: twins_of(split, late, n) for split, n in sizes.items()}


@pytest.fixture(scope="session")
def draws(tier):
    """How often each control is drawn."""
    return tier.choose(smoke=2, quick=5, full=9)


@experiment
def shifted_verdicts(lm, facts, draws, progress, null_world):
    """CONF-4 on verdicts: P("True") of false statements with the shifts added, P("False") of true ones with them subtracted."""
    train = [one for pair in facts["train"] for one in pair]
    z = methods.head_outputs_at_end(lm, [lm.chat(one.question) for one in train])
    cases = {split: verdict_cases(lm, facts[split]) for split in ("valid", "test")}
    before = preferred(lm, [(case.prompt, case.targets) for case in cases["test"]])
    false = np.array([case.sign > 0 for case in cases["test"]])
    area = methods.auroc(1 - before[~false], before[false])
    own = Metric.auroc(area, int((~false).sum()), int(false.sum()), tol=0.05)
    if above(own, 0.5, source="chance").verdict != "yes":
        return not_eligible("the model's own verdicts are not above chance", own_verdicts=own)
    measured = shifted(lm, z, train, cases, draws, progress, null_world)
    return {"own_verdicts": own, **measured}


@experiment
def shifted_answers(lm, facts, draws, progress, null_world):
    """CONF-4 on answers: the probability of the right answer against a false one with the shifts added."""
    train = [one for pair in facts["train"] for one in pair]
    if not all(one.asked for one in train):
        raise NotEligible("statements of one's own have no question to which they are the answer")
    cases = {split: answer_cases(lm, facts[split]) for split in ("valid", "test")}
    if not cases["valid"] or len(cases["test"]) < 5:
        return not_eligible("fewer than 5 questions have answers that begin with different tokens")
    before = preferred(lm, [(case.prompt, case.targets) for case in cases["test"]])
    right = Metric.share(before > 0.5, tol=0.1)
    if above(right, 0.5, source="chance").verdict != "yes":
        return not_eligible("the model's own answers are not right more often than chance", right_before=right)
    if right.value > ROOM:
        return not_eligible(f"more than {ROOM:.0%} of answers are right: there is nothing to mend", right_before=right)
    z = methods.head_outputs_at_end(lm, [lm.chat(one.asked, answer=f"{one.stated}.") for one in train])
    return {"right_before": right, **shifted(lm, z, train, cases, draws, progress, null_world)}


def shifted(lm, z, train, cases, draws, progress, null_world):
    """Metrics: what the shifts of the best heads, and of each control, do to the probability of each case's first answer."""
    accuracy, own, controls = all_series(lm, z, train, draws, null_world)
    every = [own, *(by_number for drawn in controls.values() for by_number in drawn)]
    tried = [(shifts, alpha) for by_number in every for shifts in by_number for alpha in ALPHAS]
    on_valid = probabilities(lm, cases["valid"], tried, lambda loop: progress(loop, "numbers of heads and strengths"))
    places = len(tried) // len(every)
    best = on_valid.mean(axis=0).reshape(-1, places).argmax(axis=1)  # of each draw
    variants = [tried[i * places + int(at)] for i, at in enumerate(best)]
    p = probabilities(lm, cases["test"], [UNSHIFTED, *variants], lambda loop: progress(loop, "shifted heads"))
    before, after = p.T[:2]
    reached = p.T[2:].reshape(len(controls), draws, -1)
    heads, alpha = list(variants[0][0]), variants[0][1]
    labels = [case.about for case in cases["test"]]
    metrics = {
        "heads": [list(head) for head in heads],
        "alpha": alpha,
        "accuracy_by_layer_head": Metric(accuracy.tolist(), n=len(train), tol=0.1),
        # Without an interval: the heads were chosen by these accuracies, so it is higher than what they would have on others.
        "accuracy_of_heads": Metric(float(np.mean([accuracy[head] for head in heads])), n=len(train), tol=0.1),
        "before": Metric.mean(before.tolist(), bounds=(0, 1), clusters=labels, tol=0.1),
        "shifted": Metric.mean(after.tolist(), bounds=(0, 1), clusters=labels, tol=0.1, control="random_heads"),
        "shifted_less_before": Metric.mean((after - before).tolist(), bounds=(-1, 1), clusters=labels, tol=0.1),
    }
    for i, name in enumerate(controls):
        chosen = variants[1 + i * draws : 1 + (i + 1) * draws]
        metrics[f"{name}_chosen"] = [[len(some), strength] for some, strength in chosen]  # how many heads, and alpha
        metrics[name] = Metric.mean(reached[i].mean(axis=0).tolist(), bounds=(0, 1), clusters=labels, tol=0.1)
        metrics[f"shifted_less_{name}"] = Metric.difference(
            after.tolist(), reached[i].tolist(), clusters=labels, tol=0.1
        )
    return metrics


def all_series(lm, z, train, draws, null_world):
    """Accuracies [layers, H], and shifts: of the best heads [one for each number], and of controls {name: [draws of those]}."""
    true, about = np.array([one.true for one in train]), [(one.relation, one.entity) for one in train]
    heads, rng = list(np.ndindex(*z.shape[1:3])), np.random.default_rng(0)
    numbers = sorted({max(2, len(heads) // one) for one in HEADS})
    of_true = methods.head_shifts(z, true, heads)

    def by_shuffled():
        labels = true ^ np.repeat(rng.random(len(true) // 2) < 0.5, 2)
        return methods.head_accuracies(z, labels, about), methods.head_shifts(z, labels, heads, without=of_true)

    def best(accuracy, shifts):
        return [{head: shifts[head] for head in methods.top_heads(accuracy, n)} for n in numbers]

    accuracy, shifts = by_shuffled() if null_world else (methods.head_accuracies(z, true, about), of_true)
    own = best(accuracy, shifts)
    others = [methods.other_heads(lm, list(own[-1]), i) for i in range(draws)]
    controls = {
        "random_heads": [[{head: shifts[head] for head in some[:n]} for n in numbers] for some in others],
        "shuffled_labels": [best(*by_shuffled()) for _ in range(draws)],
        "random_shifts": [[methods.random_shifts(one, rng) for one in own] for _ in range(draws)],
    }
    return accuracy, own, controls


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
        if found := parted(lm, right.asked, right.stated, wrong.stated):
            cases.append(Case(*found, 1.0, right.entity))
    return cases


def probabilities(lm, cases, variants, track=iter):
    """Probability of the first target against the second, with each variant, (shifts, alpha): [cases, variants]."""
    rows = []
    for case in track(cases):
        edits = [methods.shift_edits(shifts, case.sign * alpha) for shifts, alpha in variants]
        swept = lm.sweep(case.prompt, edits, targets=list(case.targets), progress=False)
        rows.append(first_of_two(swept.target_log_probs))
    return np.array(rows)


def test_verdict_metrics(shifted_verdicts, metrics):
    assert metrics == shifted_verdicts


def test_answer_metrics(shifted_answers, metrics):
    assert metrics == shifted_answers


@finding(
    "shifting the heads that tell true from false turns verdicts; random shifts, and heads of shuffled labels, do not",
    id="CONF-4",
    tier="quick",
)
def test_turns_verdicts(shifted_verdicts):
    r = shifted_verdicts
    assert (
        above(r.shifted_less_before, 0, source=NONE)
        & above(r.shifted_less_shuffled_labels, 0, source=NONE)
        & above(r.shifted_less_random_shifts, 0, source=NONE)
    )


@finding("the heads that tell true from false turn verdicts more than random heads do", id="CONF-4", tier="quick")
def test_turns_more_than_other_heads(shifted_verdicts):
    assert above(shifted_verdicts.shifted_less_random_heads, 0, source=NONE)


@finding("shifting the heads that tell right answers from wrong ones makes answers truer", id="CONF-4", tier="quick")
def test_truer(shifted_answers):
    r = shifted_answers
    assert (
        above(r.shifted_less_before, 0, worth=COUNTS, source=NONE)
        & above(r.shifted_less_random_heads, 0, worth=COUNTS, source=NONE)
        & above(r.shifted_less_shuffled_labels, 0, worth=COUNTS, source=NONE)
        & above(r.shifted_less_random_shifts, 0, worth=COUNTS, source=NONE)
    )
