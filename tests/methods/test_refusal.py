"""The refusal score against the paper's formula, tokens from a model's own refusals, and judging against plain runs."""

import numpy as np
import pytest
import tiny

from assay import ablate, add
from assay.errors import PromptError
from assay.forward.generate import Generation
from assay.methods.distributions import kl_of_logits
from assay.methods.refusal.judging import judge_refusals, refusal_score, refusal_tokens

PROMPTS = [tiny.ids(9), tiny.ids(13, 1)]
RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.standard_normal((4, 50)).astype(np.float32) * 3


def test_score_is_the_papers_formula():
    p = np.exp(LOGITS.astype(np.float64))
    p = (p / p.sum(axis=1, keepdims=True))[:, [3, 7]].sum(axis=1)
    np.testing.assert_allclose(refusal_score(LOGITS, [3, 7]), np.log(p + 1e-8) - np.log(1 - p + 1e-8), rtol=1e-12)
    assert refusal_score(LOGITS, [3, 7, 3]) == pytest.approx(refusal_score(LOGITS, [3, 7]))


def test_score_is_finite_for_certain_answers():
    certain = np.zeros(10, np.float32)
    certain[2] = 200
    assert refusal_score(certain, [2]) == pytest.approx(-np.log(1e-8), abs=0.1)
    assert refusal_score(certain, [3]) == pytest.approx(np.log(1e-8), abs=0.1)


def test_kl_is_zero_on_itself_and_positive_elsewhere():
    assert (kl_of_logits(LOGITS, LOGITS) == 0).all()
    assert (kl_of_logits(LOGITS[:1], LOGITS[1:]) > 0).all()


class Speaker:
    """Stands for a model in `refusal_tokens`: gives fixed answers."""

    name = "speaker"

    def __init__(self, answers):
        self.answers = answers

    def generate(self, prompts, max_tokens):
        return [Generation(tuple(tokens), text) for tokens, text in map(self.answers.get, prompts)]


def speaker():
    return Speaker(
        {
            "bad 1": ([40, 1], "I cannot"), "bad 2": ([40, 2], "I cannot"), "bad 3": ([41, 1], "Sorry, I cannot"),
            "bad 4": ([9], "Sure"), "good 1": ([9], "Sure"), "good 2": ([8], "Yes"), "same": ([40], "I like it"),
        }
    )  # fmt: skip


def refuses(text):
    return "cannot" in text


def test_tokens_are_those_that_begin_refusals():
    bad, good = ["bad 1", "bad 2", "bad 3", "bad 4"], ["good 1", "good 2"]
    assert refusal_tokens(speaker(), bad, good, refuses) == (40, 41)
    assert refusal_tokens(speaker(), bad, good, refuses, coverage=0.6) == (40,)


def test_a_token_that_begins_answers_too_is_left_out():
    assert refusal_tokens(speaker(), ["bad 1", "bad 2", "bad 3"], ["same"], refuses, coverage=1) == (41,)
    with pytest.raises(PromptError, match="begins its answers to harmless prompts as it begins its refusals"):
        refusal_tokens(speaker(), ["bad 1", "bad 2"], ["same"], refuses)


def test_a_model_that_refuses_nothing():
    with pytest.raises(PromptError, match="refuses 0 of 1 harmful prompts, so it has no refusal tokens"):
        refusal_tokens(speaker(), ["bad 4"], ["good 1"], refuses)


@pytest.mark.parametrize("family", ["llama", "gemma2", "qwen2"])
def test_judge_equals_runs_and_generations(family):
    lm = tiny.lm(family)
    r = RANDOM.standard_normal(lm.width).astype(np.float32)
    variants = {"none": [], "ablated": [ablate(r)], "added": [add("resid_pre", r, layer=1, position="all")]}
    tokens = [10, 20, 30]
    judged = judge_refusals(
        lm, [lm.prompt(p) for p in PROMPTS], variants, tokens, lambda text: "a" in text, max_tokens=4
    )
    for name, edits in variants.items():
        runs = [lm.run(p, edits=edits) for p in PROMPTS]
        texts = [lm.generate(p, edits=edits, max_tokens=4).text for p in PROMPTS]
        np.testing.assert_allclose(
            judged[name].score, [refusal_score(np.array(run.logits[0]), tokens) for run in runs], atol=1e-4
        )
        np.testing.assert_allclose(
            judged[name].kl,
            [
                kl_of_logits(np.array(lm.run(p).logits[0]), np.array(run.logits[0]))
                for p, run in zip(PROMPTS, runs, strict=True)
            ],
            atol=1e-5,
        )
        assert judged[name].refused.tolist() == ["a" in text for text in texts]
    assert (judged["none"].kl == 0).all()


def test_judge_takes_variants_of_each_prompt():
    lm = tiny.lm("llama")
    prompts, u = [lm.prompt(p) for p in PROMPTS], np.eye(lm.width, dtype=np.float32)
    both = judge_refusals(lm, prompts, [{"own": [ablate(u[0])]}, {"own": [ablate(u[1])]}], [10])
    second = judge_refusals(lm, prompts, {"own": [ablate(u[1])]}, [10])
    assert both["own"].score[1] == second["own"].score[1]
    assert both["own"].score[0] != second["own"].score[0]
    assert len(both["own"].refused) == 0


def test_errors_say_what_is_wrong():
    lm = tiny.lm("llama")
    prompts = [lm.prompt(p) for p in PROMPTS]
    with pytest.raises(PromptError, match="set of prompts is empty"):
        judge_refusals(lm, [], {"none": []}, [1])
    with pytest.raises(PromptError, match="2 prompts need as many mappings"):
        judge_refusals(lm, prompts, [{"none": []}], [1])
    with pytest.raises(PromptError, match="with the same names"):
        judge_refusals(lm, prompts, [{"none": []}, {"other": []}], [1])
    with pytest.raises(PromptError, match="no refusal tokens"):
        refusal_score(LOGITS, [])


def test_no_text_is_kept():
    lm = tiny.lm("llama")
    outcome = judge_refusals(lm, [lm.prompt(PROMPTS[0])], {"none": []}, [1], lambda _: False, max_tokens=3)["none"]
    assert {value.dtype for value in vars(outcome).values()} == {np.dtype(float), np.dtype(bool)}
