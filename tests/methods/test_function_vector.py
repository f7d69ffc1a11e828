"""Function vectors: which heads, what they sum to, and that injection is an addition after a layer, and nothing else."""

import mlx.core as mx
import numpy as np
import pytest
import tiny
import wordy
from plain import plain
from wordy import TOY, added

from assay.errors import LayerError
from assay.methods.function_vectors.function_vector import (
    as_long_as,
    function_vector,
    inject_at_every_layer,
    inject_vector,
    nested_function_vectors,
)
from assay.methods.function_vectors.head_means import record_heads
from assay.methods.function_vectors.in_context import draw_trials
from assay.methods.heads import other_heads, top_heads

LM = wordy.lm("gemma2")


@pytest.fixture(scope="module")
def means():
    return record_heads(LM, draw_trials(LM, TOY, n_shots=2, split="valid", limit=3)).means()


def test_top_heads_are_the_largest_first_and_equals_in_order():
    effects = np.array([[0.1, 0.9, 0.1], [-2.0, 0.5, 0.1]])
    assert top_heads(effects, 4) == [(0, 1), (1, 1), (0, 0), (0, 2)]
    for k in (0, 7):
        with pytest.raises(LayerError, match="has 6; ask for 1 or more"):
            top_heads(effects, k)


def test_other_heads_are_of_the_same_layers_and_none_of_them():
    heads = [(0, 1), (0, 3), (2, 0)]
    for seed in range(20):
        others = other_heads(LM, heads, seed)
        assert [layer for layer, _ in others] == [0, 0, 2]
        assert len({*others, *heads}) == 6
    assert len({tuple(other_heads(LM, heads, seed)) for seed in range(20)}) >= 5


def test_a_full_layer_has_its_control_elsewhere():
    heads = [(1, head) for head in range(4)]
    others = other_heads(LM, heads, seed=0)
    assert len({*others}) == 4
    assert all(layer != 1 for layer, _ in others)
    with pytest.raises(LayerError, match="7 heads have no control: this model has 5 others"):
        other_heads(LM, [(i // 4, i % 4) for i in range(7)], seed=0)


def test_the_vector_is_the_sum_of_writes_by_hand(means):
    heads, total = [(2, 1), (0, 3), (2, 0)], 0
    for layer, head in heads:
        block = LM.model.layers[layer]
        write = block.self_attn.o_proj.weight[:, head * 32 : (head + 1) * 32] @ means.z[layer, head]
        total = total + write / means.rms[layer] * (1.0 + block.post_attention_layernorm.weight)
    assert tiny.difference(function_vector(LM, means, heads), total) < 1e-5


def test_vectors_of_more_heads_add_to_those_of_fewer(means):
    heads = [(2, 1), (0, 3), (1, 2)]
    nested = nested_function_vectors(LM, means, heads, [1, 3])
    assert tiny.difference(nested[0], function_vector(LM, means, heads[:1])) == 0
    rest = sum(function_vector(LM, means, [head]) for head in heads[1:])
    assert tiny.difference(nested[1], nested[0] + rest) < 1e-5


@pytest.mark.parametrize(
    ("heads", "message"),
    [([], "none was given"), ([(3, 0)], r"\(3, 0\) is none of 3 layers x 4"), ([(0, -1)], "none of")],
)
def test_no_head_or_one_that_does_not_exist(means, heads, message):
    with pytest.raises(LayerError, match=message):
        function_vector(LM, means, heads)


def test_length():
    a, b = mx.array([3.0, 4.0]), mx.array([0.0, 2.0])
    assert tiny.difference(as_long_as(a, b), mx.array([1.2, 1.6])) < 1e-6


@pytest.mark.parametrize("name", ["llama", "gemma2", "qwen2"])
def test_injection_is_an_addition_after_each_layer_at_the_last_token(name):
    lm = wordy.lm(name)
    one = draw_trials(lm, TOY, n_shots=1, limit=1)[0]
    tokens, last = list(one.prompt.tokens), len(one.prompt) - 1
    same, by_layer = (mx.random.normal(shape, key=mx.random.key(0)) for shape in ((64,), (3, 64)))
    found = inject_at_every_layer(lm, one, {"same": same, "by_layer": by_layer})

    def log_prob(layer=None, vector=0.0):
        logits = plain(lm.model, tokens, added(vector, layer, [last]))[-1]
        rank = (logits > logits[one.token]).sum().item()
        return (logits[one.token] - mx.logsumexp(logits)).item(), rank

    assert (found.plain_log_prob, found.plain_rank) == (pytest.approx(log_prob()[0], abs=1e-4), log_prob()[1])
    for layer in range(3):
        for kind, vector in (("same", same), ("by_layer", by_layer[layer])):
            value, rank = log_prob(layer, vector)
            assert found.log_probs[kind][layer] == pytest.approx(value, abs=1e-4)
            assert found.ranks[kind][layer] == rank
    some = inject_at_every_layer(lm, one, {"same": same, "by_layer": by_layer}, layers=[2, 0])
    for kind in ("same", "by_layer"):
        assert some.log_probs[kind] == pytest.approx(found.log_probs[kind][[2, 0]], abs=1e-4)
        assert some.ranks[kind].tolist() == found.ranks[kind][[2, 0]].tolist()


def test_injection_while_generating_is_at_every_new_token():
    one, vector = draw_trials(LM, TOY, n_shots=1, limit=1)[0], mx.random.normal((64,), key=mx.random.key(0)) * 3
    said = list(LM.generate(one.prompt, edits=inject_vector(vector, 1, generated=True), max_tokens=4).tokens)
    tokens = list(one.prompt.tokens)
    for i in range(4):  # by hand, without a cache
        at = list(range(len(one.prompt) - 1, len(one.prompt) + i))
        tokens.append(plain(LM.model, tokens, added(vector, 1, at))[-1].argmax().item())
    assert tokens[len(one.prompt) :] == said
    assert len(inject_vector(vector, 1)) == 1
