"""Are a model's probabilities right? Letters of multiple choice, and P(True) of its own answers (Kadavath et al. 2022, CONF-1).

A question has four options with letters; the right one is at each letter equally often. A probability is that of a letter
against the other three. Reliability curve, calibration error (ECE) and Brier score are of the likeliest letter: what the model
would answer, how sure it is of it, and whether it is right; the paper's curve is of all options (`all_options_...`). An error
of calibration is above 0 for perfectly stated probabilities, too: `ece_by_chance` is that of outcomes drawn from the stated
ones, and one in twenty of these reaches `ece_by_chance_95`; the interval of `ece` is that of the error without this bias. The
claim is of `overconfidence`, the stated probability less the share that is right, question by question, which has no bias. The
control is the same options under another question. A temperature is fitted on questions of other relations; what is measured at
it is uncertain in its questions and in those that the temperature was fitted on, which are drawn again for its interval.

P(True) is the probability of "(A) True" against "(B) False", here of the model's own greedy answers to questions about facts;
those that say not to know are left out (test_p_true.py: of proposals that are given). At tier full five samples of its own are
shown first, as in the paper. In the null world the options are under a second other question, and right and wrong own answers
are exchanged within relations.
"""

from collections import Counter

import numpy as np
import pytest
from own_questions import COUNTS, LEAST
from temperature import scaled

from assay import methods
from assay.data.knowledge import LETTERS as TRUE_FALSE
from assay.data.knowledge import PROPOSAL
from assay.data.questions import LETTERS, multiple_choice
from assay.errors import PromptError
from assay.plugin import Metric, above, below, experiment, finding, not_eligible, within

NONE = "no difference"
GUESS = 1 / len(LETTERS)
MOSTLY = 0.5  # least share of replies that begin with a letter
IDEAS = PROPOSAL.replace("\nProposed Answer", "\nHere are some brainstormed ideas: {}\nProposed Answer")
SAMPLES, MAX_TOKENS = 5, 16
TENTH = "as often as its probability says, to a tenth"


@pytest.fixture(scope="session")
def bins(tier):
    return tier.choose(smoke=2, quick=6, full=10)


@experiment
def letter_calibration(lm, tier, progress, bins, null_world):
    """Accuracy and calibration of the letters of multiple choice, and under another question."""
    n = tier.choose(smoke=3, quick=24, full=None)
    valid, test = (spread_over_relations(multiple_choice(split), n) for split in ("valid", "test"))
    asked = [one.under_other_question(1) if null_world else one.prompt for one in test]
    said = lm.generate([lm.chat(text) for text in methods.spread(asked, 16)], max_tokens=4)
    letters = [methods.names_a_letter(one.text, "ABCD") for one in said]
    if np.mean(letters) < MOSTLY:
        return not_eligible("most replies do not begin with a letter", n_replies=len(letters), n_letters=sum(letters))

    try:
        methods.letter_log_probs(lm, asked[:1], LETTERS)
    except PromptError as reason:
        return not_eligible(f"the tokenizer does not cut the letters alike: {reason}", n_replies=len(letters))

    def read(prompts):
        return methods.letter_log_probs(lm, prompts, LETTERS, track=lambda loop: progress(loop, "letters"))

    logits = {
        "": read(asked),
        "_other_question": read([one.under_other_question() for one in test]),
    }
    right = np.array([one.right for one in test])
    entity = [one.question.entity for one in test]
    metrics = {"letters_said": Metric.share(letters, tol=0.11)}
    for suffix in ("_other_question", ""):
        metrics |= calibrated(logits[suffix], right, entity, bins, suffix)
    errors = [quadratic_errors(one, right) for one in logits.values()]
    less = (errors[0] - errors[1]).tolist()
    metrics["quadratic_less_other_question"] = Metric.mean(less, bounds=(-1, 1), clusters=entity, tol=0.05)
    fitted = read([one.under_other_question(1) if null_world else one.prompt for one in valid])
    about = [one.question.entity for one in valid]
    return metrics | scaled((fitted, np.array([one.right for one in valid]), about), (logits[""], right, entity), bins)


