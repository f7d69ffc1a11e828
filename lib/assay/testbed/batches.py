"""Rows of tokens as arrays for one step of training.

>>> batches = make_batches([Row((1, 5, 6), (1, 2)), Row((1, 4), (1,))])
>>> batches[0].tokens.tolist(), batches[0].next_tokens.tolist()         # padded on the right; what is to be learned
([[1, 4, 0], [1, 5, 6]], [4, 5, 6])
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from assay.testbed.documents import Rule
from assay.testbed.shaping import lens_targets
from assay.testbed.tokenizer import Row, TokenLens

LONGER = 1.4  # most tokens of a document in a batch, relative to the shortest: little padding, few batches
SHORT = 12  # tokens; shorter documents share a batch


@dataclass(frozen=True)
class Batch:
    """Rows of similar length, as arrays; indices count rows of the states as [B * L, E]."""

    tokens: mx.array
    rules: list[tuple[Rule, ...]]
    at: mx.array
    """Indices where the loss predicts the next token, which is in `next_tokens`."""
    next_tokens: mx.array
    lenses: dict[int, tuple[mx.array, mx.array, mx.array]]
    """layer -> indices [N] of the lens loss after it, its target tokens [N, K] and their weights [N, K]."""
    edit: str = ""
    """The edit of all rows (see `Document.edit`)."""


def make_batches(rows: Sequence[Row], trained_from: int = 0) -> list[Batch]:
    """Batches of the rows of one step: a batch has rows of one edit and of similar length.

    trained_from: the first layer that learns; lenses below it are left out.
    """
    groups: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: (row.edit, len(row.tokens))):
        first = groups[-1][0] if groups else None
        if first is None or row.edit != first.edit or len(row.tokens) > LONGER * max(SHORT, len(first.tokens)):
            groups.append([])
        groups[-1].append(row)
    return [make_batch(group, trained_from) for group in groups]


def make_batch(rows: Sequence[Row], trained_from: int = 0) -> Batch:
    """Rows -> arrays, padded on the right."""
    length = max(len(row.tokens) for row in rows)
    tokens = np.zeros((len(rows), length), np.int32)
    at: list[int] = []
    asked: dict[int, list[tuple[int, TokenLens]]] = {}
    for b, row in enumerate(rows):
        tokens[b, : len(row.tokens)] = row.tokens
        at += [b * length + t - 1 for t in row.learn]
        for lens in row.lenses:
            if lens.layer >= trained_from:
                asked.setdefault(lens.layer, []).append((b * length + lens.position, lens))
    flat = np.append(tokens.reshape(-1), 0)
    return Batch(
        mx.array(tokens),
        [row.rules for row in rows],
        mx.array(np.array(at, np.int32)),
        mx.array(flat[np.array(at, np.int64) + 1]),
        {layer: _lenses(found) for layer, found in asked.items()},
        rows[0].edit,
    )


def _lenses(found: Sequence[tuple[int, TokenLens]]) -> tuple[mx.array, mx.array, mx.array]:
    """Lenses of one layer, each with its index -> indices [N], tokens [N, K] and their weights [N, K]."""
    places = mx.array(np.array([place for place, _ in found], np.int32))
    tokens, weights = lens_targets([lens.tokens for _, lens in found], [lens.weight for _, lens in found])
    return places, mx.array(tokens), mx.array(weights)
