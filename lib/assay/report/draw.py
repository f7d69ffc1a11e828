"""Drawing: a picture as a vector figure, with matplotlib.

    >>> save(draw(picture), Path("report/figures"), picture.stem)      # .svg and .pdf            # doctest: +SKIP

For print: type of 8 points at the width of two columns, lines that differ in dash as well as in colour, the colours of Okabe
and Ito and the viridis map, which people with any colour vision, and grey printers, tell apart. The same numbers give the
same bytes.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.errors import AssayError
from assay.report.plan import Picture, Series

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (6, 2, 1, 2)), (0, (2, 2)), "-")
MARKS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#767676"
NOT_MEASURED = "#EDEDED"
WIDTH = 7.0  # inches: two columns of print
COLUMNS = 3
CELLS_WITH_NUMBERS = 100
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.5,
    "figure.titlesize": 9,
    "svg.hashsalt": "assay",
    "pdf.fonttype": 42,
}


class NoMatplotlib(AssayError):
    """Figures were asked for, and matplotlib is not installed."""


def matplotlib() -> Any:
    """The library. Raises NoMatplotlib, which says how to get it."""
    try:
        import matplotlib
    except ImportError as error:
        raise NoMatplotlib(
            "figures are drawn with matplotlib, which is not installed: pip install 'mlx-assay[report]'"
        ) from error
    return matplotlib


def draw(picture: Picture) -> Any:
    """The figure of a picture (`matplotlib.figure.Figure`), laid out and labelled."""
    with matplotlib().rc_context(STYLE):
        from matplotlib.figure import Figure

        n = len(picture.panels)
        rows = math.ceil(n / COLUMNS)
        columns = math.ceil(n / rows)
        width = _width(picture, columns)
        figure = Figure(figsize=(width, rows * _height(picture, width / columns) + 0.45), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharey=picture.draw == "curves")
        flat, images = list(grid.flat), []
        for axes, (model, series) in zip(flat, picture.panels.items(), strict=False):
            images.append(DRAW[picture.draw](axes, picture, series))
            axes.set_title(_heading(model, series))
        for axes in flat[n:]:
            axes.set_axis_off()
        for column in range(columns):  # the lowest panel of each column names the axis
            lowest = [flat[row * columns + column] for row in range(rows) if row * columns + column < n][-1]
            lowest.set_xlabel(picture.x)
        for row in range(rows):
            grid[row, 0].set_ylabel(picture.y)
        if picture.draw == "heatmap":  # the colours mean the same in all panels
            bar = figure.colorbar(images[0], ax=flat[:n], fraction=0.04, pad=0.02, shrink=0.8)
            bar.outline.set_visible(False)
        figure.suptitle(picture.title, fontweight="bold")
        _legend(figure, flat[0], picture)
        return figure


def save(figure: Any, folder: Path, stem: str) -> list[Path]:
    """Writes `stem`.svg and `stem`.pdf without a date, so that the same numbers give the same files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{stem}.svg", folder / f"{stem}.pdf"]
    with matplotlib().rc_context(STYLE):
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1], metadata={"CreationDate": None})
    return paths


def _width(picture: Picture, columns: int) -> float:
    return WIDTH if columns > 1 or picture.draw in ("points", "boxes") else WIDTH * 0.6


def _height(picture: Picture, width: float) -> float:
    """Inches of one row of panels, each so many inches wide."""
    if picture.draw == "heatmap":
        return min(2.9, 0.95 * width)
    if picture.draw == "points":
        (series,) = picture.panels.values()
        rows = len({name for one in series for name in one.at})
        return 0.5 + rows * max(0.17, 0.08 + 0.07 * len(series))
    return 2.2


def _heading(model: str, series: Sequence[Series]) -> str:
    counts = {one.n for one in series if one.n is not None}
    n = f"n = {min(counts)}" if len(counts) == 1 else f"n = {min(counts)} to {max(counts)}" if counts else ""
    return "  ".join(part for part in (model, n) if part) if model else ""


def _legend(figure: Any, axes: Any, picture: Picture) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if picture.draw != "scaling" and len(labels) > 1:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4))


# --- one function for each way to draw a panel ------------------------------------------------------------


