"""`Sweep`, the results of a sweep: one row for each variant, in the order of the variants.

>>> sweep = lm.sweep("The capital of France is", [assay.zero("z", layer=i, position=-1) for i in range(8)], targets=[" Paris"])
>>> sweep.greedy.shape, sweep.target_ranks.shape
((8,), (8, 1))
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.errors import EditError
from assay.forward.generate import Generation
from assay.forward.run import Run, look_up
from assay.forward.sites import Key
from assay.forward.sweep.plan import Chunk, Plan


@dataclass(frozen=True, eq=False)
class Sweep:
    """Results of N variants, in their order. Arrays are NumPy, float32 unless stated; EditError for results not asked for."""

    clean: Run
    """The clean run that was given, or the logits of the one that the sweep made (its activations are dropped)."""
    plan: Plan
    found: dict[str, np.ndarray]
    kept: dict[Key, np.ndarray]
    """For each key [N, P, features], at the P positions `at`."""
    texts: list[Generation] | None = None

    @property
    def greedy(self) -> np.ndarray:
        """[N] int: the likeliest next token."""
        return self.found["greedy"]

    @property
    def logits(self) -> np.ndarray:
        """[N, V], at the prompt's last token."""
        return self._asked_for("logits", "logits=True")

    @property
    def target_log_probs(self) -> np.ndarray:
        """[N, T], of the T targets: their first tokens, as they follow the prompt."""
        return self._asked_for("target_log_probs", "targets=")

    @property
    def target_ranks(self) -> np.ndarray:
        """[N, T] int: how many tokens are likelier; 0 is the top one."""
        return self._asked_for("target_ranks", "targets=")

    @property
    def top_tokens(self) -> np.ndarray:
        """[N, k] int: ids of the likeliest tokens."""
        return self._asked_for("top_tokens", "top_k=")

    @property
    def top_log_probs(self) -> np.ndarray:
        """[N, k], of `top_tokens`."""
        return self._asked_for("top_log_probs", "top_k=")

    @property
    def continuations(self) -> list[Generation]:
        """The continuation of each variant."""
        if self.texts is None:
            raise EditError("this sweep continued nothing: ask for it with lm.sweep(..., max_tokens=)")
        return self.texts

    def _asked_for(self, name: str, keyword: str) -> np.ndarray:
        if name not in self.found:
            raise EditError(f"this sweep does not report {name}: ask for it with lm.sweep(..., {keyword})")
        return self.found[name]

    def __getitem__(self, key: str | tuple[str, int]) -> np.ndarray:
        return look_up(self.kept, key)

    def __len__(self) -> int:
        return len(self.greedy)


def gather(parts: Sequence[tuple[Chunk, dict[str, np.ndarray]]], n: int) -> dict[str, np.ndarray]:
    """Results of all chunks as arrays over variants, in the order of the variants."""
    out: dict[str, np.ndarray] = {}
    for chunk, found in parts:
        for name, array in found.items():
            if name not in out:
                out[name] = np.zeros((n, *array.shape[1:]), array.dtype)
            out[name][list(chunk.variants)] = array
    return out
