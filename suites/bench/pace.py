"""Estimates a model's speed on this machine, so that a benchmark takes minutes for any size of model.

    pace = Pace.of(lm)                       # two tokens through the plain model
    length = pace.length(128, forwards=8)    # 128; or skips, if that would take too long

The estimate decides only the numbers of tokens, variants and rounds, which the table shows.
"""

import math
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from assay.timing import seconds

LIMIT = 20.0
"""Seconds that one benchmark may take, by its estimate."""
LENGTHS = (32, 128, 512)
SHORT = (16, 8, 4, 2)  # used where even the first of LENGTHS takes too long

REFERENCE = {
    "model_type": "llama", "hidden_size": 512, "num_hidden_layers": 16, "intermediate_size": 1408,
    "num_attention_heads": 8, "num_key_value_heads": 4, "rms_norm_eps": 1e-6, "vocab_size": 8192,
}  # fmt: skip
"""The config of the reference shape: a dense Llama of 16 layers and width 512."""


@dataclass(frozen=True)
class Pace:
    """Estimates for one model, from a plain forward: seconds per token, and per layer-position."""

    per_token: float
    n_layers: int

    @classmethod
    def of(cls, lm):
        import mlx.core as mx

        tokens = mx.array([[5, 6]])
        mx.eval(lm.model(tokens[:, :1]))
        return cls(seconds(lambda: mx.eval(lm.model(tokens))) / 2, lm.n_layers)

    @property
    def per_layer_position(self):
        return self.per_token / self.n_layers

    def length(self, wanted, forwards):
        """Tokens for a benchmark of about `forwards` forwards. Skips if a shorter one of LENGTHS is measured anyway."""
        fits = [n for n in (wanted, *LENGTHS, *SHORT) if n <= wanted and n * self.per_token * forwards < LIMIT]
        longest = max(fits, default=SHORT[-1])
        if longest != wanted and wanted != LENGTHS[0]:
            took = wanted * self.per_token
            pytest.skip(f"a forward of {wanted} tokens would take {took:.0f} s here")
        return longest

    def parts(self, layer_positions):
        """The number of parts in which to cut `layer_positions`, so that each takes less than `LIMIT` seconds."""
        return max(1, math.ceil(layer_positions * self.per_layer_position / LIMIT))

    def require(self, layer_positions, what):
        """Skips the benchmark `what` if computing `layer_positions` takes more than `LIMIT` seconds."""
        if self.parts(layer_positions) > 1:
            pytest.skip(f"{what} would take {layer_positions * self.per_layer_position:.0f} s here")

    def rounds(self, one, most):
        """Rounds of a benchmark whose round takes `one` seconds: 1 to `most`."""
        return max(1, min(most, int(LIMIT / max(one, 1e-9))))


@contextmanager
def in_float32(model):
    """A context in which the plain model computes in float32, as assay does.

    Scales, norms and dense matrices are widened; on a CPU, 4-bit matrices times half precision would be ten times slower.
    """
    import mlx.core as mx

    before = model.parameters()
    model.set_dtype(mx.float32)
    mx.eval(model.parameters())
    try:
        yield
    finally:
        model.update(before)
