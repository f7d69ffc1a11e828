"""Taps: they read and edit the values of a running forward pass.

    >>> tap = Taps([[]], keep=[("resid_post", 3)])                       # one row without edits
    >>> tap("resid_post", 3, mx.zeros((1, 7, 128))).shape
    (1, 7, 128)
    >>> tap.kept["resid_post", 3].shape
    (1, 7, 128)

Rows are prompts of a batch or variants of a sweep; each has its own list of placed edits. Neighbouring rows whose edits
differ in value only are edited by one operation, so hundreds of patches cost a few operations. In a sweep rows enter at later
layers: a value with n rows belongs to the first n lists of edits.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from typing import Protocol

import mlx.core as mx

from assay.forward.placed import Placed, act
from assay.forward.sites import Key, canonical


class Tap(Protocol):
    """Called by a forward pass with the value of a site; returns the value that the pass continues with."""

    def __call__(self, site: str, layer: int | None, value: mx.array) -> mx.array: ...
    def wants(self, site: str, layer: int | None) -> bool: ...


class NoTap:
    """A tap that reads and changes nothing."""

    def __call__(self, site: str, layer: int | None, value: mx.array) -> mx.array:
        return value

    def wants(self, site: str, layer: int | None) -> bool:
        return False


NO_TAP = NoTap()


class Taps:
    """Edits for each row, and the keys to keep. `start` is the absolute position of the first computed token.

    With `at`, only those positions are kept, in canonical axes; at positions before `start` the kept values are meaningless.
    """

    def __init__(
        self,
        rows: Sequence[Sequence[Placed]],
        keep: Collection[Key] = (),
        start: int = 0,
        at: Sequence[int] | None = None,
    ):
        self.start, self.at = start, at
        self.keep = frozenset(keep)
        self.kept: dict[Key, mx.array] = {}
        self.edits: dict[Key, dict[int, list[Placed]]] = {}
        for row, placed in enumerate(rows):
            for edit in placed:
                self.edits.setdefault(edit.key, {}).setdefault(row, []).append(edit)

    def wants(self, site: str, layer: int | None) -> bool:
        return (site, layer) in self.keep or (site, layer) in self.edits

    def __call__(self, site: str, layer: int | None, value: mx.array) -> mx.array:
        key = (site, layer)
        if key in self.edits:
            value = self.edit(key, value)
        if key in self.keep:
            self.kept[key] = value if self.at is None else self.cut(site, value, self.at)
        return value

    def cut(self, site: str, value: mx.array, at: Sequence[int]) -> mx.array:
        """[n, P, features] at positions `at`: a copy, so that the whole value can be freed."""
        return canonical(site, value)[:, mx.array([max(0, position - self.start) for position in at])]

    def edit(self, key: Key, value: mx.array) -> mx.array:
        """`value` with each row's edits applied."""
        x = canonical(key[0], value)
        parts = []
        for start, stop, columns in self.segments(key, x.shape[0]):
            part = x[start:stop]
            for column in columns:
                part = act(column, part, self.start)
            parts.append(part)
        return canonical(key[0], parts[0] if len(parts) == 1 else mx.concatenate(parts))

    def segments(self, key: Key, n: int) -> Iterator[tuple[int, int, list[tuple[Placed, ...]]]]:
        """Groups of neighbouring rows with equal signatures: (first row, end, for each edit its `Placed` of each row)."""
        by_row = self.edits[key]
        start = 0
        for _, rows in groupby(range(n), key=lambda r: tuple(p.signature for p in by_row.get(r, ()))):
            placed = [by_row.get(r, []) for r in rows]
            yield start, start + len(placed), list(zip(*placed, strict=True))
            start += len(placed)
