"""Gradients of a function of the logits with respect to activations, all from one backward pass.

    >>> run, grads = lm.gradients("The capital of France is", target=" Paris", sites=["resid_post", "z"])
    >>> grads["z", 3].shape
    (1, 6, 8, 16)

An array of zeros is added at every site, and the gradient is taken with respect to that array; the forward pass is unchanged.
Quantised weights work too. `grads[key] * (other - run[key])`, summed, is the first-order estimate of a patch (attribution
patching).
"""

from collections.abc import Callable, Sequence

import mlx.core as mx

from assay.errors import EditError, shown
from assay.forward import lanes
from assay.forward.by_numpy import by_mlx
from assay.forward.core import Core, Edits, Keep, Prompts, pad
from assay.forward.families.base import Family
from assay.forward.layers import forward, unembed
from assay.forward.run import Run
from assay.forward.sites import Key, expand
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
    lm: Core, prompts: Prompts, *, sites: Keep, target: str | int | Metric, edits: Edits = ()
) -> tuple[Run, dict[Key, mx.array]]:
    """(run, gradient by key) of `target`: an answer's log-probability summed over prompts, or a function of logits [B, V].

    An answer is a token id, or a text of which the first token counts, as it follows each prompt (`lm.token`). The function
    gets the float32 logits at the last token of each prompt and returns one number. Raises what `lm.run` and `lm.token` raise,
    and EditError for the site head_out (it is not on the path to the logits: use "z").
    """
    batch = lm.batch(prompts)
    keys = expand(sites, lm.n_layers)
    placed = lm.place(edits, batch, generates=False)
    metric = target if callable(target) else _log_probability([lm.token(target, after=prompt) for prompt in batch])
    last = mx.array([len(p) - 1 for p in batch])
    tokens = pad([p.tokens for p in batch])
    logits, kept, grads = differentiate(lm.family, tokens, last, placed, keys, metric, lm.dtype)
    lm.check_finite(logits)
    return Run(tuple(batch), logits, kept, edited=any(placed)), grads


def _log_probability(tokens: Sequence[int]) -> Metric:
    """The log-probability of each prompt's token, summed."""
    chosen = mx.array(list(tokens))[:, None]
    return lambda logits: (mx.take_along_axis(logits, chosen, axis=-1)[:, 0] - mx.logsumexp(logits, axis=-1)).sum()


def differentiate(
    family: Family,
    tokens: mx.array,
    last: mx.array,
    rows: Sequence[Sequence],
    keys: Sequence[Key],
    metric: Metric,
    dtype: mx.Dtype | None,
) -> tuple[mx.array, dict[Key, mx.array], dict[Key, mx.array]]:
    """(last-position logits [B, V], activations by key, gradients by key), the latter two in the axes of their sites."""
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
        value = metric(logits)
        if not isinstance(value, mx.array) or value.size != 1:
            raise EditError(
                f"a target is a function from logits [B, V] to one number of MLX, this one gave {shown(value)}"
            )
        return value.reshape(()), logits

    zeros = {str(key): mx.zeros(plain.kept[key].shape, mx.float32) for key in keys}
    with lanes.use(1), by_mlx():  # a gradient is a sum over paths, in an order that lanes change
        (_, logits), grads = mx.value_and_grad(value_of)(zeros)
    kept = {key: mx.contiguous(plain.kept[key]) for key in keys}
    by_key = {key: grads[str(key)] for key in keys}
    mx.eval(logits, kept, by_key)
    return logits, kept, by_key
