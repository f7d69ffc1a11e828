"""Weights in memory: widened without rounding, where they fit, on a CPU."""

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx.utils import tree_flatten

import assay
from assay.errors import AssayError, BudgetError
from assay.models import weights
from assay.models.random import random_model
from assay.models.weights import choose, dense_weight, float32_bytes, is_quantised, widen

TINY = {
    "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128, "num_attention_heads": 4,
    "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "vocab_size": 320,
}  # fmt: skip
on_a_cpu = pytest.mark.skipif(mx.default_device() != mx.cpu, reason="on a CPU: a GPU keeps weights as stored")


@pytest.mark.parametrize("bits", [4, 8, None])
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_widened_model_holds_the_numbers_it_held(family, bits):
    model = random_model({"model_type": family, **TINY, "tie_word_embeddings": family == "llama"}, bits=bits)
    before = {name: dense_weight(m) for name, m in model.named_modules() if hasattr(m, "weight")}
    biases = {name: m["bias"] for name, m in model.named_modules() if "bias" in m}
    needed = float32_bytes(model)
    tokens = mx.array([[7, 300, 12, 5]])
    said = model(tokens).astype(mx.float32)
    widen(model)
    assert not any(is_quantised(m) for m in model.modules())
    assert {p.dtype for _, p in tree_flatten(model.parameters())} == {mx.float32}
    assert sum(p.nbytes for _, p in tree_flatten(model.parameters())) == needed
    for name, module in model.named_modules():
        if name in before:
            assert mx.array_equal(module.weight, before[name].astype(mx.float32)), name
        if name in biases:
            assert mx.array_equal(module["bias"], biases[name].astype(mx.float32)), name
    assert mx.abs(model(tokens) - said).max() <= 0.05 * mx.abs(said).max()


def test_a_float32_model_is_left_alone():
    model = nn.Linear(4, 4)
    weight = model.weight
    widen(model)
    assert model.weight is weight


@on_a_cpu
def test_float32_where_half_of_the_memory_holds_it(monkeypatch):
    monkeypatch.setattr(weights, "memory_bytes", lambda: 1000)
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
    assert choose("auto", 500) == "float32"
    assert choose("auto", 501) == "stored"
    assert choose("float32", 501) == "float32"
    assert choose("stored", 1) == "stored"
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    assert choose("auto", 251) == "stored"
    with pytest.raises(BudgetError, match="use weights='stored'"):
        choose("float32", 1001)


def test_another_way_is_an_error():
    with pytest.raises(AssayError, match="weights is auto, float32, stored, got 'bf16'"):
        assay.load("llama_tiny4", weights="bf16", doctor=False)


@on_a_cpu
def test_what_was_chosen_is_recorded():
    wide, stored = (assay.load("llama_tiny4", weights=w, doctor=False) for w in ("auto", "stored"))
    assert wide.provenance()["weights"] == "float32"
    assert stored.provenance()["weights"] == "stored"
    assert wide.family.layers[0].mlp.down_proj.weight.dtype == mx.float32
    assert stored.family.layers[0].mlp.down_proj.weight.dtype == mx.bfloat16
    prompt = "The capital of France is"
    assert mx.allclose(wide.run(prompt).logits, stored.run(prompt).logits, atol=1e-3)
