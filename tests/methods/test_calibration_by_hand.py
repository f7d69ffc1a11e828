"""Calibration against closed forms and loops, areas of two predictors against counting, letters and own answers against mlx."""

from itertools import pairwise

import kinds
import mlx.core as mx
import numpy as np
import pytest
import tiny

from assay.data.questions import LETTERS, multiple_choice
from assay.errors import DataError, PromptError
from assay.methods.confidence.areas import area_in_groups, areas_beside, effective_numbers
from assay.methods.confidence.calibration import (
    brier_parts,
    calibration_error_interval,
    chance_calibration_errors,
    expected_calibration_error,
    fit_temperature,
    reliability_curve,
)
from assay.methods.confidence.multiple_choice import letter_log_probs, names_a_letter
from assay.methods.confidence.own_answers import OwnAnswer, answer_own, first_sentence, read_own
from assay.stats import mean_interval, wilson


@pytest.fixture(scope="module", params=("llama", "gemma2", "qwen2"))
def lm(request, tmp_path_factory):
    return tiny.chat_lm(request.param, tmp_path_factory.mktemp(request.param))


def stated(n=240, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.2, 1.0, n)
    return p, rng.uniform(size=n) < p**2, rng


def test_curve_by_hand():
    p, true, _ = stated()
    order = np.argsort(p)
    for i, one in enumerate(reliability_curve(p, true, bins=6)):
        some = order[40 * i : 40 * (i + 1)]
        assert (one.n, one.stated, one.share) == (40, pytest.approx(p[some].mean()), true[some].mean())
        assert (one.low, one.high) == wilson(int(true[some].sum()), 40)


def test_equal_probabilities_are_in_one_bin():
    curve = reliability_curve([0.5] * 6 + [0.9] * 2, [True] * 3 + [False] * 3 + [True] * 2, bins=4)
    assert [(one.stated, one.n, one.share) for one in curve] == [(0.5, 6, 0.5), (pytest.approx(0.9), 2, 1.0)]
    assert expected_calibration_error(curve) == pytest.approx(0.1 * 2 / 8)


def test_error_by_hand():
    p, true, _ = stated()
    order, error = np.argsort(p), 0.0
    for i in range(5):
        some = order[48 * i : 48 * (i + 1)]
        error += abs(p[some].mean() - true[some].mean()) / 5
    assert expected_calibration_error(reliability_curve(p, true, bins=5)) == pytest.approx(error)


def test_chance_errors_are_those_of_outcomes_drawn_from_the_probabilities():
    p, _, rng = stated(60)
    found = chance_calibration_errors(p, rng, bins=3, draws=2000)
    again = np.random.default_rng(9)
    by_hand = [
        expected_calibration_error(reliability_curve(p, again.uniform(size=60) < p, bins=3)) for _ in range(2000)
    ]
    assert found.mean() == pytest.approx(np.mean(by_hand), abs=0.004)
    assert np.quantile(found, 0.95) == pytest.approx(np.quantile(by_hand, 0.95), abs=0.01)
    assert chance_calibration_errors([0.0, 1.0], rng, bins=1, draws=3).tolist() == [0, 0, 0]


def test_the_interval_holds_the_error_of_the_truth():
    """Stated p, true p^2: in four of twenty samples or fewer the interval misses the error of endless answers."""
    missed = 0
    for seed in range(20):
        p, true, rng = stated(300, seed)
        low, high = calibration_error_interval(p, true, rng, bins=5, draws=200)
        edges = np.linspace(0.2, 1.0, 6)
        whole = np.mean([(b + a) / 2 - (b**3 - a**3) / 3 / (b - a) for a, b in pairwise(edges)])
        missed += not low <= whole <= high
    assert missed <= 4


