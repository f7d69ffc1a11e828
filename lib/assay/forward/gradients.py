"""Gradients of a number at the model's output with respect to activations, all from one backward pass.

    >>> run, grads = lm.gradients(prompt, target=" Austin", sites=["resid_post", "z"])     # doctest: +SKIP
    >>> grads["z", 3].shape                                                                # doctest: +SKIP
    (1, 10, 8, 16)

A zero is added at every site asked for, and the gradient with respect to that zero is taken; the forward stays as it is.
Works through quantised weights. `grads[key] * (other - run[key])`, summed, is the first-order estimate of a patch
(attribution patching).
"""

from collections.abc import Callable, Sequence

import mlx.core as mx

from assay.errors import EditError
from assay.forward import lanes
from assay.forward.by_numpy import by_mlx
from assay.forward.families import Llama
from assay.forward.generate import forward
from assay.forward.layers import unembed
from assay.forward.sites import Key
from assay.forward.taps import Taps

Metric = Callable[[mx.array], mx.array]


class _Probes(Taps):
    """Taps that also add a probe (an array of zeros) at some keys."""

    def __init__(self, rows: Sequence[Sequence], probes: dict[Key, mx.array]):
        super().__init__(rows)
        self.probes = probes

    def wants(self, site: str, layer: int | None) -> bool:
        return (site, layer) in self.probes or super().wants(site, layer)

    def __call__(self, site: str, layer: int | None, value: mx.array) -> mx.array:
        value = super().__call__(site, layer, value)
        probe = self.probes.get((site, layer))
        return value if probe is None else value + probe.astype(value.dtype)


def gradients(
    family: Llama,
    tokens: mx.array,
    last: mx.array,
    rows: Sequence[Sequence],
    keys: Sequence[Key],
    metric: Metric,
    dtype: mx.Dtype | None,
) -> tuple[mx.array, dict[Key, mx.array], dict[Key, mx.array]]:
    """(last-position logits [B, V], activations, gradients), the last two by key and in the axes of their sites.

    `metric` takes last-position logits [B, V] (float32) and returns a scalar. head_out has no gradient of its own.
    """
    if unusable := [site for site, _ in keys if site == "head_out"]:
        raise EditError(f"{unusable[0]} is derived on the side and has no gradient; ask for 'z'")
    if not keys:
        raise EditError("no site was named: gradients are taken with respect to sites")
    plain = Taps(rows, keep=keys)
    with by_mlx():
        unembed(family, forward(family, tokens, None, plain, dtype), plain)

    def value_of(probes: dict[str, mx.array]) -> tuple[mx.array, mx.array]:
        tap = _Probes(rows, {key: probes[str(key)] for key in keys})
        logits = unembed(family, forward(family, tokens, None, tap, dtype), tap)
        logits = logits[mx.arange(logits.shape[0]), last].astype(mx.float32)
        return metric(logits), logits

    zeros = {str(key): mx.zeros(plain.kept[key].shape, mx.float32) for key in keys}
    with lanes.use(1), by_mlx():  # a gradient is a sum over paths, in an order that lanes change
        (_, logits), grads = mx.value_and_grad(value_of)(zeros)
    kept = {key: mx.contiguous(plain.kept[key]) for key in keys}
    by_key = {key: grads[str(key)] for key in keys}
    mx.eval(logits, kept, by_key)
    return logits, kept, by_key
