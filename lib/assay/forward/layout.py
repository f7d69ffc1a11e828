"""Layout: weights stored column by column, so that the BLAS of MLX's Linux wheel takes its fast loop.

    >>> lay_out(lm.model)                        # same shapes, same values, same results: other strides

`x @ weight.T` makes the reference BLAS choose between two loops. For a weight stored row by row it sums one product after
the other into one number, which no compiler may reorder and so none can vectorise. For a weight stored column by column
it adds multiples of columns to a whole row of results. Each number is the same sum in the same order, bit for bit, and
the second loop is more than twice as fast (2.3 to 5 GFLOP/s where the fixtures of this project were measured).
"""

from typing import Any

import mlx.core as mx
import mlx.nn as nn

from assay import blas


def lay_out(model: nn.Module) -> None:
    """Store the dense matrices of an mlx-lm model column by column, one after the other; nothing on a GPU or with a fast BLAS.

    Quantised matrices have a loop of their own. Where there is a bias, the two loops add it at different ends of the sum.
    """
    if mx.default_device() != mx.cpu or blas.in_use() != blas.REFERENCE:
        return
    modules: list[Any] = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Embedding)]
    for module in (m for m in modules if "bias" not in m):
        module.weight = mx.contiguous(module.weight.T).T
        mx.eval(module.weight)  # one matrix is held twice at a time