def _heatmap(axes: Any, picture: Picture, series: Sequence[Series]) -> Any:
    import numpy as np

    table = np.array([[math.nan if v is None else v for v in row] for row in series[0].values], float)
    low, high = picture.span or (0.0, 1.0)
    colours = matplotlib().colormaps["PuOr_r" if low < 0 else "viridis"].with_extremes(bad=NOT_MEASURED)
    origin = "upper" if picture.labels else "lower"  # layers count upwards, lists are read downwards
    aspect = "equal" if table.shape[0] == table.shape[1] else "auto"
    image = axes.imshow(table, cmap=colours, vmin=low, vmax=high, origin=origin, interpolation="nearest", aspect=aspect)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    if picture.labels:
        rows, columns = picture.labels
        axes.set_yticks(range(len(rows)), rows)
        axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
    else:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(_whole())
    if table.size <= CELLS_WITH_NUMBERS:
        middle = (low + high) / 2
        for (row, column), value in np.ndenumerate(table):
            if not math.isnan(value):
                light = value < middle if low >= 0 else abs(value) > 0.6 * high
                axes.text(
                    column,
                    row,
                    _short(value),
                    ha="center",
                    va="center",
                    fontsize=5,
                    color="white" if light else "black",
                )
    return image


def _short(value: float) -> str:
    """`.07`, `-.2`, `0`, `12.5`: a number in a cell."""
    return f"{value:.2f}".replace("0.", ".", 1).rstrip("0").rstrip(".") or "0" if abs(value) < 1 else f"{value:.3g}"


def _curves(axes: Any, picture: Picture, series: Sequence[Series]) -> None:
    for i, one in enumerate(series):
        colour = GREY if one.control else OKABE_ITO[i % len(OKABE_ITO)]
        values = [math.nan if v is None else v for v in one.values]
        if one.low:
            axes.fill_between(one.at, one.low, one.high, color=colour, alpha=0.12, linewidth=0)
        dash = (0, (1, 1)) if one.control else DASHES[i % len(DASHES)]
        label = f"{one.label} (control)" if one.control else one.label
        every = max(1, len(values) // 10)
        axes.plot(
            one.at, values, color=colour, linestyle=dash, marker=MARKS[i % len(MARKS)], markevery=every, label=label
        )
    axes.xaxis.set_major_locator(_whole())
    axes.margins(x=0.03)


def _boxes(axes: Any, picture: Picture, series: Sequence[Series]) -> None:
    step = 0.8 / len(series)
    labels = series[0].at
    for i, one in enumerate(series):
        colour = OKABE_ITO[i % len(OKABE_ITO)]
        places = [len(labels) - 1 - stage + 0.4 - step * (i + 0.5) for stage in range(len(labels))]
        drawn = axes.boxplot(
            one.values, positions=places, widths=0.8 * step, orientation="horizontal", patch_artist=True, manage_ticks=False,
            boxprops={"facecolor": colour, "alpha": 0.35, "edgecolor": colour}, medianprops={"color": colour, "linewidth": 1.8},
            whiskerprops={"color": colour}, capprops={"color": colour}, showfliers=False,
        )  # fmt: skip
        drawn["boxes"][0].set_label(one.label)
        for place, layers in zip(places, one.values, strict=True):  # every query is shown: there are few
            offsets = [((7 * k) % 5 - 2) / 5 * 0.5 * step for k in range(len(layers))]
            axes.plot(layers, [place + o for o in offsets], ".", color=colour, markersize=2.5, alpha=0.8)
            axes.annotate(
                f"{len(layers)}",
                (1.01, place),
                xycoords=("axes fraction", "data"),
                fontsize=6,
                va="center",
                color=colour,
            )
    axes.set_yticks(range(len(labels)), [str(label) for label in reversed(labels)])
    axes.xaxis.set_major_locator(_whole())


def _points(axes: Any, picture: Picture, series: Sequence[Series]) -> None:
    rows = list(dict.fromkeys(name for one in series for name in one.at))
    step = 0.6 / len(series)
    for i, one in enumerate(series):
        places = [len(rows) - 1 - rows.index(name) + 0.3 - step * (i + 0.5) for name in one.at]
        colour = OKABE_ITO[i % len(OKABE_ITO)]
        axes.hlines(places, one.low, one.high, color=colour, linewidth=1.1, alpha=0.7)
        axes.plot(one.values, places, MARKS[i % len(MARKS)], color=colour, label=one.label)
    axes.set_yticks(range(len(rows)), [name.replace("_", " ") for name in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.5)
    axes.set_axisbelow(True)


def _scaling(axes: Any, picture: Picture, series: Sequence[Series]) -> None:
    for one in series:
        axes.vlines(one.at, one.low, one.high, color=OKABE_ITO[0], linewidth=1.2, alpha=0.7)
        axes.plot(one.at, one.values, "o", color=OKABE_ITO[0])
        axes.annotate(one.label, (one.at[0], one.values[0]), xytext=(5, 3), textcoords="offset points", fontsize=6)
    axes.set_xscale("log")
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.margins(x=0.15)


def _whole() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True, nbins=8)


DRAW = {"heatmap": _heatmap, "curves": _curves, "boxes": _boxes, "points": _points, "scaling": _scaling}
