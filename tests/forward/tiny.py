"""Tiny random models of every family in every kind of weights, made in memory: what the tests of this folder run.

    lm = tiny.lm("gemma2", "4bit-bfloat16")         # an LM with float32 activations over 4-bit weights
    tiny.model("llama", "float16")                  # mlx-lm's own model
    tiny.copied("llama")                            # a fresh one with the same weights, to be changed by a test

Random weights hide mistakes when norms are one, biases zero, attention uniform or softcaps far away, so everything here
is set to matter: norm weights vary, biases are large, weights are scaled up, caps bite, H * D is not E where the family
allows it, the attention scale is not 1 / sqrt(D) in Gemma, and windows (8) are shorter than the prompts.
"""

import functools
import tempfile
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_map_with_path
from mlx_lm.utils import _get_classes, load_tokenizer

from assay.forward import exactness
from assay.forward.arithmetic import machine
from assay.forward.lm import LM
from assay.models.tokenizer import write_tokenizer

VOCAB = 320
WINDOW = 8
COMMON = {
    "num_hidden_layers": 3,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "vocab_size": VOCAB,
}
LLAMA3_ROPE = {
    "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
YARN_ROPE = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
LONG_ROPE = {"type": "longrope", "short_factor": [1.0] * 8, "long_factor": [1.0 + 0.3 * i for i in range(8)]}
WINDOWS = ["sliding_attention", "full_attention", "sliding_attention"]

# The seven families, with the variants that mlx-lm runs through other code (untied heads, windows).
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"head_dim": 16, "rope_theta": 5e5, "rope_scaling": LLAMA3_ROPE, "tie_word_embeddings": True},
    "llama_untied": {"model_type": "llama", "head_dim": 24, "tie_word_embeddings": False},
    "llama_window": {"model_type": "llama", "head_dim": 16, "sliding_window": WINDOW, "layer_types": WINDOWS},
    "mistral": {"head_dim": 16, "tie_word_embeddings": False, "rope_theta": 1e6},
    "qwen2": {"tie_word_embeddings": False},
    "qwen3": {"head_dim": 32, "tie_word_embeddings": True, "rope_theta": 1e6, "max_position_embeddings": 4096},
    "gemma2": {
        "head_dim": 32, "query_pre_attn_scalar": 24, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 8.0,
    },
    "gemma3_text": {
        "head_dim": 32, "query_pre_attn_scalar": 24, "sliding_window": WINDOW, "sliding_window_pattern": 3,
    },
    "phi3": {"tie_word_embeddings": False},
}  # fmt: skip

# Shapes and options that few checkpoints have: one of each is enough.
ODD: dict[str, dict[str, Any]] = {
    "llama_bias": {"model_type": "llama", "attention_bias": True, "mlp_bias": True, "num_hidden_layers": 1},
    "llama_every_head_its_own_keys": {"model_type": "llama", "num_attention_heads": 16, "num_key_value_heads": 16},
    "qwen2_one_key_head": {"model_type": "qwen2", "num_key_value_heads": 1},
    "qwen2_yarn": {"model_type": "qwen2", "rope_scaling": YARN_ROPE},
    "phi3_longrope": {
        "model_type": "phi3", "rope_scaling": LONG_ROPE,
        "max_position_embeddings": 128, "original_max_position_embeddings": 16,
    },
    "gemma3_all_global": {
        "model_type": "gemma3_text", "head_dim": 32, "sliding_window_pattern": 1, "num_hidden_layers": 5,
    },
}  # fmt: skip

# name: (dtype of the dense weights, scales and biases; bits)
WEIGHTS: dict[str, tuple[mx.Dtype, int | None]] = {
    "float32": (mx.float32, None),
    "bfloat16": (mx.bfloat16, None),
    "float16": (mx.float16, None),
    "4bit-float32": (mx.float32, 4),
    "4bit-bfloat16": (mx.bfloat16, 4),
}

TEXT = "The capital of the state containing Dallas is"


