"""A sheet: the panels of a picture on one figure, with titles, axes and a legend, as vector files.

    >>> from assay.report.figures import curves
    >>> panels = {"llama_tiny": [Series("e1", range(3), [0.1, 0.5, 0.2])]}
    >>> save(figure := draw(Picture(curves.KIND, "e1", "e1", "layer", "share", panels)), Path("figures"), "e1")
    [PosixPath('figures/e1.svg'), PosixPath('figures/e1.pdf')]
    >>> [(left, top, width, height)] = boxes(figure, 1)
    >>> 0 < left < left + width < 1, 0 < top < top + height < 1
    (True, True)

Files of the same numbers are equal byte for byte.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.report.figures.picture import Picture, Series, count
from assay.report.figures.style import styled
from assay.report.library import library

WIDTH = 7.0  # inches: two columns of print


def draw(picture: Picture) -> Any:
    """The figure of a picture (`matplotlib.figure.Figure`), laid out and labelled."""
    with styled():
        kind, n = picture.kind, len(picture.panels)
        rows = math.ceil(n / picture.columns)
        columns = math.ceil(n / rows)
        width = WIDTH if columns > 1 or kind.wide else WIDTH * 0.6
        size = (width, rows * kind.height(picture, width / columns) + 0.45)
        figure = library("matplotlib.figure").Figure(figsize=size, layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharey=kind.share_y)
        flat, images = list(grid.flat), []
        for axes, (model, series) in zip(flat, picture.panels.items(), strict=False):
            images.append(kind.draw(axes, picture, series))
            axes.set_title(_heading(model, series))
        for axes in flat[n:]:
            axes.set_axis_off()
        for column in range(columns):  # the lowest panel of each column names the axis
            lowest = [flat[row * columns + column] for row in range(rows) if row * columns + column < n][-1]
            lowest.set_xlabel(picture.x)
        for row in range(rows):
            grid[row, 0].set_ylabel(picture.y)
        if images[0] is not None:  # the colours mean the same in all panels
            bar = figure.colorbar(images[0], ax=flat[:n], fraction=0.04, pad=0.02, shrink=0.8)
            bar.outline.set_visible(False)
        figure.suptitle(picture.title, fontweight="bold")
        handles, labels = flat[0].get_legend_handles_labels()
        if len(labels) > 1:
            figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4))
        return figure


def save(figure: Any, folder: Path, stem: str) -> list[Path]:
    """Writes `stem`.svg and `stem`.pdf without a date, so that the same numbers give the same files."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, and not again for every file
    paths = [folder / f"{stem}.svg", folder / f"{stem}.pdf"]
    with styled():
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1], metadata={"CreationDate": None})
    return paths


def boxes(figure: Any, panels: int) -> list[tuple[float, float, float, float]]:
    """Where each panel's axes lie in a saved figure: left, top, width and height, as shares of the picture from its top left."""
    found = [axes.get_position() for axes in figure.axes[:panels]]
    shares = [(b.x0, 1 - b.y1, b.width, b.height) for b in found]
    return [(round(float(x), 5), round(float(y), 5), round(float(w), 5), round(float(h), 5)) for x, y, w, h in shares]


def _heading(model: str, series: Sequence[Series]) -> str:
    """The title of a panel; a single panel for all models has none."""
    return "  ".join(filter(None, [model, count({one.n for one in series if one.n is not None})])) if model else ""