def spread_over_relations(choices, n):
    """n questions of each relation, evenly over their order; each letter is right equally often, but for one. None: all."""
    if n is None:
        return choices
    kept = set()
    for i, name in enumerate(dict.fromkeys(one.question.relation for one in choices)):
        rights = Counter((i * n + k) % len(LETTERS) for k in range(n))  # letters go round over all relations
        for right, times in rights.items():
            some = [one.question.id for one in choices if (one.question.relation, one.right) == (name, right)]
            kept.update(methods.spread(some, times))
    return [one for one in choices if one.question.id in kept]


def calibrated(logits, right, entity, bins, suffix):
    """Metrics of N log-probabilities of letters [N, K], of which `right` are the right ones."""
    p = np.exp(logits)
    stated, came_true = p.max(axis=1), p.argmax(axis=1) == right
    control = {} if suffix else {"control": "accuracy_other_question"}
    every, one_hot = p.ravel(), (np.arange(p.shape[1]) == right[:, None]).ravel()
    curve = methods.reliability_curve(every, one_hot, bins)
    return {
        f"accuracy{suffix}": Metric.share(came_true, clusters=entity, tol=0.05, **control),
        f"p_right{suffix}": Metric.mean(p[np.arange(len(p)), right].tolist(), bounds=(0, 1), clusters=entity, tol=0.05),
        f"overconfidence{suffix}": Metric.mean(
            (stated - came_true).tolist(), bounds=(-1, 1), clusters=entity, tol=0.05
        ),
        **of_binary(stated, came_true, bins, suffix),
        f"all_options_stated_by_bin{suffix}": Metric([one.stated for one in curve], n=len(every), tol=0.05),
        f"all_options_right_by_bin{suffix}": Metric([one.share for one in curve], n=len(every), tol=0.1),
    }


def of_binary(p, came_true, bins, suffix="", prefix=""):
    """Metrics of calibration of N probabilities with their outcomes."""
    curve, rng = methods.reliability_curve(p, came_true, bins), np.random.default_rng(0)
    error = methods.expected_calibration_error(curve)
    by_chance = methods.chance_calibration_errors(p, rng, bins=bins)
    ends = methods.calibration_error_interval(p, came_true, rng, bins=bins)
    parts, bias = methods.brier_parts(p, came_true, bins), float(by_chance.mean())
    name = lambda metric: f"{prefix}{metric}{suffix}"  # noqa: E731
    control = {} if suffix else {"control": name("ece_by_chance")}
    return {
        name("stated_by_bin"): Metric([one.stated for one in curve], n=len(p), tol=0.05),
        name("right_by_bin"): Metric([one.share for one in curve], n=len(p), tol=0.1),
        name("right_by_bin_low"): Metric([one.low for one in curve], n=len(p), tol=0.1),
        name("right_by_bin_high"): Metric([one.high for one in curve], n=len(p), tol=0.1),
        name("ece"): Metric(error, n=len(p), ci=ends, tol=0.05, **control),
        name("ece_by_chance"): Metric(bias, tol=0.02),
        name("ece_by_chance_95"): Metric(float(np.quantile(by_chance, 0.95)), tol=0.02),
        name("brier"): Metric.mean(methods.squared_errors(p, came_true).tolist(), bounds=(0, 1), tol=0.05),
        name("brier_parts"): Metric(
            {part: getattr(parts, part) for part in ("reliability", "resolution", "uncertainty", "rest")},
            n=len(p),
            tol=0.05,
        ),
    }


def quadratic_errors(logits, right):
    """Half the squared distance of the probabilities [N, K] from the right letter: 0 to 1; 0.375 for four equal ones."""
    return 0.5 * np.square(np.exp(logits) - np.eye(logits.shape[1])[right]).sum(axis=1)


@experiment
def p_true_own(lm, own_questions, progress, bins, tier):
    """P(True) of the model's own answers to questions of new relations; at tier full also after samples of its own."""
    counts = {name: n for name, n in own_questions.counts(given=True).items() if name.endswith("test")}
    if min(counts.values()) < LEAST:
        return not_eligible(
            f"fewer than {LEAST} effective right or wrong answers in the relations of the test split", **counts
        )
    test = own_questions.of("test", given=True)
    own, right = [own_questions.own[i] for i in test], own_questions.right[test]
    likely = own_questions.token_probability(test)
    metrics = {
        **counts,
        "right": Metric.share(right, clusters=own_questions.entities(test), tol=0.05),
        "auroc_of_token_probability": own_questions.area(likely, test),
    }
    forms = {"": [PROPOSAL.format(one.asked, one.said) for one in own]}
    if tier.at_least("full"):
        forms["ideas_"] = [
            IDEAS.format(one.asked, ideas(lm, one), one.said) for one in progress(own, "samples of own answers")
        ]
    for prefix, asked in forms.items():
        p = methods.answer_preference(lm, asked, (TRUE_FALSE[True], TRUE_FALSE[False]))
        metrics |= judged_own(own_questions, p, test, bins, prefix)
    return metrics


