"""How closely two computations of the same logits must agree on this machine: bit for bit, or to a measured limit.

    >>> one, two = lm.run("The capital of France is"), lm.run(["The capital of France is", "The capital of Italy is"])
    >>> agree(one.logits, two.logits[:1], limit=lm.rounding)     # bit for bit where rows are exact, else to a measured limit
    True

A **row** of a product is one token's result. The reference BLAS of MLX's Linux wheel sums it in one order, whatever else is in
the batch: rows are exact. OpenBLAS, MKL and GPUs choose the order by the shape of the whole product, so the same token read
alone, in a batch, with a cache or in two lanes differs in its last bits. **Rounding** is the limit for the difference that this
makes to a model's logits, relative to the largest: 0 where rows are exact; elsewhere `SLACK` times the difference measured when
the model reads one prompt alone, in a batch and in parts.
"""

from typing import Any

import mlx.core as mx

from assay.forward.arithmetic import machine
from assay.forward.by_numpy import by_mlx
from assay.forward.families.base import Family
from assay.forward.layers import forward, unembed
from assay.forward.taps import NO_TAP

LENGTH = 9  # tokens of the prompt that is read in several ways
SLACK = 16
"""The limit over the measured difference: an edited run rounds about as often as those compared here, not 16 times as often."""

LEAST = {mx.float32: 2.0**-18, mx.float16: 2.0**-6, mx.bfloat16: 2.0**-4}
"""No limit is below this: 32 units in the last place of a float32 (4e-6), 16 and 8 of a half precision."""


def difference(a: Any, b: Any) -> float:
    """The largest difference of two arrays, relative to the largest value in either; NaN where one has NaN."""
    a, b = mx.array(a).astype(mx.float32), mx.array(b).astype(mx.float32)
    top = mx.maximum(mx.maximum(mx.abs(a).max(), mx.abs(b).max()), 1e-12)
    return (mx.abs(a - b).max() / top).item()  # type: ignore[return-value]


def agree(a: Any, b: Any, limit: float | None = None) -> bool:
    """Whether two arrays are equal: bit for bit where rows are exact (or `limit` is 0), else to `limit` of the largest value.

    limit: `lm.rounding`, or None for the smallest limit of the arrays' dtype (`LEAST`).
    """
    a, b = mx.array(a), mx.array(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if limit is None:
        limit = 0.0 if machine().rows else LEAST[a.dtype]
    return bool((a == b).all().item()) if limit == 0 else difference(a, b) <= limit


def rounding(family: Family, dtype: mx.Dtype | None) -> float:
    """The limit for two computations of the same logits of this model, relative to the largest; 0: bit for bit."""
    if machine().rows:
        return 0.0
    tokens = mx.array([probe_tokens(family)])
    pair = mx.concatenate([tokens, tokens[:, ::-1]])
    whole, pair = _read(family, tokens, dtype), _read(family, pair, dtype)
    first, half = _read(family, tokens[:, :1], dtype), _read(family, tokens[:, : LENGTH // 2], dtype)
    states = mx.concatenate([whole, pair[:1], first, half], axis=1)  # [1, positions, E]: one unembedding for all
    logits = unembed(family, states, NO_TAP)[0]
    one, two, rest = mx.split(logits, [LENGTH, 2 * LENGTH])
    apart = max(difference(one, two), difference(one[:1], rest[:1]), difference(one[: LENGTH // 2], rest[1:]))
    return max(SLACK * apart, LEAST[logits.dtype])


def probe_tokens(family: Family) -> list[int]:
    """Token ids of the prompt that `rounding` and the doctor run."""
    return [7 + 13 * i % max(1, family.vocab - 8) for i in range(LENGTH)]


def _read(family: Family, tokens: mx.array, dtype: mx.Dtype | None) -> mx.array:
    """The last resid_post [B, L, E] by mlx-lm's operations alone, so that an error in `by_numpy` can't raise the limit."""
    with by_mlx():
        return forward(family, tokens, None, NO_TAP, dtype)
