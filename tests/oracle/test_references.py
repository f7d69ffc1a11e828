"""Checkpoints of every family and feature: assay's logits, sweeps and continuations are what transformers said (`references`).

The cases that mlx-lm computes otherwise than the publisher have names of their own here: each says what it would mean to leave
its key out, since the committed logits of the two models are far apart.
"""

import json

import mlx.core as mx
import numpy as np
import pytest
from families import PLAIN, WINDOW, prompt
from references import COLUMNS, CONFIGS, CONTINUED, SAVED, TOKENS, Reference, apart, load, logsumexp

import assay
from assay.forward import exactness
from assay.forward.lm import LM

TOLERANCE = 2e-5
"""Of the largest logit. Float32 on both sides rounds at most 4.2e-6 away in 476 variants (x86, OpenBLAS; one bit more or less in
each of some hundred sums); the rest is for other machines. The least that a feature changes at the long prompt is 1e-4."""

FAR = 0.02
"""Two models are others from this difference on."""


@pytest.fixture(params=SAVED)
def case(request, opened) -> tuple[LM, Reference]:
    return opened(request.param), load()[request.param]


def test_the_references_are_of_these_configs():
    """Where a config changes, `make_references.py` has to be run again."""
    assert {name: saved.config for name, saved in load().items()} == json.loads(json.dumps(CONFIGS))
    assert len(SAVED) >= 30
    assert {CONFIGS[name]["model_type"] for name in SAVED} == set(PLAIN)
    assert all(np.isfinite(saved.columns).all() and saved.tokens for saved in load().values())


def test_logits_are_those_of_transformers(case):
    """All positions of the long prompt; the last of each other one, alone and in a batch of several lengths."""
    lm, saved = case
    whole = np.array(lm.run(saved.long, keep="logits")["logits", None][0])
    assert apart(whole[:, list(COLUMNS)], saved.columns) <= TOLERANCE
    assert apart(logsumexp(whole), saved.logsumexp) <= TOLERANCE
    together = lm.run([prompt(length) for length in saved.last]).logits
    for row, (length, expected) in zip(together, saved.last.items(), strict=True):
        assert apart(lm.run(prompt(length)).logits[0], expected) <= TOLERANCE, length
        assert apart(row, expected) <= TOLERANCE, f"{length}, in a batch"


def test_continuations_are_those_of_transformers(case):
    """Greedy, by caches here and by reading the whole text again there; alone and beside longer prompts."""
    lm, saved = case
    beside = [prompt(3), prompt(CONTINUED), saved.long]
    for continued in (lm.generate(beside[1], max_tokens=TOKENS), lm.generate(beside, max_tokens=TOKENS)[1]):
        assert continued.tokens[: len(saved.tokens)] == saved.tokens


def test_sweeps_are_full_runs(case):
    """Patches before, at and behind the edge of the window, in the first layer and later, in a prompt twice as long."""
    lm, saved = case
    donor = lm.run(prompt(WINDOW), keep=["resid_post", "v"])
    edge = len(saved.long) - WINDOW
    patches = [
        assay.replace("resid_post", donor["resid_post", layer][0, -1], layer=layer, position=position)
        for layer in range(lm.n_layers)
        for position in (0, edge - 1, edge, -1)
    ]
    patches += [
        assay.zero("attn_out", layer=lm.n_layers - 1, position=2),
        assay.scale("v", 3.0, layer=0, position=edge - 1),
    ]
    swept = lm.sweep(saved.long, patches, logits=True)
    for patch, logits in zip(patches, swept.logits, strict=True):
        assert exactness.agree(mx.array(logits), lm.run(saved.long, edits=[patch]).logits[0], limit=lm.rounding), patch
    assert apart(swept.clean.logits[0], saved.last[len(saved.long)]) <= TOLERANCE


# --- the cases in which mlx-lm's model is another one ------------------------------------------------------


def assert_published(lm: LM, name: str, other: str, length: int) -> None:
    """A prompt gives the logits of the reference `name`, which are not those of `other`: the model without this feature."""
    ours, saved = lm.run(prompt(length)).logits[0], load()
    assert apart(ours, saved[name].last[length]) <= TOLERANCE
    assert apart(saved[other].last[length], saved[name].last[length]) >= FAR


BEYOND = [WINDOW + 1, 2 * WINDOW + 1]


@pytest.mark.parametrize("length", BEYOND)
def test_gemma2_prompts_longer_than_sliding_window(opened, length):
    assert_published(opened("gemma2-window"), "gemma2-window", "gemma2-plain", length)


@pytest.mark.parametrize("length", BEYOND)
def test_gemma2_layer_types(opened, length):
    """Windows in other layers than every second from the first."""
    assert_published(opened("gemma2-layer-types"), "gemma2-layer-types", "gemma2-window", length)


@pytest.mark.parametrize("length", BEYOND)
def test_mistral_sliding_window(opened, length):
    assert_published(opened("mistral-window"), "mistral-window", "mistral-plain", length)


@pytest.mark.parametrize("length", BEYOND)
def test_phi3_sliding_window(opened, length):
    assert_published(opened("phi3-window"), "phi3-window", "phi3-plain", length)


@pytest.mark.parametrize("length", BEYOND)
def test_qwen2_use_sliding_window(opened, length):
    assert_published(opened("qwen2-window"), "qwen2-window", "qwen2-plain", length)


@pytest.mark.parametrize("length", BEYOND)
def test_qwen3_use_sliding_window_from_max_window_layers(opened, length):
    assert_published(opened("qwen3-window-later"), "qwen3-window-later", "qwen3-plain", length)


@pytest.mark.parametrize("length", BEYOND)
def test_qwen3_use_sliding_window_by_layer_types(opened, length):
    assert_published(opened("qwen3-layer-types"), "qwen3-layer-types", "qwen3-plain", length)


@pytest.mark.parametrize("length", BEYOND)
def test_phi3_longrope_takes_its_short_factors_below_the_original_length(opened, length):
    assert_published(opened("phi3-longrope"), "phi3-longrope", "phi3-longrope-long", length)


@pytest.mark.parametrize("length", [1, 2 * WINDOW + 1])
def test_llama_hidden_act_gelu(opened, length):
    assert_published(opened("llama-gelu"), "llama-gelu", "llama-plain", length)


@pytest.mark.parametrize("length", [1, 2 * WINDOW + 1])
def test_gemma2_hidden_activation_relu(opened, length):
    assert_published(opened("gemma2-relu"), "gemma2-relu", "gemma2-plain", length)


def test_tie_word_embeddings_absent_with_a_head_in_the_file(opened):
    """transformers' default for llama is untied; mlx-lm's is tied, and it drops lm_head.weight without a word."""
    assert "lm_head.weight" in load()["llama-tie-absent"].shapes
    assert_published(opened("llama-tie-absent"), "llama-tie-absent", "llama-tied", 2 * WINDOW + 1)
    assert_published(opened("qwen3-tie-absent"), "qwen3-tie-absent", "qwen3-plain", 2 * WINDOW + 1)


def test_tied_with_another_head_in_the_file(opened):
    assert_published(opened("qwen3-two-heads"), "qwen3-two-heads", "qwen3-plain", 2 * WINDOW + 1)


@pytest.mark.parametrize("family", PLAIN)
def test_unmodified_configs_of_every_family(opened, family):
    lm, saved = opened(f"{family}-plain"), load()[f"{family}-plain"]
    for length, expected in saved.last.items():
        assert apart(lm.run(prompt(length)).logits[0], expected) <= TOLERANCE
