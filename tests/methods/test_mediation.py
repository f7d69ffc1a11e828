"""Causal mediation against weights changed by hand, and the estimate of attribution patching against small steps."""

from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
import tiny
import wordy
from wordy import OTHER, TOY

from assay.data.in_context import ROLES, Template
from assay.errors import PromptError
from assay.methods.function_vectors.head_means import record_heads
from assay.methods.function_vectors.in_context import draw_trials
from assay.methods.function_vectors.mediation import (
    estimated_head_effects,
    head_effects,
    head_effects_by_role,
    head_means_by_piece,
    prompt_pieces,
)

FAMILIES = ["llama", "gemma2", "qwen2"]


class Patched:
    """An o_proj that puts values into one head of its input at some positions, a share of the way."""

    def __init__(self, inner, head, at, values, share=1.0):
        self.inner, self.head, self.at, self.values, self.share = inner, head, at, values, share

    def __call__(self, x):
        D = x.shape[-1] // 4
        here = x[0, self.at, self.head * D : (self.head + 1) * D]
        x[0, self.at, self.head * D : (self.head + 1) * D] = here + self.share * (self.values - here)
        return self.inner(x)


def probability(lm, one, layer, head, at, values, share=1.0):
    """Of the right token, by mlx-lm's own model with one o_proj wrapped."""
    attention = lm.model.layers[layer].self_attn
    inner = attention.o_proj
    attention.o_proj = Patched(inner, head, at, values, share)
    try:
        logits = lm.model(mx.array([one.prompt.tokens]))[0, -1].astype(mx.float32)
    finally:
        attention.o_proj = inner
    return mx.softmax(logits)[one.token].item()


@pytest.fixture(scope="module", params=FAMILIES)
def setting(request):
    lm = wordy.lm(request.param)
    means = record_heads(lm, draw_trials(lm, TOY, n_shots=3, split="valid", limit=4)).means()
    one = draw_trials(lm, TOY, n_shots=3, split="valid", limit=1, labels="mixed", others=[OTHER])[0]
    likely = int(lm.run(one.prompt).logits[0].argmax().item())  # a random model gives the right answer no probability
    return lm, means, replace(one, token=likely)


def test_effects_are_those_of_the_model_with_one_head_replaced(setting):
    lm, means, one = setting
    effects, last = head_effects(lm, one, means), [len(one.prompt) - 1]
    plain = mx.softmax(lm.model(mx.array([one.prompt.tokens]))[0, -1])[one.token].item()
    assert effects.shape == (3, 4)
    assert np.abs(effects).max() > 1e-4
    for layer in range(3):
        for head in range(4):
            by_hand = probability(lm, one, layer, head, last, means.z[layer, head][None]) - plain
            assert effects[layer, head] == pytest.approx(by_hand, abs=2e-6)


def test_the_estimate_is_the_slope_at_the_start_of_the_way_to_the_mean(setting):
    lm, means, one = setting
    estimate, last, step = estimated_head_effects(lm, one, means), [len(one.prompt) - 1], 0.02
    for layer in range(3):
        for head in range(4):
            forth, back = (
                probability(lm, one, layer, head, last, means.z[layer, head][None], share) for share in (step, -step)
            )
            slope = (forth - back) / (2 * step)
            assert estimate[layer, head] == pytest.approx(slope, rel=0.05, abs=2e-5)


def test_replacing_heads_by_their_own_values_has_no_effect(setting):
    lm, _, one = setting
    assert np.abs(head_effects(lm, one, record_heads(lm, [one]).means())).max() < 1e-6 + lm.rounding


def test_pieces_are_the_spans_of_the_prompt():
    lm = wordy.lm("llama")
    one = draw_trials(lm, TOY, n_shots=2)[0]
    said = [(role, lm.decode([one.prompt.tokens[t] for t in tokens])) for role, tokens in prompt_pieces(one)]
    assert said[:7] == [
        ("structural", "Q:"), ("demonstration", f" {one.context.shots[0][0]}"), ("separator", "\n"), ("structural", "A"),
        ("predictive", ":"), ("label", f" {one.context.shots[0][1]}"), ("end_of_example", "\n\n"),
    ]  # fmt: skip
    assert said[-1] == ("query_predictive", ":")
    assert sorted(t for _, tokens in prompt_pieces(one) for t in tokens) == list(
        range(1, len(one.prompt))
    )  # all but BOS


def test_effects_by_role_are_those_of_the_model_with_these_tokens_replaced(setting):
    lm, _, one = setting
    heads = [(0, 1), (2, 3)]
    means = head_means_by_piece(lm, draw_trials(lm, TOY, n_shots=3, split="valid", limit=3), heads)
    effects = head_effects_by_role(lm, one, heads, means)
    plain = mx.softmax(lm.model(mx.array([one.prompt.tokens]))[0, -1])[one.token].item()
    assert tuple(effects) == ROLES
    for role in ("label", "predictive", "query_predictive"):
        places = [(token, i) for i, (r, tokens) in enumerate(prompt_pieces(one)) if r == role for token in tokens]
        at, rows = [token for token, _ in places], mx.array([i for _, i in places])
        for h, (layer, head) in enumerate(heads):
            by_hand = probability(lm, one, layer, head, at, means[h, rows]) - plain
            assert effects[role][h] == pytest.approx(by_hand, abs=2e-6)


def test_the_last_role_alone_is_the_usual_effect(setting):
    lm, _, one = setting
    trials = draw_trials(lm, TOY, n_shots=3, split="valid", limit=3)
    means = record_heads(lm, trials).means()
    by_role = head_effects_by_role(lm, one, [(1, 2)], head_means_by_piece(lm, trials, [(1, 2)]))
    assert by_role["query_predictive"][0] == pytest.approx(head_effects(lm, one, means)[1, 2], abs=1e-6)


def test_piece_means_average_tokens_then_prompts():
    lm = wordy.lm("llama")
    trials = draw_trials(lm, TOY, n_shots=1, split="valid", limit=2)
    found = head_means_by_piece(lm, trials, [(1, 3)])
    by_hand = []
    for one in trials:
        z = lm.run(one.prompt, keep="z.1")["z", 1][0]
        by_hand.append([z[mx.array(tokens), 3].mean(axis=0) for _, tokens in prompt_pieces(one)])
    assert tiny.difference(found[0], mx.array([[(a + b) / 2 for a, b in zip(*by_hand, strict=True)]])[0]) < 1e-5


def test_prompts_of_different_forms_have_no_common_mean():
    lm = wordy.lm("llama")
    trials = [*draw_trials(lm, TOY, n_shots=1, limit=1), *draw_trials(lm, TOY, n_shots=2, limit=1)]
    with pytest.raises(PromptError, match="one number of shots"):
        head_means_by_piece(lm, trials, [(0, 0)])
    with pytest.raises(PromptError, match="no trial was given"):
        head_means_by_piece(lm, [], [(0, 0)])


def test_a_piece_that_shares_its_only_token_is_refused():
    lm = wordy.lm("llama")
    one = draw_trials(lm, TOY, n_shots=1, template=Template(after_input=" ", after_output=""))[0]
    with pytest.raises(PromptError, match="has no token of its own"):
        prompt_pieces(one)
