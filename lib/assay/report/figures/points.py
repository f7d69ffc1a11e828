"""Points: numbers with their intervals, a row for each and a mark for each model.

    >>> KIND.rules        # no name asks for this figure: it takes every number that has an interval
    ()

One figure for all numbers of an experiment that have one unit.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assay.record.metric import is_number
from assay.report.figures.picture import Kind, Picture, Rule, Series, intervals
from assay.report.figures.style import colour, mark
from assay.report.read import Recorded, words


def plan(recorded: Recorded, named: Mapping[str, Rule]) -> Iterator[Picture]:
    units: dict[str, dict[str, None]] = {}
    for name in recorded.names:
        for metric in recorded.of(name).values():
            if metric.ci and is_number(metric.value) and math.isfinite(metric.value):
                units.setdefault(metric.unit, {})[name] = None
    for unit, names in units.items():
        series = []
        for model, metrics in recorded.models.items():
            found = {n: metrics[n] for n in names if n in metrics and metrics[n].ci and is_number(metrics[n].value)}
            if found:
                series.append(intervals(model, list(found), list(found.values())))
        stem = f"numbers_{unit}" if unit else "numbers"
        yield Picture(KIND, stem, "", unit or "share, or difference of shares", "", {"": series})


def _rows(series: Sequence[Series]) -> list[str]:
    return list(dict.fromkeys(name for one in series for name in one.at))


def height(picture: Picture, width: float) -> float:
    (series,) = picture.panels.values()
    return 0.5 + len(_rows(series)) * max(0.17, 0.08 + 0.07 * len(series))


def draw(axes: Any, picture: Picture, series: Sequence[Series]) -> None:
    rows, step = _rows(series), 0.6 / len(series)
    for i, one in enumerate(series):
        places = [len(rows) - 1 - rows.index(name) + 0.3 - step * (i + 0.5) for name in one.at]
        axes.hlines(places, one.low, one.high, color=colour(i), linewidth=1.1, alpha=0.7)
        axes.plot(one.values, places, mark(i), color=colour(i), label=one.label)
    axes.set_yticks(range(len(rows)), [words(name) for name in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.5)
    axes.set_axisbelow(True)


KIND = Kind("points", (), plan, draw, height, wide=True)
