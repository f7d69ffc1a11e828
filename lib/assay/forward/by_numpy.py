"""Operations that NumPy does in place of MLX's CPU backend: NumPy uses vector instructions, MLX on Linux does not.

    >>> with by_mlx():                                 # MLX's own operations, bit for bit
    ...     logits = lm.run("The capital of France is").logits

Two kinds of operations:

- **Exponentials** (SiLU, GELU, softmax, log-sum-exp). An exponential takes MLX 12 to 30 ns and NumPy 1 to 3; in a small model
  MLX spends as long on them as on matrix products. The results differ in the last bits (NumPy is off by at most 3 units in the
  last place, MLX by 14), so NumPy computes them only where bits depend on the batch anyway (`assay.forward.arithmetic`), and
  never with ASSAY_BLAS=reference.
- **Searches** (the largest number of a row, whether all numbers are finite). Both libraries give the same result.

NumPy needs values, so these functions evaluate MLX's graph up to their input. Gradients use MLX's operations.
"""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

import mlx.core as mx
import numpy as np

from assay.forward import lanes
from assay.forward.activations import Activation
from assay.forward.arithmetic import machine

GATED = ("silu", "gelu_approx")
"""The activations that `gated` knows."""

LEAST = 2**12
"""Fewest exponentials for which NumPy pays off: a call costs some 30 microseconds. Several lanes have to wait for each other
at a call, so with them the threshold is 64 times as high."""
MOST_ATTENDED = 2**17
"""Most multiplications of queries with keys, per key head, that NumPy does; at twice as many its BLAS uses more cores."""
LEAST_THREAD = 2**17
"""Fewest numbers in a lane for which a thread pays off."""

_least: ContextVar[float | None] = ContextVar("exponentials that go to NumPy", default=None)


@contextmanager
def _from(least: float) -> Iterator[None]:
    token = _least.set(least)
    try:
        yield
    finally:
        _least.reset(token)


def by_mlx() -> AbstractContextManager[None]:
    """MLX's exponentials inside a `with` block: for gradients, and to compare with mlx-lm bit for bit."""
    return _from(math.inf)


def at_any_size() -> AbstractContextManager[None]:
    """NumPy computes all exponentials inside a `with` block, however few: to measure what that changes."""
    return _from(0)


def chosen(numbers: int, dtype: mx.Dtype) -> bool:
    """Whether NumPy computes this many exponentials of this dtype."""
    if dtype != mx.float32 or not _on_cpu() or machine().rows:
        return False
    least = _least.get()
    return numbers >= (LEAST * (64 if lanes.count() > 1 else 1) if least is None else least)


def _on_cpu() -> bool:
    return sys.platform == "linux" and mx.default_device() == mx.cpu


def view(x: mx.array) -> np.ndarray:
    """An evaluated array on the CPU as NumPy sees it, without a copy."""
    return np.array(x, copy=False)


def through(
    first: Callable[..., Any],
    middle: Callable[..., np.ndarray],
    last: Callable[..., mx.array],
    *arrays: mx.array,
    work: int,
    axis: int,
) -> mx.array:
    """last(middle(first(*arrays))), cut into lanes along `axis`, with NumPy in the middle.

    first: arrays -> (inputs of `middle`, further arrays for `last`). work: total number of multiplications.
    """
    begun = lanes.each(first, lanes.cut(arrays, axis, work))
    mx.eval(begun)
    views = [tuple(view(each) for each in inputs) for inputs, _ in begun]
    if len(views) > 1 and views[0][0].size >= LEAST_THREAD:
        made = list(lanes.threads(len(views)).map(lambda inputs: middle(*inputs), views))
    else:
        made = [middle(*inputs) for inputs in views]
    ends = [(mx.array(value), *more) for value, (_, more) in zip(made, begun, strict=True)]
    return lanes.join(lanes.each(last, ends), axis)


# --- exponentials, NumPy arrays -> NumPy arrays --------------------------------------------------------------


def gated(activation: Activation, gate: np.ndarray, up: np.ndarray) -> np.ndarray:
    """activation(gate) * up. Both are x / (1 + exp(-y)): SiLU with y = x, GELU with y = 2 sqrt(2 / pi) (x + 0.044715 x^3)."""
    with np.errstate(over="ignore", invalid="ignore"):
        if activation == "silu":
            out = np.negative(gate)
        else:
            out = np.square(gate)
            out *= -2 * GELU * 0.044715
            out -= 2 * GELU
            out *= gate
        np.exp(out, out=out)
        out += 1
        np.divide(gate, out, out=out)
        out *= up
    return out


GELU = float(np.sqrt(2 / np.pi))


def softmax(scores: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    with np.errstate(over="ignore", invalid="ignore"):
        out = scores - scores.max(axis=-1, keepdims=True)
        np.exp(out, out=out)
        out /= out.sum(axis=-1, keepdims=True)
    return out


def attend(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, scale: float, softcap: float | None, mask: np.ndarray | None
) -> np.ndarray:
    """Attention of one query per row: q [B, H, 1, D], k and v [B, K, S, D] -> z [B, H, 1, D]. mask: True for visible keys."""
    (B, H, _, D), K = q.shape, k.shape[1]
    with np.errstate(over="ignore", invalid="ignore"):
        scores = (q.reshape(B, K, H // K, D) * np.float32(scale)) @ k.swapaxes(-1, -2)
        if softcap:
            scores = np.tanh(scores / np.float32(softcap)) * np.float32(softcap)
        if mask is not None:
            scores = np.where(mask.reshape(-1, 1, 1, mask.shape[-1]), scores, np.finfo(np.float32).min)
        return (softmax(scores) @ v).reshape(B, H, 1, v.shape[-1])


def logsumexp(logits: mx.array) -> mx.array:
    """Log-sum-exp over the last axis, [.., V] -> [.., 1], by NumPy where `chosen` says so, else by MLX."""
    if not chosen(logits.size, logits.dtype):
        return mx.logsumexp(logits, axis=-1, keepdims=True)
    values = view(logits)
    rows = values.reshape(-1, values.shape[-1])
    total = np.empty((len(rows), 1), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for i, row in enumerate(rows):  # a row fits in the cache
            top = row.max()
            total[i] = np.log(np.exp(row - top).sum()) + top
    return mx.array(total.reshape(*values.shape[:-1], 1))


# --- searches: both libraries give the same ------------------------------------------------------------------


def argmax(logits: mx.array) -> Any:
    """Index of the largest number of each row (the first of equals), [B, V] -> [B], an array of NumPy or MLX."""
    return view(logits).argmax(axis=-1).astype(np.uint32) if _searchable(logits) else mx.argmax(logits, axis=-1)


def all_finite(x: mx.array) -> bool:
    """Whether `x` has neither NaN nor infinity."""
    if not _searchable(x):
        return bool(mx.isfinite(x).all().item())
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(view(x).sum()) or np.isfinite(view(x)).all())  # a sum of finite numbers may overflow


def _searchable(x: mx.array) -> bool:
    return x.dtype == mx.float32 and _on_cpu()