def build(name: str, weights: str = "float32", seed: int = 0, **changes: Any) -> nn.Module:
    """A new mlx-lm model with random weights; `changes` go over its config. The same arguments give the same weights."""
    config = {"model_type": name, **COMMON, **(FAMILIES | ODD)[name], **changes}
    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(config))
    if config["model_type"] == "gemma3_text":
        model.sanitize({})  # where this family decides that the head is the embedding
    gemma = config["model_type"].startswith("gemma")  # their norms multiply by 1 + weight
    key = mx.random.key(seed)

    def draw(path: str, parameter: mx.array) -> mx.array:
        nonlocal key
        key, this = mx.random.split(key)
        normal = mx.random.normal(parameter.shape, key=this)
        if path.endswith("norm.weight"):
            return 0.3 * normal + (0.0 if gemma else 1.0)
        if path.endswith("bias"):
            return 0.5 * normal
        if "embed" in path:
            return normal * (0.2 if gemma else 1.0)
        return normal * (1.7 * parameter.shape[-1] ** -0.5)

    dtype, bits = WEIGHTS[weights]
    model.update(tree_map_with_path(draw, model.parameters()))
    model.set_dtype(dtype)
    if bits:
        nn.quantize(model, group_size=32, bits=bits)
    model.eval()
    mx.eval(model.parameters())
    return model


@functools.cache
def model(name: str, weights: str = "float32") -> nn.Module:
    """`build`, kept: not to be changed."""
    return build(name, weights)


@functools.cache
def lm(name: str, weights: str = "float32", activations: str = "float32") -> LM:
    """The LM of a tiny model. Several share one model."""
    return LM(model(name, weights), tokenizer(), name=f"{name}, {weights}", activations=activations)


def around(changed: nn.Module, activations: str = "float32") -> LM:
    """An LM around a model that a test has changed."""
    return LM(changed, tokenizer(), name="changed", activations=activations)


@functools.cache
def tokenizer() -> Any:
    """A byte-level tokenizer with BOS, in the style of Llama, of exactly VOCAB tokens."""
    with tempfile.TemporaryDirectory() as folder:
        ids = write_tokenizer(Path(folder), "llama", vocab_size=VOCAB)
        return load_tokenizer(Path(folder), eos_token_ids=ids["eos_token_id"])


def ids(length: int = 13, seed: int = 0) -> list[int]:
    """Token ids of a prompt, all different from the special ones; longer than the windows by default."""
    return [6 + (seed * 101 + i * i * 17 + i * 5) % (VOCAB - 6) for i in range(length)]


def same(a: Any, b: Any) -> bool:
    """Whether two arrays have the same shape, type and bits (NaN is never the same)."""
    return a.shape == b.shape and a.dtype == b.dtype and bool((a == b).all())


ROUNDING = {mx.float32: 3e-5, mx.float16: 2e-2, mx.bfloat16: 1e-1}
"""Where rows depend on their batch, the tiny models of these tests come out up to 9e-6, 5e-3 and 3e-2 of the largest value
apart (OpenBLAS and MKL on AVX2)."""


def chat_lm(name: str, folder: Path) -> LM:
    """The float32 model with a tokenizer and a chat template in its family's style, which are written into the folder."""
    ids = write_tokenizer(folder, name, vocab_size=VOCAB)
    return LM(model(name), load_tokenizer(folder, eos_token_ids=ids["eos_token_id"]), name=name)


def agree(a: Any, b: Any, dtype: mx.Dtype | None = None) -> bool:
    """`same` where a row alone is the row in a batch, bit for bit; elsewhere to `ROUNDING`.

    dtype: that of the activations, where it is not that of the arrays.
    """
    a, b = (mx.array(np.ascontiguousarray(x)) if isinstance(x, np.ndarray) else mx.array(x) for x in (a, b))
    return exactness.agree(a, b, 0.0 if machine().rows else ROUNDING.get(dtype or a.dtype, 0.0))


def difference(a: mx.array, b: mx.array) -> float:
    """The largest difference, relative to the largest value of `b`."""
    a, b = a.astype(mx.float32), b.astype(mx.float32)
    return float(mx.abs(a - b).max() / mx.abs(b).max())
