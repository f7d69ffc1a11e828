"""The form of weights in memory: float32 on a CPU if they fit, else the stored form.

    >>> quantised = nn.QuantizedLinear(64, 8, bias=False)
    >>> dense_weight(quantised).dtype, float32_bytes(quantised)
    (mlx.core.float32, 2048)

A CPU multiplies float32 matrices with its BLAS, and half-precision and 4-bit ones with loops of MLX that reach 2 to 4
GFLOP/s with any BLAS. A GPU reads small weights faster. Nothing is rounded: every half-precision and every dequantised
number is a float32, and Gemma's norms, which mlx-lm computes as 1 + weight in the dtype of the weight, are then those of the
publisher, who computes them in float32.
"""

from typing import Any, Literal

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from assay.errors import AssayError, BudgetError
from assay.machine import memory_bytes, workers

Weights = Literal["auto", "float32", "stored"]
CHOICES = ("auto", "float32", "stored")

SHARE = 0.5
"""Float32 weights may take this share of the machine's memory, all workers of pytest-xdist together; activations and caches
take the rest."""

HALF = (mx.bfloat16, mx.float16)


def choose(asked: str, needed: int) -> Literal["float32", "stored"]:
    """The form that the weights shall have in memory. needed: their bytes in float32.

    Raises AssayError for an unknown form, and BudgetError if float32 was asked for and does not fit.
    """
    if asked not in CHOICES:
        raise AssayError(f"weights is {', '.join(CHOICES)}, got {asked!r}")
    memory = memory_bytes() / workers()
    if asked == "float32" and needed > memory:
        raise BudgetError(
            f"these weights take {needed / 2**30:.1f} GiB in float32, and there are {memory / 2**30:.1f} for each of"
            f" {workers()} processes: use weights='stored'"
        )
    if asked != "auto":
        return asked  # type: ignore[return-value]
    return "float32" if mx.default_device() == mx.cpu and needed <= SHARE * memory else "stored"


def float32_bytes(model: nn.Module) -> int:
    """Bytes of all weights in float32."""
    parts: list[Any] = [m for m in model.modules() if is_quantised(m)]
    packed = sum(m.weight.size * 32 // m.bits + (m["bias"].size if "bias" in m else 0) for m in parts)
    inside = {id(p) for m in parts for _, p in tree_flatten(m.parameters())}
    return 4 * (packed + sum(p.size for _, p in _parameters(model) if id(p) not in inside))


def is_quantised(module: Any) -> bool:
    """Is this a quantised linear layer or embedding?"""
    return isinstance(module, nn.QuantizedLinear | nn.QuantizedEmbedding)


def widen(model: nn.Module) -> None:
    """Make every weight float32 in place, one matrix after the other."""
    for name in [name for name, module in model.named_modules() if is_quantised(module)]:
        _put(model, name, _dense(_at(model, name)))
    for path in [path for path, p in _parameters(model) if p.dtype in HALF]:
        wide = _at(model, path).astype(mx.float32)
        mx.eval(wide)
        _put(model, path, wide)


def dense_weight(linear: Any, rows: int | None = None) -> mx.array:
    """The weight of a dense or quantised linear (or embedding) layer as one matrix [out, in]; float32 if quantised.

    rows: how many of the first rows to return; None for all. Scales are widened before dequantising, since in bfloat16 that
    would round weights that mlx's quantised product does not round.
    """
    if not is_quantised(linear):
        return linear.weight[:rows]
    scales, biases = linear.scales[:rows], linear.get("biases")
    if biases is not None:  # affine; the other modes have scales of 8 bits
        scales, biases = scales.astype(mx.float32), biases[:rows].astype(mx.float32)
    return mx.dequantize(
        linear.weight[:rows], scales, biases, linear.group_size, linear.bits, mode=linear.mode, dtype=mx.float32
    )


def _dense(module: Any) -> nn.Module:
    """A quantised layer as a dense one."""
    weight = dense_weight(module)
    mx.eval(weight)
    if isinstance(module, nn.QuantizedEmbedding):
        dense: Any = nn.Embedding(1, 1)
    else:
        dense = nn.Linear(1, 1, bias="bias" in module)
        if "bias" in module:
            dense.bias = module.bias
    dense.weight = weight
    dense.eval()
    return dense


def _parameters(model: nn.Module) -> list[tuple[str, mx.array]]:
    return tree_flatten(model.parameters())  # type: ignore[return-value]


def _at(place: Any, path: str) -> Any:
    """The module or parameter at a dotted path."""
    for name in path.split("."):
        place = place[int(name)] if isinstance(place, list) else place[name]
    return place


def _put(model: nn.Module, path: str, value: Any) -> None:
    """Replace the module or parameter at a dotted path."""
    folder, _, last = path.rpartition(".")
    place = _at(model, folder) if folder else model
    place[int(last) if isinstance(place, list) else last] = value
