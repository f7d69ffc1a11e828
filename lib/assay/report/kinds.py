"""Kinds of figures: how the name of a metric says what picture it makes.

    >>> kind_of("heatmap_back").draw, kind_of("kl_by_layer").x, kind_of("n_queries")
    ('heatmap', 'layer', None)

A suite that names its metrics in this way has its figures drawn, and nothing else is asked of it:

    name                value                                             figure
    heatmap, heatmap_*  rows [source][target] of numbers                  heatmap, source layer x target layer
    *_by_layer_head     rows [layer][head]                                heatmap, layer x head
    *_matrix            rows [i][j]; labels in *_matrix_labels            heatmap with named rows and columns
    *_by_layer          one number for each layer                         curves, those with one control together
    *_by_count          pairs [count, number]                             curves over counts
    stages_*            for each stage, a list of layers; stages_labels   box plots, right and wrong side by side
    scaling_*           one number with an interval                       against the size of the models
    any other           one number with an interval                       points and intervals, all of an experiment together

Beside a metric `NAME` may stand:

    NAME_ci             pairs [low, high], one for each number of a curve: the band around it
    NAME_labels         the names of rows and columns of a matrix: one list for both, or {"rows": [..], "columns": [..]}
    NAME_axes           what the axes of a heatmap are called, [x, y], when they are not those of its kind
    control=            the metric that says what chance would give: a curve has it in the same axes, dashed

None (`null`) is a cell or a point that was not measured: it is left blank. `unit` goes to the axis. Every model that has
the metric is a panel of the figure.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of figure: which names it is for, how it is drawn, and what its axes are called."""

    name: str
    draw: str
    x: str
    y: str


KINDS = (
    Kind(r"heatmap(_.+)?", "heatmap", "target layer", "source layer"),
    Kind(r".+_by_layer_head", "heatmap", "head", "layer"),
    Kind(r".+_matrix", "heatmap", "", ""),
    Kind(r".+_by_layer", "curves", "layer", ""),
    Kind(r".+_by_count", "curves", "number", ""),
    Kind(r"stages_.+", "boxes", "layer", ""),
    Kind(r"scaling_.+", "scaling", "weights in memory [GiB]", ""),
)
BESIDE = re.compile(r".+_(ci|labels|axes)")


def kind_of(name: str) -> Kind | None:
    """The kind of figure that a metric of this name makes; None for a plain number, or for what stands beside another."""
    if BESIDE.fullmatch(name):
        return None
    return next((kind for kind in KINDS if re.fullmatch(kind.name, name)), None)
