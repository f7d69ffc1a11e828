"""A few of many items, evenly over their order: files list relations and families one after the other.

>>> spread("abcdef", 3)
['a', 'c', 'e']
"""

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def spread(items: Sequence[Item], n: int | None) -> list[Item]:
    """n of the items, evenly over their order; all for n=None, or when there are no more."""
    if n is None or len(items) <= n:
        return list(items)
    return [items[i * len(items) // n] for i in range(n)]
