"""The choice between two answers, against plain mlx; calibration on probabilities whose answer is known."""

import kinds
import mlx.core as mx
import numpy as np
import pytest
import tiny

from assay.data.knowledge import statements
from assay.errors import DataError, PromptError
from assay.methods.confidence.choices import calibration_error, squared_errors
from assay.methods.preferences import answer_preference, where_answers_part


@pytest.fixture(scope="module", params=("llama", "gemma2", "qwen2"))
def lm(request, tmp_path_factory):
    return tiny.chat_lm(request.param, tmp_path_factory.mktemp(request.param))


ASKED = [item.proposal for item in statements("test")[:5]]


def test_the_prompt_ends_where_the_answers_part(lm):
    prompt, (a, b) = where_answers_part(lm, ASKED[0], ("(A)", "(B)"))
    whole = lm.chat(ASKED[0], answer="(A)").tokens
    assert whole[: len(prompt)] == prompt.tokens
    assert whole[len(prompt)] == a != b
    shared = lm.decode(list(prompt.tokens)).removeprefix(lm.decode(list(lm.chat(ASKED[0]).tokens)))
    assert lm.decode([a]) != lm.decode([b])
    assert "(A)".startswith(shared.strip() + lm.decode([a]).strip())


def test_preference_by_hand(lm):
    found = answer_preference(lm, ASKED, ("(A)", "(B)"), batch=2)
    for one, asked in zip(found, ASKED, strict=True):
        prompt, tokens = where_answers_part(lm, asked, ("(A)", "(B)"))
        logits = np.array(lm.model(mx.array([prompt.tokens]))[0, -1].astype(mx.float32), np.float64)
        a, b = np.exp(logits[list(tokens)])
        assert one == pytest.approx(a / (a + b), rel=1e-4)


def test_the_two_preferences_are_one_together(lm):
    there, back = (answer_preference(lm, ASKED, pair) for pair in (("(A)", "(B)"), ("(B)", "(A)")))
    assert there + back == pytest.approx(1)
    assert len(set(there)) == len(ASKED)


def test_answers_under_a_prefix_space_part_behind_it():
    """Alone, both answers begin with the same token; as they follow the question they differ in their first."""
    lm = kinds.lm("prepend")
    prompt, tokens = where_answers_part(lm, "The capital of France", (" Paris", " Rome"))
    assert prompt.tokens == lm.chat("The capital of France").tokens
    assert tokens == (lm.token(" Paris", after=prompt), lm.token(" Rome", after=prompt))
    assert [lm.decode([token]) for token in tokens] == [" Paris", " Rome"]


@pytest.mark.parametrize("answers", [("(A)", "(A)"), ("Yes", "Yes indeed")])
def test_answers_that_never_part(lm, answers):
    with pytest.raises(PromptError, match="never part"):
        answer_preference(lm, ASKED, answers)


def test_answers_that_are_not_cut_alike(lm, monkeypatch):
    """As if a tokenizer had "(" and "A" for the one and "(B" for the other."""
    _, (a, b) = where_answers_part(lm, ASKED[0], ("(A)", "(B)"))
    monkeypatch.setattr(lm, "decode", lambda tokens: {a: "(", b: "(B"}[tokens[0]])
    with pytest.raises(PromptError, match="not cut alike"):
        answer_preference(lm, ASKED, ("(A)", "(B)"))


def test_nothing_asked(lm):
    with pytest.raises(PromptError, match="nothing to choose"):
        answer_preference(lm, [], ("(A)", "(B)"))


def test_squared_errors_by_hand():
    assert squared_errors([1.0, 0.0], [True, False]).tolist() == [0, 0]
    assert squared_errors([0.5, 0.5], [True, False]).tolist() == [0.25, 0.25]
    assert squared_errors([0.8, 0.3], [True, True]) == pytest.approx([0.04, 0.49])


def test_calibration_error_by_hand():
    # Two bins: 0.2 twice, one true (off by 0.3 x 2); 0.9 once, true (off by 0.1).
    assert calibration_error([0.2, 0.2, 0.9], [True, False, True]) == pytest.approx((0.6 + 0.1) / 3)
    assert calibration_error([0.75] * 4, [True, True, True, False]) == 0
    assert calibration_error([0.0, 1.0], [False, True]) == 0
    assert calibration_error([1.0, 0.0], [False, True]) == 1
    # In one bin what is too high makes up for what is too low.
    assert calibration_error([1.0, 0.0], [False, True], bins=1) == 0


@pytest.mark.parametrize("measure", [squared_errors, calibration_error])
@pytest.mark.parametrize(
    ("p", "came_true", "why"),
    [
        ([], [], "one truth for each probability"),
        ([0.5], [True, False], "one truth for each probability"),
        ([1.5], [True], "between 0 and 1"),
        ([float("nan")], [True], "between 0 and 1"),
    ],
)
def test_what_is_no_calibration(measure, p, came_true, why):
    with pytest.raises(DataError, match=why):
        measure(p, came_true)


def test_no_bins():
    with pytest.raises(DataError, match="one bin or more"):
        calibration_error([0.5], [True], bins=0)
