"""Prompts of your own that stand in for built-in ones, in this process.

>>> give("two-hop", ("a query",)); given("two-hop")
('a query',)
>>> take_back(); given("two-hop") is None
True

`assay.data.own` reads them from files; `instructions`, `two_hop`, `opinions` and the like return them in the place of
their own.
"""

from collections.abc import Sequence
from typing import Any

_GIVEN: dict[str, tuple[Any, ...]] = {}


def give(name: str, items: Sequence[Any]) -> None:
    """From now on these items are the prompt set `name`."""
    _GIVEN[name] = tuple(items)


def given(name: str) -> tuple[Any, ...] | None:
    """The items that stand in for the prompt set `name`; None if the built-in ones are used."""
    return _GIVEN.get(name)


def take_back() -> None:
    """The built-in prompts are used again."""
    _GIVEN.clear()
