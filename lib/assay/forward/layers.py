"""The instrumented forward pass: layers of five steps, between which activations can be read, edited or replaced.

    >>> from assay.forward.taps import NO_TAP
    >>> x = forward(lm.family, mx.array([[5, 6, 7]]), caches=None, tap=NO_TAP, dtype=mx.float32)
    >>> unembed(lm.family, x, NO_TAP).shape
    (1, 3, 4608)

The forward pass calls `tap(site, layer, value)` at every site of `assay.forward.sites` and continues with the value returned:
the same one, or an edited one. Sites that are costly to compute are computed only if `tap.wants(site, layer)` is true.

`STEPS` defines the order of a layer. A step begins at a *station*, where rows of a sweep may enter with values of a clean run
(`assay.forward.sweep`). The operations and their order are those of mlx-lm's own modules, so on the CPU the result is bitwise
the model's own, in every dtype: where rows are exact, and elsewhere inside `by_mlx()` (`assay.forward.by_numpy`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx

from assay.forward import by_numpy
from assay.forward.attention import Attend, AttendSelf
from assay.forward.families.base import Family
from assay.forward.lanes import by_token, token_axis
from assay.forward.sites import Station
from assay.forward.taps import Tap
from assay.models.weights import dense_weight

Carried = tuple[mx.array, ...]
"""The values at a station: the stream [B, L, E]; at "z" also z, at "mlp_raw" also the MLP's output."""
Step = Callable[[Family, int, Carried, Attend, Tap], Carried]


def embed(family: Family, tokens: mx.array, dtype: mx.Dtype | None) -> mx.array:
    """[B, L] tokens -> [B, L, E] in `dtype` (None: that of the weights), which is then the dtype of all activations."""
    x = family.embed(tokens)
    return x if dtype is None else x.astype(dtype)


def forward(
    family: Family, tokens: mx.array, caches: Sequence[Any] | None, tap: Tap, dtype: mx.Dtype | None
) -> mx.array:
    """[B, L] tokens -> the last resid_post [B, L, E], in `dtype` (None: that of the weights)."""
    x = tap("embed", None, embed(family, tokens, dtype))
    attend = AttendSelf(family, x, caches)
    for i in range(family.n_layers):
        x = layer(family, i, x, attend, tap)
    return x


def layer(family: Family, i: int, x: mx.array, attend: Attend, tap: Tap) -> mx.array:
    """Layer `i`: resid_pre [B, L, E] -> resid_post [B, L, E]."""
    carried: Carried = (x,)
    for step in STEPS.values():
        carried = step(family, i, carried, attend, tap)
    return carried[0]


def unembed(family: Family, x: mx.array, tap: Tap) -> mx.array:
    """The last resid_post [B, L, E] -> logits [B, L, V]."""
    x = tap("final_norm", None, family.final_norm(x))
    return tap("logits", None, by_token(family.unembed, x, family.vocab))


# ---------------------------------------------------------------------- the steps of a layer


def read_heads(family: Family, i: int, carried: Carried, attend: Attend, tap: Tap) -> Carried:
    """The heads read the stream: z [B, L, H, D], before its tap."""
    x = tap("resid_pre", i, carried[0])
    work = family.head_dim * (family.n_heads + 2 * family.n_kv_heads)
    q, k, v = by_token(lambda x: family.qkv(i, family.attention_reads(i, x)), x, work, axis=2)
    q, k, v = tap("q", i, q), tap("k", i, k), tap("v", i, v)
    return x, attend(i, q, k, v, tap).transpose(0, 2, 1, 3)


def write_heads(family: Family, i: int, carried: Carried, attend: Attend, tap: Tap) -> Carried:
    """z through o_proj and any post-norm, added to the stream: resid_mid, before its tap."""
    x, z = carried[0], tap("z", i, carried[1])
    if tap.wants("head_out", i):
        tap("head_out", i, head_outputs(family.output(i), z))
    raw = tap("attn_raw", i, by_token(family.output(i), z.reshape(*z.shape[:2], -1), family.width))
    return (family.add(x, tap("attn_out", i, family.attention_writes(i, raw))),)


def read_mlp(family: Family, i: int, carried: Carried, attend: Attend, tap: Tap) -> Carried:
    """The MLP reads the stream: mlp_raw, before its tap."""
    x = tap("resid_mid", i, carried[0])
    width = family.mlp_width
    if family.gate not in by_numpy.GATED or not by_numpy.chosen(x.size // x.shape[-1] * width, x.dtype):
        return x, by_token(lambda x: family.mlp(i, family.mlp_reads(i, x)), x, 3 * width)
    made = by_numpy.through(
        lambda x: (family.gate_up(i, family.mlp_reads(i, x)), ()),
        lambda gate, up: by_numpy.gated(family.gate, gate, up),
        family.down(i),
        x,
        work=3 * width * x.size,
        axis=token_axis(x),
    )
    return x, made


def write_mlp(family: Family, i: int, carried: Carried, attend: Attend, tap: Tap) -> Carried:
    """mlp_raw through any post-norm, added to the stream: resid_post, before its tap."""
    x, raw = carried[0], tap("mlp_raw", i, carried[1])
    return (family.add(x, tap("mlp_out", i, family.mlp_writes(i, raw))),)


def leave(family: Family, i: int, carried: Carried, attend: Attend, tap: Tap) -> Carried:
    """The stream leaves the layer."""
    return (tap("resid_post", i, carried[0]),)


STEPS: dict[Station, Step] = {
    "resid_pre": read_heads,
    "z": write_heads,
    "resid_mid": read_mlp,
    "mlp_raw": write_mlp,
    "resid_post": leave,
}


def head_outputs(o_proj: Any, z: mx.array) -> mx.array:
    """z [B, L, H, D] -> o_proj applied to each head alone, [B, L, H, E]. Summed over H (plus any bias): attn_raw."""
    B, L, H, D = z.shape
    per_head = dense_weight(o_proj).reshape(-1, H, D).transpose(1, 2, 0)  # [H, D, E]
    out = z.transpose(2, 0, 1, 3).reshape(H, B * L, D) @ per_head
    return out.astype(z.dtype).reshape(H, B, L, -1).transpose(1, 2, 0, 3)