def test_brier_parts_by_hand():
    """Forecasts of three kinds: the score is reliability - resolution + uncertainty, and nothing is left."""
    p, true = [0.1] * 4 + [0.5] * 4 + [0.8] * 2, [0, 0, 0, 1, 1, 1, 0, 0, 1, 1]
    found = brier_parts(p, np.array(true, bool), bins=10)
    kinds_of = [(0.1, 0.25, 0.4), (0.5, 0.5, 0.4), (0.8, 1.0, 0.2)]
    assert found.reliability == pytest.approx(sum(w * (s - o) ** 2 for s, o, w in kinds_of))
    assert found.resolution == pytest.approx(sum(w * (o - 0.5) ** 2 for _, o, w in kinds_of))
    assert (found.uncertainty, found.rest) == (0.25, pytest.approx(0, abs=1e-12))
    assert found.total == pytest.approx(np.mean((np.array(p) - true) ** 2))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_drawn_outcomes_is_found(temperature):
    rng = np.random.default_rng(0)
    logits = 3 * rng.standard_normal((4000, 4))
    noise = rng.gumbel(size=logits.shape)
    found = fit_temperature(logits, (logits / temperature + noise).argmax(axis=1))
    assert found == pytest.approx(temperature, rel=0.1)


def test_temperature_in_closed_form():
    # Of two options at odds of 9 two of three come true, so odds of 2: log 9 / T = log 2.
    assert fit_temperature(np.log([[9, 1]] * 3), [0, 1, 0]) == pytest.approx(np.log(9) / np.log(2), rel=1e-4)


@pytest.mark.parametrize("given", [([[0.0, 1.0]], []), ([], []), ([0.0, 1.0], [0, 1])])
def test_no_temperature(given):
    with pytest.raises(DataError, match="a temperature needs"):
        fit_temperature(*given)


def test_no_curve():
    with pytest.raises(DataError, match="one bin or more"):
        reliability_curve([0.5], [True], bins=0)
    with pytest.raises(DataError, match="between 0 and 1"):
        reliability_curve([1.5], [True])
    with pytest.raises(DataError, match="one bin or more"):
        expected_calibration_error([])


def test_areas_by_counting():
    rng = np.random.default_rng(0)
    right, group = rng.uniform(size=60) < 0.5, rng.integers(3, size=60)
    scores, others = right + rng.standard_normal(60), rng.standard_normal(60).round()
    wins = {"scores": [], "others": []}
    for i in np.flatnonzero(right):
        for k in np.flatnonzero(~right):
            if group[i] == group[k]:
                for name, values in (("scores", scores), ("others", others)):
                    wins[name].append((values[i] > values[k]) + 0.5 * (values[i] == values[k]))
    found = areas_beside(scores, others, right, group)
    assert (found.area, found.other) == (pytest.approx(np.mean(wins["scores"])), pytest.approx(np.mean(wins["others"])))
    assert found.area == area_in_groups(scores, right, group)
    assert found.interval[0] < found.difference < found.interval[1]


def test_the_interval_of_a_difference_holds_the_truth():
    """Two predictors with normal noise: their true difference is in the interval in 180 of 200 samples or more."""
    rng, held = np.random.default_rng(0), 0
    true = 0.7602 - 0.6382  # the normal distribution at 1 / sqrt 2 and at 0.5 / sqrt 2
    for _ in range(200):
        right, shared = np.arange(60) % 2 == 0, rng.standard_normal(60)
        a, b = (shift * right + 0.6 * shared + 0.8 * rng.standard_normal(60) for shift in (1.0, 0.5))
        low, high = areas_beside(a, b, right).interval
        held += low <= true <= high
    assert held >= 180


