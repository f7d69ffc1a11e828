"""Portions of a list of prompts: batches, and evenly spread samples.

>>> list(batches("abcde", 2))
['ab', 'cd', 'e']
>>> spread("abcdef", 3)
['a', 'c', 'e']
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")
Track = Callable[[Iterable[Any]], Iterable[Any]]
"""Wraps a long loop, to show its progress; `iter` shows none."""


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Slices of `size` items each, in order; the last slice may be shorter."""
    return (items[start : start + size] for start in range(0, len(items), size))


def spread(items: Sequence[Item], n: int | None) -> list[Item]:
    """n of the items, evenly over their order; all items for n=None, or when there are no more than n.

    The first n items would all be of one kind, as data files are sorted by relation and family.
    """
    if n is None or len(items) <= n:
        return list(items)
    return [items[i * len(items) // n] for i in range(n)]
