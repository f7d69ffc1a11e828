"""The instrumented forward: one layer, cut at the places where the residual stream can be read, changed or entered.

    >>> x = family.embed(tokens)                                     # doctest: +SKIP
    >>> for i in range(family.n_layers):
    ...     x = layer(family, i, x, attend_self(family, masks), tap)
    >>> logits = family.unembed(family.final_norm(x))

`tap(site, layer, value)` is called at every site of `assay.forward.sites` and returns the value to go on with: the same
one, or an edited one. `tap.wants(site, layer)` says whether anyone looks at a site that costs something to make.

The operations and their order are those of mlx-lm's own modules and of mlx's unfused attention (scale the queries first,
softmax in float32), so on the CPU the result is bitwise the model's own, with any number of taps, in every dtype: where rows
are exact, and elsewhere inside `by_mlx()` (`assay.forward.by_numpy`).
"""

from collections.abc import Sequence
from typing import Any, Protocol

import mlx.core as mx
from mlx_lm.models.base import create_attention_mask

from assay.forward import by_numpy
from assay.forward.families import Llama
from assay.forward.lanes import by_head, by_token, token_axis
from assay.models.weights import dense_weight

Mask = mx.array | str | None


class Tap(Protocol):
    """What a forward shows its values to, and takes them back from."""

    def __call__(self, site: str, layer: int | None, value: mx.array) -> mx.array: ...
    def wants(self, site: str, layer: int | None) -> bool: ...


class NoTap:
    """Nobody looks."""

    def __call__(self, site: str, layer: int | None, value: mx.array) -> mx.array:
        return value

    def wants(self, site: str, layer: int | None) -> bool:
        return False


NO_TAP = NoTap()


class Attend(Protocol):
    """How one layer's new queries meet keys and values, old and new: plain, cached, or resumed from a clean run.

    q [B, H, L, D], k and v [B, K, L, D] before the rotary embedding -> z [B, H, L, D].
    """

    def __call__(self, i: int, q: mx.array, k: mx.array, v: mx.array, tap: Tap) -> mx.array: ...


def layer(family: Llama, i: int, x: mx.array, attend: Attend, tap: Tap) -> mx.array:
    """Layer `i`: the stream [B, L, E] that enters -> the stream that leaves."""
    x = tap("resid_pre", i, x)
    z = tap("z", i, heads(family, i, x, attend, tap))
    x = tap("resid_mid", i, write_attention(family, i, x, z, tap))
    m = tap("mlp_raw", i, mlp(family, i, x))
    return tap("resid_post", i, write_mlp(family, i, x, m, tap))


def heads(family: Llama, i: int, x: mx.array, attend: Attend, tap: Tap) -> mx.array:
    """The heads of layer `i` read the stream [B, L, E] -> z [B, L, H, D]."""
    block = family.layers[i]
    work = family.head_dim * (family.n_heads + 2 * family.n_kv_heads)
    q, k, v = by_token(lambda x: family.qkv(block.self_attn, block[family.norms.attn](x)), x, work, axis=2)
    q, k, v = tap("q", i, q), tap("k", i, k), tap("v", i, v)
    return attend(i, q, k, v, tap).transpose(0, 2, 1, 3)


def write_attention(family: Llama, i: int, x: mx.array, z: mx.array, tap: Tap) -> mx.array:
    """z [B, L, H, D] through o_proj and any post-norm onto the stream: resid_mid, before its tap."""
    block, post = family.layers[i], family.norms.attn_post
    if tap.wants("head_out", i):
        tap("head_out", i, head_outputs(block.self_attn.o_proj, z))
    z = z.reshape(*z.shape[:2], -1)
    out = tap("attn_raw", i, by_token(block.self_attn.o_proj, z, family.width))
    return family.add(x, tap("attn_out", i, block[post](out) if post else out))


