"""Pictures: one figure as plain values, before it is drawn, and what makes a kind of figures.

    >>> rule = Rule("(.+)_by_layer", x="layer")
    >>> rule.fits("kl_of_e1_by_layer"), rule.words("kl_of_e1_by_layer")
    (True, 'kl of e1')

A picture has one *panel* for each model, and in a panel one or more *series*: a table, a curve with its band, the boxes of one
group, or points.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.record.metric import Metric
from assay.report.read import Recorded, words


@dataclass(frozen=True)
class Series:
    """One thing to draw: `values` by `at` (layers, counts, or names), `low` and `high` around them where they are known."""

    label: str
    at: Sequence[Any]
    values: Any
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    n: int | None = None
    control: bool = False
    shows: Sequence[str] = ()
    """The metrics of which every number can be seen here, so that the page's table need not repeat them."""
    names: tuple[Sequence[str], Sequence[str]] | None = None
    """The names of a table's rows and columns, when they have names; those of another model may be others."""


CONTROL = ", control"
"""The end of a panel's label that shows the control of the panel before it."""


def model_of(label: str) -> str:
    """The model that a panel shows."""
    return label.removesuffix(CONTROL)


@dataclass(frozen=True)
class Rule:
    """Metrics whose name matches the regular expression `name` make a figure with these axes; its group is their label."""

    name: str
    x: str = ""
    y: str = ""

    def fits(self, name: str) -> bool:
        return re.fullmatch(self.name, name) is not None

    def words(self, name: str) -> str:
        """The label of a metric: the group that the expression matches in its name, as words."""
        found = re.fullmatch(self.name, name)
        return words((found and found[1]) or name)


@dataclass(frozen=True)
class Picture:
    """One figure. A kind gives `stem` (of the file's name), `title` and `caption` without the experiment; `pictures` adds it."""

    kind: "Kind"
    stem: str
    title: str
    x: str
    y: str
    panels: Mapping[str, Sequence[Series]]
    names: Sequence[str] = ()
    """The metrics that the caption names."""
    span: tuple[float, float] | None = None
    """The range of a heatmap's colours, the same in all panels."""
    columns: int = 3
    """The most panels side by side."""
    caption: str = ""

    @property
    def metrics(self) -> set[tuple[str, str]]:
        """(model, metric) for every metric that is drawn in full."""
        return {
            (model_of(label), name) for label, series in self.panels.items() for one in series for name in one.shows
        }


def two_inches(picture: Picture, width: float) -> float:
    """The height of a row of panels of most kinds."""
    return 2.2


@dataclass(frozen=True)
class Kind:
    """One kind of figure."""

    name: str
    rules: Sequence[Rule]
    plan: Callable[[Recorded, Mapping[str, Rule]], Iterable[Picture]]
    """The pictures of an experiment, given the metrics that the rules fit, each with its rule."""
    draw: Callable[[Any, Picture, Sequence[Series]], Any]
    """Draws one panel into matplotlib's axes; returns the image where colours need a bar beside the panels, else None."""
    height: Callable[[Picture, float], float] = two_inches
    """Height in inches of a row of panels that are each `width` inches wide."""
    wide: bool = False
    """One panel takes the whole width."""
    share_y: bool = False
    """All panels have one scale upwards."""


def caption(picture: Picture, recorded: Recorded) -> str:
    """The caption: the metrics shown, their number of prompts, the tier, and the meaning of the bands."""
    ns = {model: {s.n for s in series if s.n is not None} for model, series in picture.panels.items()}
    counts = "; ".join(f"{model + ': ' if model else ''}{count(found)}" for model, found in ns.items() if found)
    banded = any(low is not None for series in picture.panels.values() for one in series for low in one.low)
    shown = ", ".join(map(words, picture.names))
    parts = [
        picture.title,
        shown,
        f"Tier {recorded.tier}",
        counts,
        "Bands and bars are 95 % intervals" if banded else "",
    ]
    return ". ".join(filter(None, parts)) + "."


def count(ns: set[int]) -> str:
    """`n = 16`, or `n = 9 to 16`; "" without numbers."""
    return f"n = {min(ns)}" + (f" to {max(ns)}" if len(ns) > 1 else "") if ns else ""


def intervals(label: str, at: Sequence[Any], metrics: Sequence[Metric]) -> Series:
    """Numbers with their intervals, as one series."""
    ends = [metric.ci or (math.nan, math.nan) for metric in metrics]
    n = min((metric.n for metric in metrics if metric.n is not None), default=None)
    return Series(label, at, [m.value for m in metrics], [low for low, _ in ends], [high for _, high in ends], n)


def is_line(value: Any) -> bool:
    """Whether `value` is a list of numbers, some of which may be None."""
    return isinstance(value, list) and bool(value) and all(v is None or isinstance(v, int | float) for v in value)


def is_table(value: Any) -> bool:
    """Rows of equal length?"""
    return isinstance(value, list) and bool(value) and all(map(is_line, value)) and len(set(map(len, value))) == 1


def blank(values: Sequence[float | None]) -> list[float]:
    """The values with NaN, which is not drawn, for None."""
    return [math.nan if value is None else value for value in values]
