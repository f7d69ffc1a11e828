"""The loss of answers equals that of plain runs, one token at a time."""

import numpy as np
import pytest
import tiny

from assay import ablate, add
from assay.errors import PromptError
from assay.methods.refusal.answer_loss import answer_loss, own_answers

PROMPTS = [tiny.ids(9), tiny.ids(11, 1)]
ANSWERS = [tiny.ids(3, 5), tiny.ids(5, 6)]


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_equals_plain_runs(family):
    lm = tiny.lm(family)
    r = np.random.default_rng(0).standard_normal(lm.width)
    variants = {"none": [], "ablated": [ablate(r)], "added": [add("resid_pre", r, layer=1, position="all")]}
    found = answer_loss(lm, [lm.prompt(p) for p in PROMPTS], ANSWERS, variants)
    for name, edits in variants.items():
        for i, (prompt, answer) in enumerate(zip(PROMPTS, ANSWERS, strict=True)):
            steps = [
                lm.run(prompt + answer[:k], edits=edits).log_probs()[0, answer[k]].item() for k in range(len(answer))
            ]
            assert found[name][i] == pytest.approx(-np.mean(steps), abs=1e-4)


def test_own_answers_are_the_greedy_ones():
    lm = tiny.lm("llama")
    prompts = [lm.prompt(p) for p in PROMPTS]
    assert own_answers(lm, prompts, max_tokens=4) == [lm.generate(p, max_tokens=4).tokens for p in PROMPTS]


def test_every_prompt_needs_an_answer():
    lm = tiny.lm("llama")
    with pytest.raises(PromptError, match="2 prompts need as many answers"):
        answer_loss(lm, [lm.prompt(p) for p in PROMPTS], [[], [1]], {"none": []})


def test_variants_are_the_same_for_all_prompts_or_as_many_with_the_same_names():
    lm = tiny.lm("llama")
    prompts = [lm.prompt(p) for p in PROMPTS]
    for variants in ([{"none": []}], [{"none": []}, {"other": []}]):
        with pytest.raises(PromptError, match="2 prompts need as many mappings of variants, with the same names"):
            answer_loss(lm, prompts, [[1], [2]], variants)
    with pytest.raises(PromptError, match="the set of prompts is empty"):
        answer_loss(lm, [], [], {"none": []})
