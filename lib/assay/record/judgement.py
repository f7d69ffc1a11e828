"""Judgements: does a measured number lie above another, and do its prompts suffice to say so?

    >>> rescued, by_donor = Metric.rate(30, 36), Metric.rate(3, 36)
    >>> above(rescued, by_donor).verdict
    'yes'
    >>> print(above(Metric.rate(6, 8), Metric.rate(3, 8)))
    undecided: 0.75 [0.41, 0.93] n 8 above 0.375 [0.14, 0.69] n 8 by 0.38 [-0.092, 0.67]; n 13 would tell, if it stays so
    >>> above(Metric.rate(12, 36), by_donor).verdict, above(Metric.rate(3, 300), Metric.rate(4, 300)).verdict
    ('yes', 'no')
    >>> above(Metric.mean([0.2, 0.4, 0.3, 0.1, 0.2, 0.3]), 0, source="no difference").verdict
    'yes'

A claim is a test that asserts a judgement: `assert above(rescued, by_donor, by_noise)`, or `&` of several. Its verdict is

    yes         the interval of the difference lies on the claimed side, for every control
    no          the difference does not reach what would count (`worth`), for one control: its interval ends below it
    undecided   neither: the prompts are too few to tell, or fewer than `least`; neither a pass nor a failure

The interval of a difference comes from the two intervals (Zou and Donner 2008, "square and add"): narrower than asking
that they do not overlap, and as wide as it must be for independent samples; for the same prompts on both sides it is too wide
rather than too narrow, unless what is good for one side is bad for the other. A difference measured prompt by prompt is a
metric of its own, and is compared with 0.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from assay.errors import AssayError, DataError
from assay.record.metric import Metric, is_number, number, to_row

LEAST = 5
"""The least number of independent prompts (clusters, heads, tasks...) on either side of a claim, unless it says another."""
WORTH = 0.2
"""The least difference of two shares that would count as the effect, unless the claim says another."""
CHANCE = 0.025
"""How often a claim is a yes where nothing is there: an interval of 95 % misses on the claimed side."""

_WORD = {1: "above", -1: "below"}
_HEARD: ContextVar["list[Judgement] | None"] = ContextVar("heard", default=None)


class Undecided(AssayError):
    """A judgement was asked for a yes or no, and its prompts allow neither."""


@dataclass(frozen=True)
class Judgement:
    """A verdict, and the sentence that says why. True for yes, false for no; undecided raises `Undecided`."""

    verdict: str
    why: str
    identity: bool = False
    """Is it a fact about one computed number, which chance cannot make true?"""

    def __bool__(self) -> bool:
        if (heard := _HEARD.get()) is not None:
            heard.append(self)
        if self.verdict == "undecided":
            raise Undecided(self.why)
        return self.verdict == "yes"

    def __and__(self, other: "Judgement") -> "Judgement":
        """Yes if both are, no if one is, else undecided."""
        both = self, other
        for word in ("no", "undecided"):
            if those := [one for one in both if one.verdict == word]:
                return Judgement(word, _joined(those), any(one.identity for one in both))
        return Judgement("yes", _joined(both), all(one.identity for one in both))

    def __str__(self) -> str:
        return f"{self.verdict}: {self.why}"

    __repr__ = __str__  # what pytest shows of an assertion that failed


def above(
    metric: Metric,
    *others: Metric | float,
    by: float = 0.0,
    worth: float | None = None,
    least: int = LEAST,
    source: str = "",
) -> Judgement:
    """Is the metric above each of the others, by more than `by`?

    others: metrics, the controls; or numbers, whose `source` says where they come from: the paper, chance, arithmetic.
    worth: the difference that would count, in the metric's unit; with `by` 0, else `WORTH` for shares, and to be said for others.
    Raises DataError for a number without source, a metric without interval, and a missing `worth`.
    """
    return _each(1, metric, others, by, worth, least, source)


def below(
    metric: Metric,
    *others: Metric | float,
    by: float = 0.0,
    worth: float | None = None,
    least: int = LEAST,
    source: str = "",
) -> Judgement:
    """Is the metric below each of the others, by more than `by`? As `above`."""
    return _each(-1, metric, others, by, worth, least, source)


def ordered(*metrics: Metric, worth: float | None = None, least: int = LEAST) -> Judgement:
    """Is each metric above the one before it? As `above`."""
    if len(metrics) < 2:
        raise DataError("an order needs two metrics or more")
    return _all([above(high, low, worth=worth, least=least) for low, high in pairwise(metrics)])


def within(metric: Metric, low: float, high: float, *, least: int = LEAST, source: str) -> Judgement:
    """Does the interval of the metric lie inside [low, high]? No, if it lies outside. `source` says where these come from."""
    inside, outside = low <= metric.low and metric.high <= high, metric.high < low or high < metric.low
    where = "within" if inside else "outside" if outside else "not surely within"
    said = f"{_text(metric)} {where} [{low:g}, {high:g}] ({source})"
    if few := _few(metric, least):
        return Judgement("undecided", few)
    return Judgement("yes" if inside else "no" if outside else "undecided", said)


def holds(fact: Any, why: str) -> Judgement:
    """An identity: a fact about what was computed that needs no interval and no control, and `why` says why not."""
    fact = bool(fact.value if isinstance(fact, Metric) else fact)
    return Judgement("yes" if fact else "no", f"{why}: {str(fact).lower()}", identity=True)


def by_chance(resting: int, yes: int) -> str:
    """How many yes chance would give to claims that rest on intervals, and the false discovery rate of the yes; "" without any.

    An interval of 95 % lies on the claimed side by chance in 2.5 % of all claims (`CHANCE`), and in fewer where a claim has
    several controls. The share of false ones among the yes is at most the expected number of these by the number of yes
    (Benjamini and Hochberg 1995, if all claims are taken for false).
    """
    if not yes:
        return ""
    expected = CHANCE * resting
    return (
        f"{resting} rest on intervals: if no claim were true, at most {expected:.2g} of them would be a yes by "
        f"chance; so of {yes} yes at most {min(1, expected / yes):.0%} are false"
    )


@contextmanager
def heard() -> Iterator[list[Judgement]]:
    """Collects the judgements that are asked for a yes or no inside."""
    found: list[Judgement] = []
    token = _HEARD.set(found)
    try:
        yield found
    finally:
        _HEARD.reset(token)


def _each(
    sign: int, metric: Metric, others: tuple[Any, ...], by: float, worth: float | None, least: int, source: str
) -> Judgement:
    """Is the metric above (sign 1) or below (-1) each of the others?"""
    if not others:
        raise DataError(f"{_WORD[sign]}: name the controls or the threshold to compare with")
    return _all([_one(sign, metric, other, by, worth, least, source) for other in others])


def _joined(judgements: Iterable[Judgement]) -> str:
    """Their reasons, each once: several may rest on the same few prompts."""
    return "; ".join(dict.fromkeys(part for one in judgements for part in one.why.split("; ")))


def _all(judgements: list[Judgement]) -> Judgement:
    whole = judgements[0]
    for one in judgements[1:]:
        whole &= one
    return whole


def _one(
    sign: int, metric: Metric, other: Metric | float, by: float, worth: float | None, least: int, source: str
) -> Judgement:
    if not isinstance(other, Metric) and not source:
        raise DataError(f"{_WORD[sign]} {other}: say where the threshold comes from: source='chance of two answers'")
    if not isinstance(other, Metric):
        if worth is None and not by and sign > 0 and 1 - WORTH < other - 1e-9 < 1:
            # Else the claim would be a no wherever it is not surely true.
            raise DataError(f"no share is {WORTH:g} above {other:g}: say what difference would count, worth=...")
        other = Metric(other)
    for one in (metric, other):
        if few := _few(one, least):
            return Judgement("undecided", few)
    # One number that is no estimate (a threshold, a chance level) has no width.
    ends = (other.value, other.value) if other.ci is None else other.ci
    difference = sign * (metric.value - other.value) - by
    near, far = (metric.low, metric.high) if sign > 0 else (metric.high, metric.low)
    beyond, back = (ends[1], ends[0]) if sign > 0 else (ends[0], ends[1])
    low = difference - math.hypot(metric.value - near, other.value - beyond)
    high = difference + math.hypot(metric.value - far, other.value - back)
    counts = worth if worth is not None else 0.0 if by else _worth(sign, metric, other)
    what = "".join((f" ({source})" if source and other.ci is None else "", f", less {by:g}," if by else ""))
    said = f"{_text(metric)} {_WORD[sign]} {_text(other)}{what} by {difference:.2g} [{low:.2g}, {high:.2g}]"
    if low > 0:
        return Judgement("yes", said)
    if high < counts:
        return Judgement("no", f"{said}, and {counts + by:g} would count")
    return Judgement("undecided", said + _needed(difference, low, metric, other))


def _few(metric: Metric, least: int) -> str:
    """Why a metric rests on too few prompts; "" if it does not."""
    n = metric.n if metric.clusters is None else metric.clusters
    if metric.ci is None or n is None or n >= least:
        return ""
    return f"rests on {n}{'' if metric.clusters is None else ' clusters'}, and {least} are the least"


def _worth(sign: int, *both: Metric) -> float:
    """What difference would count, where the claim does not say it. Raises DataError unless both metrics are shares."""
    if all(one.unit in ("", "of prompts") and is_number(one.value) and not abs(one.value) > 1 for one in both):
        return WORTH
    what = f"{both[0].value!r} is no share: say in its unit what difference would count, worth=..."
    raise DataError(f"{_WORD[sign]}: {what}")


def _needed(difference: float, low: float, *metrics: Metric) -> str:
    """The n at which the difference would be told from 0, if it stays as it is."""
    sizes = [metric.n for metric in metrics if metric.ci is not None and metric.n]
    if not (difference > 0 and math.isfinite(low) and sizes):
        return ""
    return f"; n {math.ceil(max(sizes) * ((difference - low) / difference) ** 2)} would tell, if it stays so"


def _text(metric: Metric) -> str:
    return number(to_row(metric))
