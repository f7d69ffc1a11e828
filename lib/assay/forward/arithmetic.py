"""Properties of matrix products on this machine, measured once: whether rows are exact, and whether float32 is.

    >>> machine().float32          # is a product of float32 numbers exact to float32?
    True

- **Rows are exact** when a row of a product is the same, bit for bit, alone and in a batch. This holds for the reference BLAS
  of MLX's Linux wheel. OpenBLAS, MKL and GPUs choose the order of their sums by the shape of the whole product.
- **Float32 products** keep all bits of their inputs; TF32 loses 13 of 23 (`assay.before_mlx`).

Where rows are exact, assay requires equal bits in every comparison and uses mlx-lm's operations. Elsewhere it compares to a
measured limit (`assay.forward.exactness`) and may use faster operations (`assay.forward.by_numpy`).
"""

from dataclasses import dataclass
from functools import cache

import mlx.core as mx
import numpy as np

from assay import blas


@dataclass(frozen=True)
class Machine:
    """Properties of matrix products on the default device, with the BLAS in use."""

    rows: bool
    """A row alone equals the row in a batch, bit for bit."""
    float32: bool
    """A product of float32 numbers keeps all their bits."""


def machine() -> Machine:
    """This machine, measured once for each device and BLAS."""
    return _measure(str(mx.default_device()), blas.in_use())


@cache
def _measure(device: str, library: blas.Blas | None) -> Machine:
    return Machine(rows_hold(), products_are_float32())


def rows_hold() -> bool:
    """Whether a row alone equals the same row in a batch, for matrices of three sizes and batches of up to 65 rows."""
    draw = np.random.default_rng(0)
    for width, out in ((64, 96), (576, 192), (513, 257)):
        x = mx.array(draw.standard_normal((65, width)), mx.float32)
        w = mx.array(draw.standard_normal((out, width)), mx.float32).T
        alone = mx.concatenate([x[[i]] @ w for i in range(9)])
        if not all(mx.array_equal((x[:n] @ w)[:9], alone[:n]).item() for n in (2, 3, 8, 9, 33, 65)):
            return False
    return True


def products_are_float32() -> bool:
    """Whether a product keeps the 14th bit of the fraction; TF32 has 10 such bits, bfloat16 7."""
    n = 256
    fine = mx.eye(n) * (1 + 2.0**-14)
    return bool(mx.array_equal(fine @ mx.eye(n), fine).item())


def lowest(dtype: mx.Dtype) -> mx.array:
    """The most negative finite number of `dtype`."""
    return mx.array(mx.finfo(dtype).min, dtype)
