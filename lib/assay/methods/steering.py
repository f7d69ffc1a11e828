"""Steering: add a direction to the residual stream, with a strength relative to the norm of the stream.

    >>> direction = random_directions(lm, 1, seed=0)[0]
    >>> steered = steer_layers(lm, "The capital of France is", direction, strengths=(0.0, 1.0))
    >>> steered.kl.shape, steered.is_identity(0)                   # layers, strengths; strength 0 changes nothing
    ((8, 2), True)

Strength 1 adds a vector as long as the stream of that layer: the mean norm of resid_post over the prompt's positions, except
the first (its norm is an outlier in most models).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from assay.forward.edits import add
from assay.forward.exactness import agree
from assay.forward.lm import LM, PromptLike
from assay.forward.run import Run
from assay.forward.sweep import SWEEPABLE
from assay.methods.distributions import kl_divergence


@dataclass(frozen=True, eq=False)
class Steered:
    """Next-token logits without steering [V], and with it [layers, strengths, V], both float32."""

    base: np.ndarray
    logits: np.ndarray
    rounding: float = 0.0
    """Limit for the difference of equal logits on this machine (`lm.rounding`)."""

    @property
    def kl(self) -> np.ndarray:
        """KL(unsteered || steered) in nats, [layers, strengths]."""
        base = self.base - np.logaddexp.reduce(self.base)
        steered = self.logits - np.logaddexp.reduce(self.logits, axis=-1, keepdims=True)
        return np.maximum(kl_divergence(base, steered), 0.0)

    def is_identity(self, strength: int) -> bool:
        """Whether this strength (by index) changed the logits of no layer by more than `rounding`."""
        return all(agree(row, self.base, self.rounding) for row in self.logits[:, strength])


def stream_norms(run: Run, n_layers: int) -> list[float]:
    """Mean norm of resid_post over positions after the first, per layer, in float32. One prompt."""
    return [
        float(mx.linalg.norm(run["resid_post", i][0, 1:].astype(mx.float32), axis=-1).mean().item())  # type: ignore[arg-type]
        for i in range(n_layers)
    ]


def random_directions(lm: LM, n: int, seed: int) -> np.ndarray:
    """n unit vectors of the stream's width, uniform on the sphere: [n, E] float32."""
    drawn = np.random.default_rng(seed).standard_normal((n, lm.width)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def steer_layers(lm: LM, prompt: PromptLike, direction: np.ndarray, strengths: Sequence[float]) -> Steered:
    """Add `strength * norm of the stream * direction` after each layer in turn, at the last token; one sweep."""
    clean = lm.run(prompt, keep=SWEEPABLE)
    unit = mx.array(direction, mx.float32)
    norms = stream_norms(clean, lm.n_layers)
    variants = [
        add("resid_post", unit, scale=strength * norms[layer], layer=layer, position=-1)
        for layer in range(lm.n_layers)
        for strength in strengths
    ]
    sweep = lm.sweep(clean, variants, logits=True, progress=False)
    return Steered(np.array(clean.logits[0]), sweep.logits.reshape(lm.n_layers, len(strengths), -1), lm.rounding)
