"""Scaling: a number, with its interval, against the size of the models.

    >>> RULE.words("scaling_gap"), RULE.x
    ('gap', 'weights in memory [GiB]')

One figure for each number that was measured on models of two known sizes or more.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assay.report.figures.picture import Kind, Picture, Rule, Series, intervals
from assay.report.figures.style import GREY, colour
from assay.report.read import Recorded, size

RULE = Rule("scaling_(.+)", "weights in memory [GiB]")


def plan(recorded: Recorded, named: Mapping[str, Rule]) -> Iterator[Picture]:
    for name in named:
        found = {model: metric for model, metric in recorded.of(name).items() if metric.ci}
        series = [intervals(model, [size(model)], [metric]) for model, metric in found.items() if size(model)]
        if len({one.at[0] for one in series}) > 1:
            unit = next(iter(found.values())).unit
            yield Picture(KIND, name, RULE.words(name), RULE.x, unit, {"": series}, [name])


def draw(axes: Any, picture: Picture, series: Sequence[Series]) -> None:
    for one in series:
        axes.vlines(one.at, one.low, one.high, color=colour(0), linewidth=1.2, alpha=0.7)
        axes.plot(one.at, one.values, "o", color=colour(0))
        axes.annotate(one.label, (one.at[0], one.values[0]), xytext=(5, 3), textcoords="offset points", fontsize=6)
    axes.set_xscale("log")
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.margins(x=0.15)


KIND = Kind("scaling", (RULE,), plan, draw)