def mlp(family: Llama, i: int, x: mx.array) -> mx.array:
    """The MLP module of layer `i` reads the stream: mlp_raw, before its tap."""
    block, norm, width = family.layers[i], family.layers[i][family.norms.mlp], family.mlp_width
    if not by_numpy.chosen(x.size // x.shape[-1] * width, x.dtype):
        return by_token(lambda x: block.mlp(norm(x)), x, 3 * width)
    return by_numpy.through(
        lambda x: (family.gate_up(block.mlp, norm(x)), ()),
        lambda gate, up: by_numpy.gated(family.activation, gate, up),
        block.mlp.down_proj,
        x,
        work=3 * width * x.size,
        axis=token_axis(x),
    )


def write_mlp(family: Llama, i: int, x: mx.array, m: mx.array, tap: Tap) -> mx.array:
    """mlp_raw through any post-norm onto the stream: resid_post, before its tap."""
    post = family.norms.mlp_post
    return family.add(x, tap("mlp_out", i, family.layers[i][post](m) if post else m))


def unembed(family: Llama, x: mx.array, tap: Tap) -> mx.array:
    """The last resid_post [B, L, E] -> logits [B, L, V]."""
    x = tap("final_norm", None, family.final_norm(x))
    return tap("logits", None, by_token(family.unembed, x, family.vocab))


def head_outputs(o_proj: Any, z: mx.array) -> mx.array:
    """z [B, L, H, D] -> what o_proj makes of each head alone, [B, L, H, E]. Summed over H (plus any bias): attn_raw."""
    B, L, H, D = z.shape
    per_head = dense_weight(o_proj).reshape(-1, H, D).transpose(1, 2, 0)  # [H, D, E]
    out = z.transpose(2, 0, 1, 3).reshape(H, B * L, D) @ per_head
    return out.astype(z.dtype).reshape(H, B, L, -1).transpose(1, 2, 0, 3)


class AttendSelf:
    """Attention over this call's own keys and, with mlx-lm caches, over those of earlier calls."""

    def __init__(self, family: Llama, x: mx.array, cache: Sequence[Any] | None = None):
        self.family = family
        self.cache = [None] * family.n_layers if cache is None else cache
        self.masks = masks(family, x, self.cache)

    def __call__(self, i: int, q: mx.array, k: mx.array, v: mx.array, tap: Tap) -> mx.array:
        attn, cache = self.family.layers[i].self_attn, self.cache[i]
        offset = 0 if cache is None else cache.offset  # read before update_and_fetch moves it
        q = tap("q_rot", i, attn.rope(q, offset=offset))
        k = tap("k_rot", i, attn.rope(k, offset=offset))
        if cache is not None:
            k, v = cache.update_and_fetch(k, v)
        return attention(self.family, i, q, k, v, self.masks[i], tap)


def masks(family: Llama, x: mx.array, cache: Sequence[Any]) -> list[Mask]:
    """One mask per layer, made once per window size by mlx-lm's own function, from the first cache of that kind."""
    made: dict[int | None, Mask] = {}
    for window, layer_cache in zip(family.windows, cache, strict=True):
        if window not in made:
            made[window] = create_attention_mask(x, layer_cache, window_size=window)
    return [made[window] for window in family.windows]


def attention(family: Llama, i: int, q: mx.array, k: mx.array, v: mx.array, mask: Mask, tap: Tap) -> mx.array:
    """q [B, H, L, D], k and v [B, K, S, D], rotated -> z [B, H, L, D].

    Fused when nobody looks inside, else step by step: on the CPU mlx's fallback does the same steps, so both give the same bits
    where rows are exact.
    """
    if tap.wants("scores", i) or tap.wants("pattern", i):
        return step_by_step(family, i, q, k, v, mask, tap)
    scale, work = family.layers[i].self_attn.scale, 2 * q.size * k.shape[2]
    if by_numpy.chosen(q.size // q.shape[-1] * k.shape[2], q.dtype):
        if q.shape[2] == 1 and work // (2 * q.shape[0] * k.shape[1]) <= by_numpy.MOST_ATTENDED:
            may_look = bool_mask(mask, 1, k.shape[2])
            seen = None if may_look is None else by_numpy.view(may_look)
            return by_numpy.through(
                lambda *qkv: (qkv, ()),
                lambda q, k, v: by_numpy.attend(q, k, v, scale, family.softcap, seen),
                lambda z: z,
                q, k, v, work=work, axis=1,
            )  # fmt: skip
        return by_numpy.through(
            lambda q, k, v: ((scores_of(family, i, q, k, mask),), (v,)),
            by_numpy.softmax,
            lambda pattern, v: weigh(pattern, v),
            q, k, v, work=work, axis=1,
        )  # fmt: skip

    def some_heads(q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        if family.softcap:
            return step_by_step(family, i, q, k, v, mask, NO_TAP)
        return mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask)

    return by_head(some_heads, q, k, v, work=work)


def step_by_step(family: Llama, i: int, q: mx.array, k: mx.array, v: mx.array, mask: Mask, tap: Tap) -> mx.array:
    """Attention in the steps of mlx's unfused one, with the softcap of families that have one."""
    scores = tap("scores", i, scores_of(family, i, q, k, mask))
    return weigh(tap("pattern", i, softmax(scores)), v)


def scores_of(family: Llama, i: int, q: mx.array, k: mx.array, mask: Mask) -> mx.array:
    """q [B, H, L, D], k [B, K, S, D] -> scores [B, H, L, S]."""
    B, H, L, D = q.shape
    K, S = k.shape[1:3]
    scores = (q * family.layers[i].self_attn.scale).reshape(B, K, H // K, L, D) @ k[:, :, None].swapaxes(-1, -2)
    return hide(softcap(family, scores), bool_mask(mask, L, S)).reshape(B, H, L, S)


def softmax(scores: mx.array) -> mx.array:
    """Scores -> pattern, over the last axis."""
    if by_numpy.chosen(scores.size, scores.dtype):
        return mx.array(by_numpy.softmax(by_numpy.view(scores)))
    return mx.softmax(scores, axis=-1, precise=True)


def weigh(pattern: mx.array, v: mx.array) -> mx.array:
    """pattern [B, H, L, S], v [B, K, S, D] -> z [B, H, L, D]."""
    B, H, L, S = pattern.shape
    K = v.shape[1]
    return (pattern.reshape(B, K, H // K, L, S) @ v[:, :, None]).reshape(B, H, L, v.shape[-1])


def softcap(family: Llama, scores: mx.array) -> mx.array:
    """tanh(scores / cap) * cap in families that have a cap."""
    return mx.tanh(scores / family.softcap) * family.softcap if family.softcap else scores


def bool_mask(mask: Mask, L: int, S: int) -> mx.array | None:
    """A mask that broadcasts against scores [B, K, H/K, L, S]; True where a query may look."""
    if isinstance(mask, str):  # "causal": the last query sees the last key
        return mx.arange(S - L, S)[:, None] >= mx.arange(S)[None]
    if mask is not None and mask.ndim == 4:  # [B, 1, L, S] of a batched cache
        return mask[:, :, None]
    return mask


def hide(scores: mx.array, mask: mx.array | None) -> mx.array:
    """Scores where `mask` is False become the dtype's minimum: weight 0, and no NaN in a row that sees nothing."""
    return scores if mask is None else mx.where(mask, scores, lowest(scores.dtype))


def lowest(dtype: mx.Dtype) -> mx.array:
    """The most negative finite number of `dtype`."""
    return mx.array(mx.finfo(dtype).min, dtype)
