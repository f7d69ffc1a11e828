"""The activations of an MLP's gate, by the names that `assay.models.config` gives them.

    >>> ACTIVATIONS["relu"](mx.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]

"gelu" has the exact normal distribution (by erf); "gelu_approx" has the hyperbolic tangent of Gemma (`gelu_pytorch_tanh`).
"""

from collections.abc import Callable
from typing import Literal

import mlx.core as mx
import mlx.nn as nn

Activation = Literal["silu", "gelu", "gelu_approx", "relu"]

ACTIVATIONS: dict[Activation, Callable[[mx.array], mx.array]] = {
    "silu": nn.silu,
    "gelu": nn.gelu,
    "gelu_approx": nn.gelu_approx,
    "relu": nn.relu,
}
