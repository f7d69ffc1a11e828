"""The true shapes: against published facts, the registry, and transformers' own validation."""

import json
import math

import pytest

from assay.errors import LayerError
from assay.models.random import _blank, _slots
from assay.models.registry import REGISTRY
from assay.models.shapes import SHAPES, cut

# layers, width, query heads, key/value heads, head size, tied head, billions of parameters as published
FACTS = {
    "gemma-3-270m": (18, 640, 4, 1, 256, True, 0.268),
    "gemma-3-270m-it": (18, 640, 4, 1, 256, True, 0.268),
    "gemma-3-1b-it": (26, 1152, 4, 1, 256, True, 1.00),
    "SmolLM2-135M-Instruct": (30, 576, 9, 3, 64, True, 0.1345),
    "SmolLM2-360M-Instruct": (32, 960, 15, 5, 64, True, 0.362),
    "SmolLM2-1.7B-Instruct": (24, 2048, 32, 32, 64, True, 1.71),
    "Llama-3.2-1B-Instruct": (16, 2048, 32, 8, 64, True, 1.24),
    "Qwen2.5-Coder-0.5B-Instruct": (24, 896, 14, 2, 64, False, 0.630),  # as converted: with a head of its own
    "Qwen2.5-0.5B-Instruct": (24, 896, 14, 2, 64, True, 0.494),
    "Qwen2.5-1.5B-Instruct": (28, 1536, 12, 2, 128, True, 1.54),
    "Qwen3-0.6B": (28, 1024, 16, 8, 128, True, 0.596),
    "Qwen3-1.7B": (28, 2048, 16, 8, 128, True, 1.72),
    "gemma-2-2b-it": (26, 2304, 8, 4, 256, True, 2.61),
    "gemma-2-9b-it": (42, 3584, 16, 8, 256, True, 9.24),
    "gemma-2-27b-it": (46, 4608, 32, 16, 128, True, 27.2),
    "Llama-3.2-3B-Instruct": (28, 3072, 24, 8, 128, True, 3.21),
    "Llama-3.1-8B-Instruct": (32, 4096, 32, 8, 128, False, 8.03),
    "Qwen2.5-7B-Instruct": (28, 3584, 28, 4, 128, False, 7.62),
    "Qwen2.5-14B-Instruct": (48, 5120, 40, 8, 128, False, 14.8),
}
REAL = {spec.aliases[0]: spec for spec in REGISTRY.values() if not spec.builtin}


def test_every_registered_model_that_is_not_built_in_has_a_shape():
    assert set(SHAPES) == {spec.id for spec in REAL.values()}
    assert set(FACTS) == set(REAL)


@pytest.mark.parametrize("name", FACTS)
def test_shape_against_published_facts(name):
    layers, width, heads, kv_heads, head_dim, tied, billions = FACTS[name]
    config = SHAPES[REAL[name].id]
    assert (config["num_hidden_layers"], config["hidden_size"]) == (layers, width)
    assert (config["num_attention_heads"], config["num_key_value_heads"]) == (heads, kv_heads)
    assert config.get("head_dim", width // heads) == head_dim
    assert config["tie_word_embeddings"] == tied
    slots = _slots(_blank(config), config, None, 64)
    assert sum(math.prod(slot.shape) for slot in slots) / 1e9 == pytest.approx(billions, rel=0.005)
    assert any(slot.name == "lm_head.weight" for slot in slots) != tied


@pytest.mark.parametrize("name", FACTS)
def test_the_registry_agrees(name):
    spec = REAL[name]
    config = SHAPES[spec.id]
    assert (spec.family, spec.layers) == (config["model_type"], config["num_hidden_layers"])
    bits = 4 if spec.repo.endswith("-4bit") else None
    packed = sum(slot.nbytes for slot in _slots(_blank(config), config, bits, 64))
    assert spec.gib == pytest.approx(packed / 2**30, abs=0.006)


@pytest.mark.parametrize("name", FACTS)
def test_transformers_accepts_the_config(name, tmp_path):
    """Its validation is strict about types: a float where an integer belongs makes the tokenizer unloadable."""
    from transformers import AutoConfig

    config = SHAPES[REAL[name].id]
    (tmp_path / "config.json").write_text(json.dumps(config))
    read = AutoConfig.from_pretrained(tmp_path)
    same = ["model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "rms_norm_eps", "vocab_size"]
    assert {key: getattr(read, key) for key in same} == {key: config[key] for key in same}
    rope = read.rope_parameters
    if config["model_type"] == "gemma3_text":  # two kinds of layers, each with its own
        assert read.layer_types.index("full_attention") == config["sliding_window_pattern"] - 1
        assert rope["sliding_attention"]["rope_theta"] == config["rope_local_base_freq"]
        rope = rope["full_attention"]
    assert rope["rope_theta"] == config["rope_theta"]
    assert rope["rope_type"] == config.get("rope_scaling", {}).get("rope_type", "default")


def test_cutting(config):
    whole = config("llama", layer_types=["full_attention"] * 3)
    assert cut(whole, None) == whole
    assert cut(whole, 2) == {**whole, "num_hidden_layers": 2, "layer_types": ["full_attention"] * 2}
    assert whole["num_hidden_layers"] == 3, "the original is left alone"


@pytest.mark.parametrize(("family", "layers"), [("llama", 0), ("llama", -1), ("llama", 4), ("gemma3_text", 2)])
def test_cutting_to_what_is_not_there(family, layers, config):
    with pytest.raises(LayerError, match=rf"cannot cut this {family} to {layers} layers: use \d to 3"):
        cut(config(family), layers)
