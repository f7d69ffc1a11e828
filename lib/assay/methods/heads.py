"""Attention heads: ranking them by a measure, and what each one writes to the residual stream.

>>> effects = np.array([[0.0, 0.3], [0.9, 0.1]])               # [layers, heads]
>>> top_heads(effects, 2)
[(1, 0), (0, 1)]
>>> z = lm.run("The capital of France is", keep="z").at_last("z", 4)[0]
>>> head_writes(lm, 4, z, attention_rms(lm, 4, z)).shape       # heads, width
(8, 128)

A head's output z goes to the stream through the head's slice of o_proj. That is linear, so a mean of z gives the mean write.
A norm after attention (Gemma) divides the sum of all heads by its RMS; with the RMS held fixed, writes are linear there too.
"""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from assay.errors import LayerError
from assay.forward.layers import head_outputs
from assay.forward.lm import LM, PromptLike

Head = tuple[int, int]
"""(layer, head)."""


def top_heads(effects: np.ndarray, k: int) -> list[Head]:
    """The k heads with the largest effects [layers, H], the largest first; equal ones in the order of layers and heads.

    Raises LayerError when the model has fewer heads.
    """
    if not 0 < k <= effects.size:
        raise LayerError(f"{k} heads cannot be chosen: this model has {effects.size}; ask for 1 or more")
    return ranked_heads(effects)[:k]


def ranked_heads(effects: np.ndarray) -> list[Head]:
    """All heads by their effects [layers, H], the largest first; equal ones in the order of layers and heads."""
    if effects.ndim != 2:
        raise LayerError(
            f"effects are [layers, heads], these have the shape {effects.shape}: take their mean over prompts"
        )
    order = np.argsort(-effects, axis=None, kind="stable")
    return [divmod(int(i), effects.shape[1]) for i in order]


def other_heads(lm: LM, heads: Sequence[Head], seed: int) -> list[Head]:
    """As many random heads of the same layers, none of them in `heads`: the control for a choice of heads.

    Heads that a layer lacks are drawn from other layers. Raises LayerError when `heads` has more than half of the model's.
    """
    rng = np.random.default_rng(seed)
    free = [(layer, head) for layer in range(lm.n_layers) for head in range(lm.n_heads) if (layer, head) not in heads]
    if len(free) < len(heads):
        raise LayerError(f"{len(heads)} heads have no control: this model has {len(free)} others")
    free = [free[i] for i in rng.permutation(len(free))]
    drawn: list[Head] = []
    for layer, _ in heads:
        drawn.append(free.pop(next((i for i, head in enumerate(free) if head[0] == layer), 0)))
    return drawn


def norm_gain(norm: Any) -> mx.array:
    """The factor of each dimension in a norm, [E]: the normed vector of ones (Gemma's factor is 1 + weight, others' weight)."""
    weight = norm.weight
    return norm(mx.ones(weight.shape, mx.float32)).astype(mx.float32)


def attention_rms(lm: LM, layer: int, z: mx.array) -> mx.array:
    """The root mean square of attn_raw for z [.., H, D], with the epsilon of the norm after it, if any: [..], float32."""
    norm = lm.family.attention_norm(layer)
    raw = lm.family.output(layer)(z.reshape(*z.shape[:-2], -1)).astype(mx.float32)
    return mx.sqrt((raw * raw).mean(axis=-1) + (0.0 if norm is None else norm.eps))


def head_writes(lm: LM, layer: int, z: mx.array, rms: mx.array) -> mx.array:
    """What each head adds to the stream: z [H, D] -> [H, E], float32.

    rms: RMS of attn_raw, from `attention_rms` or a mean of them; used only if a norm follows attention. Summed over the heads
    this is attn_out, without any bias of o_proj.
    """
    norm = lm.family.attention_norm(layer)
    raw = head_outputs(lm.family.output(layer), z.astype(mx.float32)[None, None])[0, 0].astype(mx.float32)
    return lm.family.attention_writes(layer, raw) if norm is None else raw / rms * norm_gain(norm)


def head_sum_error(lm: LM, prompt: PromptLike) -> float:
    """The largest relative error, over layers, of the sum of all heads' writes as attn_out at the last token (by norm)."""
    run = lm.run(prompt, keep=("z", "attn_out"))
    worst = 0.0
    for layer in range(lm.n_layers):
        z, out = run.at_last("z", layer)[0], run.at_last("attn_out", layer)[0].astype(mx.float32)
        away = head_writes(lm, layer, z, attention_rms(lm, layer, z)).sum(axis=0) - out
        worst = max(worst, (mx.linalg.norm(away) / mx.linalg.norm(out)).item())  # type: ignore[type-var]
    return worst
