"""Layout: weights stored column by column, so that the BLAS of MLX's Linux wheel takes its fast loop.

    >>> lay_out(lm.model)                        # same shapes, same values, same results: other strides

For `x @ weight.T` the reference BLAS has two loops. For a weight stored row by row it adds up the products of one result in
order, which compilers may not reorder and so cannot vectorise. For a weight stored column by column it adds multiples of
columns to a whole row of results. Both sum each result in the same order, bit for bit; the second loop is more than twice as
fast (5 instead of 2.3 GFLOP/s where this project's fixtures were measured).
"""

from typing import Any

import mlx.core as mx
import mlx.nn as nn

from assay import blas


def lay_out(model: nn.Module) -> None:
    """Store an mlx-lm model's dense matrices without bias column by column. Does nothing on a GPU or with a fast BLAS.

    Quantised matrices have a loop of their own. A bias would be added first by one loop and last by the other.
    """
    if mx.default_device() != mx.cpu or blas.in_use() != blas.REFERENCE:
        return
    modules: list[Any] = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Embedding)]
    for module in (m for m in modules if "bias" not in m):
        module.weight = mx.contiguous(module.weight.T).T
        mx.eval(module.weight)  # now, so that only one matrix at a time is in memory twice
