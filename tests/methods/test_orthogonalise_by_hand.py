"""Edited weights against run-time ablation in every family, tied and untied, dense and quantised; and saved checkpoints."""

import json

import mlx.core as mx
import mlx_lm
import numpy as np
import pytest
import tiny

import assay
from assay.errors import CheckpointError, EditError
from assay.methods.heads import norm_gain
from assay.methods.orthogonalisation import orthogonalise, same_at_run_time, save_orthogonalised
from assay.models.random import write_random
from assay.models.tokenizer import write_tokenizer

DIRECTION = np.random.default_rng(0).standard_normal(64).astype(np.float32)
UNIT = DIRECTION / np.linalg.norm(DIRECTION)
PROMPTS = [tiny.ids(9), tiny.ids(13, 1)]
PRE_NORM = ["llama", "llama_untied", "llama_window", "mistral", "qwen2", "qwen3", "phi3", "llama_bias"]
POST_NORM = ["gemma2", "gemma3_text"]


def ablated(lm):
    return lm.run(PROMPTS, edits=[assay.ablate(DIRECTION)]).logits


@pytest.mark.parametrize("family", PRE_NORM)
def test_equals_run_time_ablation(family):
    lm = tiny.lm(family)
    edited = orthogonalise(lm, DIRECTION)
    assert tiny.difference(edited.lm.run(PROMPTS).logits, ablated(lm)) < 1e-5
    assert tiny.difference(lm.run(PROMPTS).logits, ablated(lm)) > 0.1
    assert edited.embedding == "edited"
    assert edited.largest_leak < 1e-6


@pytest.mark.parametrize("family", PRE_NORM[:5])
def test_quantised_weights_left_dense_equal_run_time_ablation(family):
    lm = tiny.lm(family, "4bit-float32")
    assert tiny.difference(orthogonalise(lm, DIRECTION, quantised="dense").lm.run(PROMPTS).logits, ablated(lm)) < 1e-5


def test_quantised_again_leaks_and_says_so():
    lm = tiny.lm("llama", "4bit-float32")
    edited = orthogonalise(lm, DIRECTION)
    for path, leak in edited.leaks.items():
        weight = np.array(dense(dict(edited.lm.model.named_modules())[path]))
        old = np.array(dense(dict(lm.model.named_modules())[path]))
        along = (lambda w: w @ UNIT) if "embed" in path else (lambda w: UNIT @ w)
        assert leak == pytest.approx(np.linalg.norm(along(weight)) / np.linalg.norm(along(old)), rel=1e-3)
    assert 0.01 < edited.largest_leak < 0.5
    assert 0 < orthogonalise(tiny.lm("llama", "4bit-bfloat16"), DIRECTION, quantised="dense").largest_leak < 0.02


def dense(module):
    if not hasattr(module, "bits"):
        return module.weight
    return mx.dequantize(module.weight, module.scales, module.biases, module.group_size, module.bits)


@pytest.mark.parametrize("weights", ["float32", "bfloat16"])
def test_the_old_head_is_kept_where_it_was_the_embedding(weights):
    lm = tiny.lm("qwen3", weights)
    edited = orthogonalise(lm, DIRECTION)
    assert edited.untied
    assert not edited.lm.family.tied
    assert tiny.same(edited.lm.model.lm_head.weight, lm.model.model.embed_tokens.weight)
    assert edited.lm.model.model.embed_tokens.weight.dtype == lm.model.model.embed_tokens.weight.dtype


@pytest.mark.parametrize("family", POST_NORM)
def test_behind_a_post_norm_nothing_is_written_along_the_direction(family):
    lm = tiny.lm(family)
    edited = orthogonalise(lm, DIRECTION)
    sites = ["attn_out", "mlp_out"]
    before, after = (model.run(PROMPTS[0], keep=sites) for model in (lm, edited.lm))
    for site in sites:
        for i in range(3):
            assert np.abs(np.array(after[site, i]) @ UNIT).max() < 1e-4 * np.abs(np.array(before[site, i]) @ UNIT).max()
    # The embedding is written too, unless it is also the head and stays: then its part stays in the stream.
    stream = np.abs(np.array(edited.lm.run(PROMPTS[0], keep="resid_post")["resid_post", 2]) @ UNIT).max()
    assert (stream < 1e-4) == (edited.embedding == "edited")
    assert edited.embedding == ("kept" if family == "gemma2" else "edited")


@pytest.mark.parametrize("family", POST_NORM)
def test_behind_a_post_norm_it_is_not_the_run_time_result(family):
    """The reason is in the module's docstring: the rms is taken after the removal. The difference is measured, not hidden."""
    lm = tiny.lm(family)
    there = tiny.difference(orthogonalise(lm, DIRECTION).lm.run(PROMPTS).logits, ablated(lm))
    assert 1e-3 < there < tiny.difference(lm.run(PROMPTS).logits, ablated(lm))


