"""Tiers: how much of the data an experiment uses. `smoke` shows that it runs, `quick` estimates, `full` is the paper's size.

    @experiment
    def backpatch(lm, tier):
        prompts = load("two_hop")[: tier.choose(smoke=8, quick=40, full=None)]
        layers = range(0, lm.layers, tier.choose(smoke=4, quick=2, full=1))

The tier is part of a snapshot's identity: metrics of different tiers are never compared.
"""

from typing import TypeVar

T = TypeVar("T")

TIERS = ("smoke", "quick", "full")
DEFAULT = "quick"


class Tier(str):
    """The name of the tier, which also chooses: one value for each."""

    __slots__ = ()

    def choose(self, smoke: T, quick: T, full: T) -> T:
        """The value for this tier."""
        return (smoke, quick, full)[TIERS.index(self)]

    def at_least(self, other: str) -> bool:
        """Whether this tier uses as much data as `other`, or more."""
        return TIERS.index(self) >= TIERS.index(other)
