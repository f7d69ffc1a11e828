"""Sentiment as an in-context task (plan V2, phase 3.1: "great -> positive"), with shuffled labels as the control.

A word of the test split is asked after 0 to 10 examples of the train split, and the answer is the likelier of the two labels, so
half are right by chance. Shuffled labels are the examples' own, permuted among them (half of them stay right by chance). What
examples change at the last token is added without examples, as in `test_function_vector_layers.py`; the score is the log-odds
of the right label against the other, for as many words of each label: what is common to both, and a preference for one of them,
does not change its mean. The plan lists the task and has no number for it.
"""

import numpy as np
import pytest

from assay import methods
from assay.data.sentiment import other_label, sentiment
from assay.plugin import Metric, above, experiment, finding, not_eligible, not_replicated

NONE = "no difference"
TEN = 10
DRAWS = 3
BATCH = 8


@pytest.fixture(scope="module")
def told(lm, tier, progress):
    """told(shots, labels, draw): 1.0 for each test word whose right label is the likelier one, [words]; measured once."""
    task, limit, found = sentiment(), tier.choose(smoke=6, quick=None, full=None), {}

    def measure(*shown):
        if shown not in found:
            n, labels, draw = shown
            trials = methods.draw_trials(lm, task, n_shots=n, limit=limit, labels=labels, shown=draw)
            parts = progress(list(methods.batches(trials, BATCH)), f"{n} examples, {labels} labels")
            found[shown] = np.concatenate([label_odds(lm, part) for part in parts]) > 0
        return found[shown].astype(float)

    return measure


@pytest.fixture(scope="module")
def own(told, null_world):
    """own(shots): the same with right labels; in the null world with one more draw of shuffled ones."""
    return lambda n: told(n, "shuffled", DRAWS) if null_world and n else told(n, "own", 0)


def label_odds(lm, trials):
    """Log-odds of the right label against the other as the next token, [trials]."""
    log_probs = np.array(lm.run([one.prompt for one in trials]).log_probs(), np.float64)
    other = [lm.token(f" {other_label(one.context.query[1])}", after=one.prompt) for one in trials]
    each = np.arange(len(trials))
    return log_probs[each, [one.token for one in trials]] - log_probs[each, other]


@experiment
def sentiment_in_context(own, tier):
    """Share of test words whose right label is the likelier one, by number of examples."""
    right = {n: own(n) for n in tier.choose(smoke=[0, TEN], quick=[0, 1, 4, TEN], full=range(TEN + 1))}
    by_count = [[n, float(flags.mean())] for n, flags in right.items()]
    return {
        "zero_shot": Metric.share(right[0], tol=0.09),
        "ten_shot": Metric.share(right[TEN], tol=0.09, control="zero_shot"),
        "ten_shot_less_zero_shot": Metric.mean((right[TEN] - right[0]).tolist(), (-1, 1), tol=0.09),
        "right_by_count": Metric(by_count, n=len(right[0]), tol=0.09),
    }


@experiment
def sentiment_shuffled(told, own):
    """The share after ten examples with shuffled labels; not eligible where right ones leave it at chance."""
    ten = Metric.share(told(TEN, "own", 0), tol=0.09)
    if ten.low <= 0.5:
        return not_eligible("ten examples with right labels leave the answers at chance", ten_shot=ten)
    right, draws = own(TEN), np.array([told(TEN, "shuffled", draw) for draw in range(DRAWS)])
    return {
        "ten_shot": Metric.share(right, tol=0.09, control="ten_shot_shuffled"),
        "ten_shot_shuffled": Metric.mean(draws.mean(axis=0).tolist(), (0, 1), tol=0.09),
        "ten_shot_less_shuffled": Metric.difference(right.tolist(), draws.tolist(), tol=0.09),
    }


@experiment
def sentiment_by_layer(measured):
    """Log-odds of the right label without examples with what ten examples change in the mean added at the last token."""
    return measured("sentiment").curves()


def test_in_context_metrics(sentiment_in_context, metrics):
    assert metrics == sentiment_in_context


def test_shuffled_metrics(sentiment_shuffled, metrics):
    assert metrics == sentiment_shuffled


def test_curve_metrics(sentiment_by_layer, metrics):
    assert metrics == sentiment_by_layer


@finding(
    "ten examples make a model tell positive from negative words, better than by chance", id="PLAN-8", tier="quick"
)
@not_replicated(
    "llama_tiny",
    "qwen_tiny",
    tier="quick",
    reason="0.5 and 0.46 of 24 words: no such words in training",
)
def test_above_chance(sentiment_in_context):
    assert above(sentiment_in_context.ten_shot, 0.5, source="chance of two labels")


@finding(
    "ten examples tell positive from negative words better than ten with shuffled labels", id="PLAN-8", tier="quick"
)
def test_labels_matter(sentiment_shuffled):
    assert above(sentiment_shuffled.ten_shot_less_shuffled, 0, source=NONE)


@finding(
    "what examples of sentiment change at the last token tells positive from negative words without examples, more than random "
    "vectors at any layer",
    id="PLAN-8",
    tier="quick",
)
def test_vector_acts(sentiment_by_layer):
    # half a nat, as of FV-20
    assert above(sentiment_by_layer.peak_less_control, 0, worth=0.5, source=NONE)
