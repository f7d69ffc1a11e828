"""Memory: how many bytes a sweep will take, estimated from shapes before anything runs.

    >>> sizes = Sizes(lm.family, n_tokens=64, n_targets=2)
    >>> sizes.clean_bytes() + sizes.shared_bytes() + 30 * sizes.row_bytes(front=63) > 2**20
    True

The estimate counts the arrays that are alive at the same time. MLX prepares about ten operations ahead and allocates their
results, so more arrays are alive than the formulas of a layer have. The counts are rounded up from measurements;
`tests/forward/test_memory.py` compares them with measured peaks.
"""

import math
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from assay.forward import lanes
from assay.forward.families.base import Family
from assay.forward.sites import Key, axes

AHEAD = 10  # operations that MLX prepares ahead


@dataclass(frozen=True)
class Sizes:
    """The sizes that decide how many bytes a sweep takes. All counts are of float32 numbers, 4 bytes each."""

    family: Family
    n_tokens: int
    """S, tokens of the prompt."""
    max_tokens: int = 0
    """Tokens that each variant is continued for."""
    n_targets: int = 0
    """Tokens whose log-probabilities and ranks are wanted."""
    logits: bool = False
    """Whether all logits of the last position are wanted."""
    keep: tuple[Key, ...] = ()
    """Sites kept of every variant."""
    at: tuple[int, ...] = ()
    """Positions where they are kept."""
    float32: bool = True
    """Whether activations are float32, whatever the weights are."""

    def clean_bytes(self) -> int:
        """Bytes of the clean run: the activations that a sweep needs or keeps, and one layer's temporary arrays."""
        f, S = self.family, self.n_tokens
        held = f.n_layers * (2 * f.n_kv_heads * f.head_dim + f.n_heads * f.head_dim + 3 * f.width) + f.width
        return 4 * (S * (held + self.kept_values()) + self.working(S) + self.head(0))

    def row_bytes(self, front: int) -> int:
        """Bytes of one variant whose first edited position is `front`."""
        f, S, m = self.family, self.n_tokens, self.n_tokens - front
        caches = 2 * (f.n_layers + 2) * f.n_kv_heads * f.head_dim * (S + self.max_tokens) if self.max_tokens else 0
        kept = 3 * self.kept_values() * len(self.at)  # the row's values, the clean run's, and the merged array
        return 4 * (max(self.working(m), self.head(front)) + caches + kept + f.vocab * self.logits)

    def shared_bytes(self) -> int:
        """Bytes of a chunk that do not depend on its number of rows: one layer's clean keys and values, copies of weights."""
        f = self.family
        per_head = 6 * f.n_heads * f.head_dim * f.width if any(name == "head_out" for name, _ in self.keep) else 0
        widened = widened_weights(f) * lanes.count() if self.float32 else 0
        return 4 * (4 * f.n_kv_heads * self.n_tokens * f.head_dim + per_head + widened)

    def kept_values(self) -> int:
        """Numbers kept at one position."""
        return sum(values(self.family, name, self.n_tokens) for name, _ in self.keep)

    def working(self, m: int) -> int:
        """Numbers alive while one layer computes m positions of one row."""
        f, S = self.family, self.n_tokens
        H, K, D = f.n_heads, f.n_kv_heads, f.head_dim
        prefix = 3 * K * S * D if m > 1 or not self.float32 else 0  # the clean keys and values, copied for each row
        attention = m * D * (8 * H + 6 * K) + 5 * H * m * S + prefix
        return 8 * m * f.width + max(attention, 6 * m * f.mlp_width)

    def head(self, front: int) -> int:
        """Numbers alive while the logits of one row are computed and reduced."""
        positions = self.n_tokens - max(front, first_unembedded(self.keep, self.at, self.n_tokens))
        return self.family.vocab * (2 * positions + 3 + min(self.n_targets, AHEAD))


def first_unembedded(keep: tuple[Key, ...], at: tuple[int, ...], n_tokens: int) -> int:
    """The first position whose logits are needed: the prompt's last, unless final_norm or logits are kept at others."""
    return min(at) if any(name in ("final_norm", "logits") for name, _ in keep) else n_tokens - 1


def values(family: Family, name: str, n_tokens: int) -> int:
    """How many numbers a site has at one position."""
    sizes = {**family.sizes, "S": n_tokens}
    return math.prod(sizes[letter] for letter in axes(name).split() if letter not in "BL")


def widened_weights(family: Family) -> int:
    """How many half-precision weights have a float32 copy at one time: those of one layer, and the unembedding."""
    parameters: list[Any] = [*tree_flatten(family.layers[0].parameters()), *tree_flatten(family.head.parameters())]
    return sum(p.size for _, p in parameters if p.dtype in (mx.bfloat16, mx.float16))
