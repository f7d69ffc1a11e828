"""First weights of a built-in model, with some duplicate-token heads: in these a token attends to equal tokens.

>>> from assay.testbed.configs import recipe
>>> round(count(new_model(recipe("llama_tiny4"), vocab_size=64, seed=0)) / 1e6, 2)
0.8
"""

import hashlib
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten, tree_map_with_path
from mlx_lm.utils import _get_classes

from assay.testbed.configs import Init, Recipe


def new_model(made: Recipe, vocab_size: int, seed: int) -> nn.Module:
    """An mlx-lm model with first weights in float32; the seed and a tensor's name alone decide its values."""
    config, init = {**made.config, "vocab_size": vocab_size}, made.init
    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(config))

    def first(name: str, old: mx.array) -> mx.array:
        if name.endswith("model.norm.weight"):
            return mx.full(old.shape, init.final_norm)
        if "norm" in name:
            # In families with norms after attention and MLP, only norms with these names are before them.
            before = "pre_feedforward" in name or "input" in name
            post = config["model_type"] == "gemma2" and not before
            return mx.full(old.shape, init.post_norm if post else init.norm)
        if name.endswith("bias"):
            return mx.zeros(old.shape)
        tables = {"model.embed_tokens.weight": init.embedding, "lm_head.weight": init.unembedding}
        scale = tables[name] if name in tables else float(old.shape[1]) ** -0.5
        scale *= init.out if "o_proj" in name or "down_proj" in name else 1.0
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        return scale * mx.random.normal(old.shape, key=mx.random.key(int.from_bytes(digest[:4])))

    model.update(tree_map_with_path(first, model.parameters()))
    for layer, head in made.planted.duplicate_token_heads:
        look_for_own(model.layers[layer].self_attn, head, init, config["rope_theta"])  # type: ignore[index]
    mx.eval(model.parameters())
    return model


def look_for_own(attention: Any, head: int, init: Init, theta: float) -> None:
    """Give the queries of a head the weights of its keys, so that tokens attend to tokens with a similar residual stream.

    Dimensions that the rotary embedding turns fast are set to 0, so that the distance of the tokens matters little.
    """
    q, k = attention.q_proj.weight, attention.k_proj.weight
    size, shared = k.shape[0] // attention.n_kv_heads, attention.n_heads // attention.n_kv_heads
    slow = theta ** (-np.arange(size // 2) / (size // 2)) < init.slow
    keys = slice(head * size, (head + 1) * size)
    k[keys] = k[keys] * mx.array(init.duplicate_token * np.tile(slow, 2)[:, None], mx.float32)
    q[head * shared * size : (head + 1) * shared * size] = mx.tile(k[keys], (shared, 1))


def count(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(value.size for _, value in tree_flatten(model.parameters()))  # type: ignore[union-attr]
