"""Attention: queries of this call against keys and values of this call and, with a cache, of earlier ones.

    >>> x = lm.family.embed(mx.array([[5, 6, 7]]))
    >>> q, k, v = lm.family.qkv(0, lm.family.attention_reads(0, x))
    >>> AttendSelf(lm.family, x)(0, q, k, v, NO_TAP).shape
    (1, 8, 3, 16)

The operations and their order are those of MLX's unfused attention (scale the queries first, softmax in float32), so keeping
scores or pattern changes no bit where rows are exact.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import mlx.core as mx
from mlx_lm.models.base import create_attention_mask

from assay.forward import by_numpy
from assay.forward.arithmetic import lowest
from assay.forward.families.base import Family
from assay.forward.lanes import by_head
from assay.forward.taps import NO_TAP, Tap

Mask = mx.array | str | None


class Attend(Protocol):
    """Attention of layer i: q [B, H, L, D], k and v [B, K, L, D], before the rotary embedding -> z [B, H, L, D].

    The new queries see the new keys, and earlier ones: those of a KV cache, or of the clean run that a sweep resumes.
    """

    def __call__(self, i: int, q: mx.array, k: mx.array, v: mx.array, tap: Tap) -> mx.array: ...


class AttendSelf:
    """Attention over this call's own keys and, with mlx-lm caches, over those of earlier calls."""

    def __init__(self, family: Family, x: mx.array, cache: Sequence[Any] | None = None):
        self.family = family
        self.cache = [None] * family.n_layers if cache is None else cache
        self.masks = masks(family, x, self.cache)

    def __call__(self, i: int, q: mx.array, k: mx.array, v: mx.array, tap: Tap) -> mx.array:
        family, cache = self.family, self.cache[i]
        offset = 0 if cache is None else cache.offset  # update_and_fetch changes it
        q, k = tap("q_rot", i, family.rotate(i, q, offset)), tap("k_rot", i, family.rotate(i, k, offset))
        if cache is not None:
            k, v = cache.update_and_fetch(k, v)
        return attention(family, i, q, k, v, self.masks[i], tap)


def masks(family: Family, x: mx.array, cache: Sequence[Any]) -> list[Mask]:
    """One mask per layer, made by mlx-lm's own function once for each window size, from the first cache with that window."""
    made: dict[int | None, Mask] = {}
    for window, layer_cache in zip(family.windows, cache, strict=True):
        if window not in made:
            keys = x.shape[1] + (0 if layer_cache is None else layer_cache.size())
            bites = window is not None and keys > window
            made[window] = create_attention_mask(x, layer_cache, window_size=window if bites else None)
    return [made[window] for window in family.windows]


def attention(family: Family, i: int, q: mx.array, k: mx.array, v: mx.array, mask: Mask, tap: Tap) -> mx.array:
    """q [B, H, L, D], k and v [B, K, S, D], rotated -> z [B, H, L, D].

    Fused unless the tap wants scores or pattern; then step by step. On the CPU MLX's fallback does the same steps, so both give
    the same bits where rows are exact.
    """
    if tap.wants("scores", i) or tap.wants("pattern", i):
        return step_by_step(family, i, q, k, v, mask, tap)
    scale, work = family.query_scale(i), 2 * q.size * k.shape[2]
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


def step_by_step(family: Family, i: int, q: mx.array, k: mx.array, v: mx.array, mask: Mask, tap: Tap) -> mx.array:
    """The steps of MLX's unfused attention, with the softcap of families that have one."""
    scores = tap("scores", i, scores_of(family, i, q, k, mask))
    return weigh(tap("pattern", i, softmax(scores)), v)


def scores_of(family: Family, i: int, q: mx.array, k: mx.array, mask: Mask) -> mx.array:
    """q [B, H, L, D], k [B, K, S, D] -> scores [B, H, L, S]."""
    B, H, L, D = q.shape
    K, S = k.shape[1:3]
    scores = (q * family.query_scale(i)).reshape(B, K, H // K, L, D) @ k[:, :, None].swapaxes(-1, -2)
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


def softcap(family: Family, scores: mx.array) -> mx.array:
    """tanh(scores / cap) * cap in families that have a cap."""
    return mx.tanh(scores / family.softcap) * family.softcap if family.softcap else scores


def bool_mask(mask: Mask, L: int, S: int) -> mx.array | None:
    """A mask that broadcasts against scores [B, K, H/K, L, S]; True where a query sees a key."""
    if isinstance(mask, str):  # "causal": the last query sees the last key
        return mx.arange(S - L, S)[:, None] >= mx.arange(S)[None]
    if mask is not None and mask.ndim == 4:  # [B, 1, L, S] of a batched cache
        return mask[:, :, None]
    return mask


def hide(scores: mx.array, mask: mx.array | None) -> mx.array:
    """Scores where `mask` is False become the dtype's minimum: weight 0, and no NaN for a query that sees no key."""
    return scores if mask is None else mx.where(mask, scores, lowest(scores.dtype))
