"""The logit lens against ten lines of plain mlx, on every built-in model."""

import mlx.core as mx
import numpy as np
import pytest
import tiny

import assay
from assay.errors import PositionError
from assay.methods.lens import logit_lens, logit_lenses

PROMPT = "The capital of the state containing Dallas is"


@pytest.fixture(scope="module", params=["gemma_tiny", "llama_tiny", "qwen_tiny"], ids=["gemma2", "llama", "qwen2"])
def lm(request):
    return assay.load(request.param)


def by_hand(lm, position):
    """Residual streams of mlx-lm's own layers, through its own norm and head."""
    core, ids = lm.model.model, mx.array([lm.prompt(PROMPT).tokens])
    h = core.embed_tokens(ids)
    if lm.model.model_type == "gemma2":
        h = h * core.args.hidden_size**0.5
    h = h.astype(mx.float32)
    head = lm.model.lm_head if "lm_head" in lm.model else core.embed_tokens.as_linear
    mask = mx.where(mx.tril(mx.ones((ids.shape[1],) * 2, mx.bool_)), 0.0, -1e9)
    out = []
    for layer in core.layers:
        h = layer(h, mask, None)
        logits = head(core.norm(h))[0, position]
        if lm.model.model_type == "gemma2":
            logits = mx.tanh(logits / lm.model.final_logit_softcapping) * lm.model.final_logit_softcapping
        out.append(np.array(logits - mx.logsumexp(logits)))
    return np.array(out)


@pytest.mark.parametrize("position", [-1, 3])
def test_equals_plain_mlx(lm, position):
    np.testing.assert_allclose(logit_lens(lm, PROMPT, position).log_probs, by_hand(lm, position), atol=2e-4)


def test_last_layer_is_the_model(lm):
    assert tiny.agree(logit_lens(lm, PROMPT).log_probs[-1], np.array(lm.run(PROMPT).log_probs()[0]))


def test_readings_agree_with_each_other(lm):
    lens = logit_lens(lm, PROMPT)
    top = lens.log_probs[-1].argmax()
    assert lens.ranks(int(top))[-1] == 0
    assert lens.top(1)[-1] == [lm.decode([int(top)])]
    assert lens.probs(int(top))[-1] == pytest.approx(np.exp(lens.log_probs[-1].max()))
    assert lens.kl_to_final()[-1] == 0
    assert (lens.kl_to_final()[:-1] > 0).all()
    assert (lens.entropy() > 0).all()
    assert lens.first_layer(int(top), rank_below=1) == int(np.flatnonzero(lens.ranks(int(top)) == 0)[0])
    assert lens.first_layer(int(lens.log_probs.sum(axis=0).argmin()), rank_below=1) is None


def test_several_prompts_give_what_each_gives_alone(lm):
    prompts = [PROMPT, "The capital of France is", "The spouse of the performer of Imagine is"]
    positions = [3, "France", -1]
    together = logit_lenses(lm, prompts, positions, batch=2)
    for lens, prompt, position in zip(together, prompts, positions, strict=True):
        assert tiny.agree(lens.log_probs, logit_lens(lm, prompt, position).log_probs)
    for lens, prompt in zip(logit_lenses(lm, prompts), prompts, strict=True):
        assert tiny.agree(lens.log_probs[-1], np.array(lm.run(prompt).log_probs()[0]))


def test_positions_that_do_not_fit_the_prompts_are_refused(lm):
    with pytest.raises(PositionError, match="2 prompts need one position, or as many, got 3"):
        logit_lenses(lm, [PROMPT, PROMPT], [0, 1, 2])
    with pytest.raises(PositionError, match="one position of a prompt is read, and 'all' is"):
        logit_lens(lm, PROMPT, "all")


def test_best_ranks_and_agreement(lm):
    lens = logit_lens(lm, PROMPT)
    ids = [5, 70, 900]
    assert (lens.best_ranks(ids) == np.min([lens.ranks(i) for i in ids], axis=0)).all()
    top = [set(np.argsort(-row, kind="stable")[:10].tolist()) for row in lens.log_probs]
    assert lens.agreement(10).tolist() == [len(one & top[-1]) / 10 for one in top]
    assert lens.agreement(1)[-1] == 1.0
