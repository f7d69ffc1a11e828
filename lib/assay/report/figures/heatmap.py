"""Heatmaps: a table of numbers as colours; a small one has its numbers in the cells.

    >>> [short(value) for value in (0.07, -0.2, 0.0, 12.5)]
    ['.07', '-.2', '0', '12.5']

One figure for each table; a table that names a control has it beside it, model by model. All tables of one rule in an
experiment share their colours, so that they can be compared.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from assay.record.metric import Metric, is_number
from assay.report.figures.picture import CONTROL, Kind, Picture, Rule, Series, blank, is_table
from assay.report.figures.style import NOT_MEASURED, whole_numbers
from assay.report.library import library
from assay.report.read import Recorded

RULES = (
    Rule("heatmap(?:_(.+))?", "target layer", "source layer"),
    Rule("(.+)_by_layer_head", "head", "layer"),
    Rule("(.+)_matrix"),
)
CELLS_WITH_NUMBERS = 100


def plan(recorded: Recorded, named: Mapping[str, Rule]) -> Iterator[Picture]:
    controls = {m.control for metrics in recorded.models.values() for name, m in metrics.items() if name in named}
    for name, rule in named.items():
        if name in controls:
            continue
        panels, x, y = {}, rule.x, rule.y
        for model, metrics in recorded.models.items():
            if name not in metrics or not is_table(metrics[name].value):
                continue
            table, shows = metrics[name].value, [name]
            if names := _names(metrics.get(f"{name}_labels"), table):
                shows.append(f"{name}_labels")
            if f"{name}_axes" in metrics:
                x, y = metrics[f"{name}_axes"].value
                shows.append(f"{name}_axes")
            rows, n = range(len(table)), metrics[name].n
            panels[model] = [Series(rule.words(name), rows, table, n=n, names=names, shows=shows)]
            control = metrics.get(metrics[name].control or "")
            if control is not None and is_table(control.value):
                beside = Series(
                    "control",
                    range(len(control.value)),
                    control.value,
                    control=True,
                    names=names,
                    shows=[metrics[name].control or ""],
                )
                panels[f"{model}{CONTROL}"] = [beside]
        together = [metric.value for other in named if named[other] == rule for metric in recorded.of(other).values()]
        span = _span(together)
        columns = 4 if len(panels) > len(recorded.models) else 3
        yield Picture(KIND, name, rule.words(name), x, y, panels, [name], span, columns)


def _names(metric: Metric | None, table: list[list[Any]]) -> tuple[Sequence[str], Sequence[str]] | None:
    """Names of the rows and the columns, if there are as many as rows and columns."""
    if metric is None:
        return None
    given = metric.value
    rows, columns = (given["rows"], given["columns"]) if isinstance(given, dict) else (given, given)
    fits = len(rows) == len(table) and len(columns) == len(table[0])
    return (list(map(str, rows)), list(map(str, columns))) if fits else None


def _span(tables: Iterable[Any]) -> tuple[float, float]:
    """The range of all numbers, from 0 on; the same on both sides of 0 when some are below it."""
    cells = [cell for table in tables if is_table(table) for row in table for cell in row]
    numbers = [cell for cell in cells if is_number(cell) and math.isfinite(cell)]
    low, high = min(numbers, default=0.0), max(numbers, default=0.0)
    if low < 0:
        return -max(-low, high), max(-low, high)
    return 0.0, high or 1.0


def upwards(series: Series) -> bool:
    """Is the first row at the bottom? Layers count upwards, lists are read downwards."""
    return not series.names


def measured(table: Sequence[Sequence[Any]]) -> tuple[list[int], list[int]]:
    """The rows and the columns in which anything was measured: of a grid of every third layer, these layers alone."""
    rows = [i for i, row in enumerate(table) if any(map(_is_there, row))]
    columns = [j for j in range(len(table[0])) if any(_is_there(row[j]) for row in table)]
    dense = 2 * len(rows) > len(table) and 2 * len(columns) > len(table[0])  # blank edges belong to a grid
    return (list(range(len(table))), list(range(len(table[0])))) if dense or not rows else (rows, columns)


def _is_there(cell: Any) -> bool:
    return is_number(cell) and not math.isnan(cell)


def height(picture: Picture, width: float) -> float:
    return min(2.9, 0.95 * width)


def draw(axes: Any, picture: Picture, series: Sequence[Series]) -> Any:
    import numpy as np

    rows, columns = measured(series[0].values)
    table = np.array([blank(row) for row in series[0].values], float)[np.ix_(rows, columns)]
    low, high = picture.span or (0.0, 1.0)
    colours = library("matplotlib").colormaps["PuOr_r" if low < 0 else "viridis"].with_extremes(bad=NOT_MEASURED)
    # A mesh of rectangles: an image would be pixels inside the vector file.
    edges = [np.arange(size + 1) - 0.5 for size in reversed(table.shape)]
    image = axes.pcolormesh(
        *edges, np.ma.masked_invalid(table), cmap=colours, vmin=low, vmax=high, edgecolors="face", linewidth=0.1
    )
    axes.set_facecolor(NOT_MEASURED)
    axes.set_aspect("equal" if table.shape[0] == table.shape[1] else "auto")
    if not upwards(series[0]):
        axes.invert_yaxis()
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    if names := series[0].names:
        axes.set_yticks(range(len(rows)), [names[0][i] for i in rows])
        axes.set_xticks(
            range(len(columns)), [names[1][j] for j in columns], rotation=45, ha="right", rotation_mode="anchor"
        )
    elif len(rows) < len(series[0].values):
        axes.set_yticks(range(len(rows)), rows)
        axes.set_xticks(range(len(columns)), columns)
    else:
        whole_numbers(axes.xaxis)
        whole_numbers(axes.yaxis)
    if table.size <= CELLS_WITH_NUMBERS:
        middle = (low + high) / 2
        for (row, column), value in np.ndenumerate(table):
            if not math.isnan(value):
                light = value < middle if low >= 0 else abs(value) > 0.6 * high
                ink = "white" if light else "black"
                axes.text(column, row, short(value), ha="center", va="center", fontsize=5, color=ink)
    return image


def short(value: float) -> str:
    """A number in a cell: two decimals below 1, three digits above."""
    if abs(value) < 0.005:
        return "0"
    return f"{value:.2f}".replace("0.", ".", 1).rstrip("0").rstrip(".") or "0" if abs(value) < 1 else f"{value:.3g}"


KIND = Kind("heatmap", RULES, plan, draw, height)