def test_effective_numbers_by_hand():
    # a: one right answer with three wrong ones, b: two with one, c: two without any. Of 5 pairs the right ones have 3, 1, 1,
    # the wrong ones 1, 1, 1, 2.
    right = [True, False, False, False, True, True, False, True, True]
    group = list("aaaabbbcc")
    assert effective_numbers(right, group) == (pytest.approx(25 / 11), pytest.approx(25 / 7))
    # One right answer of a and one of b are about one entity: 4 and 1; two wrong ones of a too: 2, 1, 2.
    entity = ["x", "y", "y", "z", "x", "u", "v", "w", "w"]
    assert effective_numbers(right, group, entity) == (pytest.approx(25 / 17), pytest.approx(25 / 9))
    assert effective_numbers([True] * 3 + [False] * 5) == (pytest.approx(3), pytest.approx(5))
    assert effective_numbers([True, False], ["a", "b"]) == (0, 0)


def test_the_interval_of_a_difference_weighs_answers_by_their_pairs():
    # a: one right answer and three wrong ones; b: two and one. The first predictor is better on a alone, in all of its pairs.
    right = np.array([True, False, False, False, True, True, False])
    scores, others = [3, 2, 1, 0, 2, 1, 0], [0, 3, 2, 1, 2, 1, 0]
    found = areas_beside(scores, others, right, list("aaaabbb"))
    assert found.difference == pytest.approx(3 / 5)
    of_right = mean_interval([1, 1, 1, 0, 0], (-1, 1), ["a", "a", "a", "b", "b2"])
    of_wrong = mean_interval([1, 1, 1, 0, 0], (-1, 1), ["a", "a2", "a3", "b", "b"])
    down = sum((3 / 5 - low) ** 2 for low, _ in (of_right, of_wrong)) ** 0.5
    up = sum((high - 3 / 5) ** 2 for _, high in (of_right, of_wrong)) ** 0.5
    assert found.interval == pytest.approx((max(-1, 3 / 5 - down), min(1, 3 / 5 + up)))


def test_the_interval_holds_the_truth_in_unequal_groups():
    """Ten right answers with two wrong ones, and ten wrong with two right, of two predictors that differ in the first group."""
    rng, held = np.random.default_rng(0), 0
    right = np.repeat([True, False, True, False], [10, 4, 4, 10])
    group, better = np.repeat([0, 1], 14), 1.0 * (np.arange(28) < 14)
    true = (0.7602 - 0.5) * 40 / 80  # the normal distribution at 1 / sqrt 2, in half of all pairs
    for _ in range(200):
        a, b = (shift * right * better + rng.standard_normal(28) for shift in (1.0, 0.0))
        low, high = areas_beside(a, b, right, group).interval
        held += low <= true <= high
    assert held >= 180


def test_equal_predictors_do_not_differ_and_few_answers_do_not_tell():
    right = np.array([True, True, False, False])
    found = areas_beside([3, 2, 1, 0], [9, 8, 1, 0], right)
    assert found.difference == 0
    assert found.interval[0] < 0 < found.interval[1]
    with pytest.raises(DataError, match="two right and two wrong"):
        areas_beside([3, 2, 1], [3, 2, 1], right[:3])
    with pytest.raises(DataError, match="in one group"):
        area_in_groups([1, 0], [True, False], ["a", "b"])
    with pytest.raises(DataError, match="each answer has a score"):
        area_in_groups([1, 0], [True])


ASKED = [one.prompt for one in multiple_choice("test")[:5]]


def test_letters_by_hand(lm):
    found = letter_log_probs(lm, ASKED, LETTERS, batch=2)
    for one, asked in zip(found, ASKED, strict=True):
        whole = [lm.chat(asked, answer=letter).tokens for letter in LETTERS]
        at = next(i for i in range(len(whole[0])) if len({tokens[i] for tokens in whole}) > 1)
        logits = np.array(lm.model(mx.array([whole[0][:at]]))[0, -1].astype(mx.float32), np.float64)
        p = np.exp(logits[[tokens[at] for tokens in whole]])
        assert np.exp(one) == pytest.approx(p / p.sum(), rel=1e-4)