@pytest.mark.parametrize("family", [*PRE_NORM, *POST_NORM])
def test_what_is_removed_can_be_removed_at_run_time(family):
    """In every family, post-norms and kept embeddings included: so the difference from ablation is explained."""
    lm = tiny.lm(family)
    edited = orthogonalise(lm, DIRECTION)
    removed = lm.run(PROMPTS, edits=same_at_run_time(edited, lm, DIRECTION)).logits
    assert tiny.difference(edited.lm.run(PROMPTS).logits, removed) < 1e-5


def test_gain_is_what_the_norm_multiplies_by():
    block = tiny.model("gemma2").layers[0]
    np.testing.assert_allclose(
        norm_gain(block.post_attention_layernorm), 1 + np.array(block.post_attention_layernorm.weight), rtol=2e-6
    )
    assert norm_gain(tiny.model("llama").layers[0].input_layernorm).shape == (64,)


def test_the_old_model_is_unchanged_and_shares_what_was_not_edited():
    lm = tiny.lm("llama_untied")
    before = lm.run(PROMPTS).logits
    edited = orthogonalise(lm, DIRECTION)
    assert tiny.same(lm.run(PROMPTS).logits, before)
    assert edited.lm.model.layers[0].self_attn.q_proj.weight is lm.model.layers[0].self_attn.q_proj.weight


def test_twice_is_once():
    lm = tiny.lm("mistral")
    once = orthogonalise(lm, DIRECTION)
    twice = orthogonalise(once.lm, DIRECTION)
    assert tiny.difference(twice.lm.run(PROMPTS).logits, once.lm.run(PROMPTS).logits) < 1e-5


@pytest.mark.parametrize("name", ["gemma_tiny", "llama_tiny", "qwen_tiny"], ids=["gemma2", "llama", "qwen2"])
def test_saved_checkpoints_open_as_ordinary_ones(name, tmp_path):
    lm = assay.load(name, doctor=False)
    direction = np.random.default_rng(1).standard_normal(lm.width)
    edited = orthogonalise(lm, direction)
    folder = save_orthogonalised(edited, tmp_path / "edited", source=name)
    model, tokenizer = mlx_lm.load(str(folder))
    prompt = lm.chat("Name a colour.")
    reopened = assay.load(str(folder))  # the doctor examines it
    assert tiny.agree(reopened.run(prompt).logits, edited.lm.run(prompt).logits)
    own = model(mx.array([prompt.tokens]))[:, -1].astype(mx.float32)
    assert tiny.difference(own, edited.lm.run(prompt).logits) < 0.05  # mlx-lm runs in the dtype of the weights
    assert tokenizer.apply_chat_template([{"role": "user", "content": "Name a colour."}]) is not None
    assert reopened.end_tokens == lm.end_tokens
    config = json.loads((folder / "config.json").read_text())
    assert edited.untied == (config["tie_word_embeddings"] is False and name != "gemma_tiny" and lm.family.tied)


def test_nothing_is_overwritten(tmp_path):
    edited = orthogonalise(assay.load("llama_tiny", doctor=False), np.ones(128))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="exists and is not empty"):
        save_orthogonalised(edited, tmp_path, source="llama_tiny")
    with pytest.raises(CheckpointError, match="give the model that it was made from"):
        save_orthogonalised(edited, tmp_path / "new", source="qwen_tiny")


def test_errors_say_what_is_wrong():
    lm = tiny.lm("llama")
    with pytest.raises(EditError, match=r"has shape \(64,\), this one has \(63,\)"):
        orthogonalise(lm, DIRECTION[:63])
    with pytest.raises(EditError, match="finite length above 0"):
        orthogonalise(lm, np.zeros(64))
    with pytest.raises(EditError, match="'requantise' or 'dense', got 'again'"):
        orthogonalise(lm, DIRECTION, quantised="again")


def test_a_quantised_checkpoint_loaded_as_float32_is_saved_as_what_it_is(tmp_path):
    """`assay.load` makes 4 bits float32 on a CPU; a config that still says 4 bits would be refused when it is opened again."""
    shape = {
        "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 64, "num_attention_heads": 4,
        "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "vocab_size": 512, "tie_word_embeddings": False,
    }  # fmt: skip
    source = write_random(tmp_path / "four", shape, bits=4)
    write_tokenizer(source, "llama")
    lm = assay.load(str(source), weights="float32", doctor=False)
    edited = orthogonalise(lm, np.eye(lm.width, dtype=np.float32)[0])
    again = assay.load(
        str(save_orthogonalised(edited, tmp_path / "edited", source=source)), weights="float32", doctor=False
    )
    assert again.provenance()["bits"] is None
    prompt = "The quick brown fox"
    assert tiny.agree(again.run(prompt).logits, edited.lm.run(prompt).logits)