def ideas(lm, own):
    """Samples of the model's answers to a question, a line for each."""
    drawn = lm.generate([lm.chat(own.asked)] * SAMPLES, max_tokens=MAX_TOKENS, temperature=1.0, seed=0)
    return "".join(f"\n{methods.first_sentence(made.text)}" for made in drawn)


def judged_own(own_questions, p, test, bins, prefix):
    """Metrics of P(True) of own answers."""
    right, entity = own_questions.right[test], own_questions.entities(test)
    metrics = {
        f"{prefix}auroc": own_questions.area(p, test, control="auroc_of_token_probability"),
        f"{prefix}less_token_probability": own_questions.less(p, own_questions.token_probability(test), test),
        f"{prefix}overconfidence": Metric.mean((p - right).tolist(), bounds=(-1, 1), clusters=entity, tol=0.05),
        **of_binary(p, right, bins, prefix=prefix),
    }
    for name, some in (("of_right", right), ("of_wrong", ~right)):
        labels = [one for one, here in zip(entity, some, strict=True) if here]
        metrics[prefix + name] = Metric.mean(p[some].tolist(), bounds=(0, 1), clusters=labels, tol=0.05)
    return metrics


def test_letter_metrics(letter_calibration, metrics):
    assert metrics == letter_calibration


def test_p_true_own_metrics(p_true_own, metrics):
    assert metrics == p_true_own


@finding("the letter of the right option is the likeliest of four more often than by chance", id="CONF-1", tier="quick")
def test_answers(letter_calibration):
    r = letter_calibration
    assert above(r.accuracy, GUESS, source="one of four") & above(r.accuracy, r.accuracy_other_question)


@finding(
    "the probabilities of letters are nearer to the right option than under another question", id="CONF-1", tier="quick"
)
def test_nearer(letter_calibration):
    # 0.05: an eighth of the error of four equal probabilities
    assert below(letter_calibration.quadratic_less_other_question, 0, worth=0.05, source=NONE)


@finding(
    "the letter that is chosen is right more often than by chance, and on the whole as often as its probability says, to a tenth",
    id="CONF-1",
    tier="quick",
)
def test_calibrated(letter_calibration):
    r = letter_calibration
    assert (
        above(r.accuracy, GUESS, source="one of four")
        & above(r.accuracy, r.accuracy_other_question)
        & within(r.overconfidence, -0.1, 0.1, source=TENTH)
    )


@finding(
    "letters are chosen rightly, and a temperature fitted on other relations brings their probabilities nearer to the truth",
    id="CONF-1",
    tier="quick",
)
def test_temperature(letter_calibration):
    r = letter_calibration
    # 0.05 nats: a twentieth of what an answer at even odds costs, roughly
    assert (
        above(r.accuracy, GUESS, source="one of four")
        & above(r.accuracy, r.accuracy_other_question)
        & above(r.log_loss_saved_by_temperature, 0, worth=0.05, source=NONE)
    )


@finding("P(True) of a model's own answers is higher for right ones than for wrong ones", id="CONF-1", tier="quick")
def test_own_answers(p_true_own):
    assert above(p_true_own.auroc, 0.5, source="chance")


@finding(
    "P(True) tells a model's own right answers from wrong ones better than the probability of the answer does",
    id="CONF-1",
    tier="quick",
)
def test_own_better(p_true_own):
    assert above(p_true_own.less_token_probability, 0, worth=COUNTS, source=NONE)


@finding(
    "P(True) of a model's own answers, with five samples of its own shown, is higher for right ones than for wrong ones",
    id="CONF-1",
    tier="full",
)
def test_own_answers_with_ideas(p_true_own):
    assert above(p_true_own.ideas_auroc, 0.5, source="chance")