def test_no_letters(lm):
    with pytest.raises(PromptError, match="a question and two letters"):
        letter_log_probs(lm, [], LETTERS)
    with pytest.raises(PromptError, match="do not all differ"):
        letter_log_probs(lm, ASKED, ["(A)", "(B)", "(A)"])


@pytest.mark.parametrize(
    ("said", "is_one"),
    [
        ("(B)", True),
        (" B. Paris", True),
        ("**C**", True),
        ("A", True),
        ("E", False),
        ("Because", False),
        ("A's", False),
    ],
)
def test_replies_that_begin_with_a_letter(said, is_one):
    assert names_a_letter(said, "ABCD") == is_one


@pytest.mark.parametrize(
    ("said", "first"),
    [
        ("The answer is Paris.", "Paris"),
        ("**The answer is: Paris. It", "Paris"),
        ("J. K. Rowling wrote it. She also", "J. K. Rowling wrote it"),
        ("Washington, D.C.", "Washington, D.C."),
        ("In St. Paul, Minnesota. It is", "In St. Paul, Minnesota"),
        ("It is Peru\nand more", "It is Peru"),
        ("  ", ""),
    ],
)
def test_first_sentences(said, first):
    assert first_sentence(said) == first


def test_own_answers_by_hand(lm):
    asked = ["Where is Kyoto?", "Who wrote Dracula?"]
    own = [OwnAnswer(asked[0], "Japan", True), OwnAnswer(asked[1], "Bram Stoker", False)]
    own.append(OwnAnswer(asked[1], "Bram Stoker", False, "The answer is "))
    read = read_own(lm, own, batch=1)
    for i, one in enumerate(own):
        bare, whole = lm.chat(one.asked), lm.chat(one.asked, answer=one.lead + one.said)
        led = lm.chat(one.asked, answer=one.lead.strip()) if one.lead else bare
        logits = np.array(lm.model(mx.array([whole.tokens]))[0].astype(mx.float32), np.float64)
        p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        prompt_end, *_ = [k for k in range(len(whole)) if whole.tokens[: k + 1] != bare.tokens[: k + 1]]
        at = [k for k in range(len(whole)) if whole.tokens[: k + 1] != led.tokens[: k + 1]]
        assert (at[0] > prompt_end) == bool(one.lead)
        assert read.log_probs[i] == pytest.approx(sum(np.log(p[k - 1, whole.tokens[k]]) for k in at), rel=1e-3)
        assert read.n_tokens[i] == len(at)
        before = p[at[0] - 1]
        assert read.entropy[i] == pytest.approx(-(before * np.log(before)).sum(), rel=1e-3)
        run = lm.run(whole, keep="resid_post")
        asked_at = max(
            k for k, (start, _) in enumerate(whole.spans) if start < whole.text.index(one.asked) + len(one.asked)
        )
        for place, k in (("question", asked_at), ("prompt", prompt_end - 1), ("answer", len(whole) - 1)):
            assert read.at(place)[i, 1] == pytest.approx(
                np.array(run["resid_post", 1][0, k].astype(mx.float32)), abs=1e-4
            )


def test_answers_are_judged_by_their_own_judges():
    lm = kinds.lm("prepend")
    own = answer_own(
        lm, ["Where is Kyoto?", "Who wrote Dracula?"], [lambda said: True, lambda said: False], max_tokens=4
    )
    assert {one.asked: one.right for one in own}.items() <= {
        "Where is Kyoto?": True,
        "Who wrote Dracula?": False,
    }.items()
    assert all(one.said for one in own)


def test_no_own_answers(lm):
    with pytest.raises(PromptError, match="no answers"):
        read_own(lm, [])
    with pytest.raises(PromptError, match="each question has a judge"):
        answer_own(lm, ["Where is Kyoto?"], [])
    with pytest.raises(PromptError, match="unknown place"):
        read_own(lm, [OwnAnswer("Where is Kyoto?", "Japan", True)]).at("middle")
