"""Direct attribution: how much each attention head writes along a direction, and which tokens those heads attend to.

    >>> from assay import methods
    >>> harmful, harmless = (methods.chat_prompts(lm, [f"How can I {what} a car?"]) for what in ("steal", "wash"))
    >>> direction = methods.difference_in_means(lm, harmful, harmless, n_positions=1).at(-1, 4)
    >>> written = head_writes_along(lm, harmful, direction.vector)
    >>> written.shape                                              # prompts, layers, heads
    (1, 8, 8)
    >>> heads = methods.top_heads(written.mean(axis=0), 3)
    >>> attention_share(lm, harmful, heads, [assay.text("steal a car", whole=True)]).round(1)
    array([[1., 1., 1.]], dtype=float32)

The write of a head is the dot product of the unit direction with the vector that the head adds to the stream at the last token
(Arditi et al. 2024, section 5.1; direct feature attribution). A norm after attention (Gemma) is applied with the RMS of the
run, so that the writes of all heads sum to that of the layer's `attn_out` in every family.
"""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from assay.errors import PromptError
from assay.forward.edits import unit
from assay.forward.lm import LM
from assay.forward.positions import Position, Prompt, resolve
from assay.methods.heads import Head, norm_gain
from assay.methods.portions import batches
from assay.models.weights import dense_weight


def head_writes_along(lm: LM, prompts: Sequence[Prompt], direction: Any, *, batch: int = 16) -> np.ndarray:
    """What each head writes along a direction [E] at the last token: [prompts, layers, heads] float32.

    batch: prompts per forward pass. A bias of o_proj belongs to no head and is left out.
    """
    u = unit(direction)
    family = lm.family
    lines = []  # per layer [H, D]: o_proj's transpose applied to the direction
    for i in range(lm.n_layers):
        norm = family.attention_norm(i)
        line = family.attention_writes(i, u) if norm is None else norm_gain(norm) * u
        weight = dense_weight(family.output(i)).astype(mx.float32)
        lines.append((line @ weight).reshape(lm.n_heads, -1))
    out = []
    for part in batches(prompts, batch):
        run = lm.run(list(part), keep=["z", "attn_raw"])
        rows = []
        for i, line in enumerate(lines):
            writes = (run.at_last("z", i).astype(mx.float32) * line).sum(axis=-1)  # [B, H]
            if (norm := family.attention_norm(i)) is not None:
                raw = run.at_last("attn_raw", i).astype(mx.float32)
                writes = writes * mx.rsqrt((raw * raw).mean(axis=-1, keepdims=True) + norm.eps)
            rows.append(np.array(writes))
        out.append(np.stack(rows, axis=1))
    return np.concatenate(out)


def attention_share(
    lm: LM, prompts: Sequence[Prompt], heads: Sequence[Head], spans: Sequence[Position], *, batch: int = 16
) -> np.ndarray:
    """How much of the last token's attention each head gives to one span of each prompt: [prompts, heads], 0 to 1.

    spans: one per prompt, positions as in edits (`assay.text("..", whole=True)` for all tokens of a text).
    """
    if len(spans) != len(prompts):
        raise PromptError(f"{len(prompts)} prompts need as many spans, got {len(spans)}")
    where = [np.array(resolve(span, prompt).prompt) for span, prompt in zip(spans, prompts, strict=True)]
    layers = sorted({layer for layer, _ in heads})
    shares = []
    for part in batches(list(zip(prompts, where, strict=True)), batch):
        run = lm.run([prompt for prompt, _ in part], keep=[("pattern", layer) for layer in layers])
        rows = mx.arange(len(part)), mx.array(run.lengths) - 1
        last = {i: np.array(run["pattern", i].swapaxes(1, 2)[rows].astype(mx.float32)) for i in layers}  # [B, H, S]
        shares += [[last[layer][b, head, at].sum() for layer, head in heads] for b, (_, at) in enumerate(part)]
    return np.array(shares, np.float32).reshape(len(prompts), len(heads))
