"""Style: type, colours and lines that all figures share, and the library that draws them.

    >>> [colour(i) for i in range(8)].index(colour(7)), mark(1)      # seven series differ in colour
    (0, 's')

For print: type of 8 points at the width of two columns, lines that differ in dash as well as in colour, the colours of Okabe
and Ito and the viridis map, which people with any colour vision, and grey printers, tell apart.
"""

from typing import Any

from assay.report.library import library

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (6, 2, 1, 2)), (0, (2, 2)), "-")
MARKS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#767676"
NOT_MEASURED = "#EDEDED"
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


def styled() -> Any:
    """The context in which figures are made and saved."""
    return library("matplotlib").rc_context(STYLE)


def colour(i: int) -> str:
    """The colour of series number `i`."""
    return OKABE_ITO[i % len(OKABE_ITO)]


def mark(i: int) -> str:
    """The shape of the points of series number `i`."""
    return MARKS[i % len(MARKS)]


def whole_numbers(axis: Any) -> None:
    """An axis of layers or heads: ticks at whole numbers."""
    axis.set_major_locator(library("matplotlib.ticker").MaxNLocator(integer=True, nbins=8))
