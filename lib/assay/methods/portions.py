"""Portions of a list of prompts: batches, and samples that are evenly spread, or have as many of each kind.

>>> list(batches("abcde", 2))
['ab', 'cd', 'e']
>>> spread("abcdef", 3)
['a', 'c', 'e']
>>> balanced("AAbbAA", 4, str.isupper)
['A', 'b', 'b', 'A']
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
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


def balanced(items: Sequence[Item], n: int | None, kind_of: Callable[[Item], Hashable]) -> list[Item]:
    """At most n of the items, as many of each kind, evenly over their order and in it; n=None: as many as the rarest kind has.

    A sample spread over all items may have more of one kind: questions that match by A, or words with one of two labels.
    """
    places: dict[Hashable, list[int]] = {}
    for i, item in enumerate(items):
        places.setdefault(kind_of(item), []).append(i)
    if not places:
        return []
    each = min(map(len, places.values()))
    each = each if n is None else min(each, n // len(places))
    return [items[i] for i in sorted(i for some in places.values() for i in spread(some, each))]
