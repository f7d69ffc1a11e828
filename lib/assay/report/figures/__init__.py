"""Figures: the name of a metric decides which figure it makes.

    >>> kind, rule = kind_of("effect_by_layer_head")
    >>> kind.name, rule.x, rule.y, rule.words("effect_by_layer_head")
    ('heatmap', 'head', 'layer', 'effect')

A suite gets figures by naming its metrics as follows:

    name                value                                             figure
    heatmap, heatmap_*  rows [source][target] of numbers                  heatmap, source layer x target layer
    *_by_layer_head     rows [layer][head]                                heatmap, layer x head
    *_matrix            rows [i][j]; labels in *_matrix_labels            heatmap with named rows and columns
    *_by_layer          one number for each layer                         curves, those with one control together
    *_by_count          pairs [count, number]                             curves over counts
    stages_*            for each stage, a list of layers; stages_labels   box plots, right and wrong side by side
    scaling_*           one number with an interval                       against the size of the models
    any other           one number with an interval                       points and intervals, all of an experiment together

A metric `NAME` may be accompanied by:

    NAME_ci             pairs [low, high], one for each number of a curve: the band around it
    NAME_labels         the names of rows and columns of a matrix: one list for both, or {"rows": [..], "columns": [..]}
    NAME_axes           names of a heatmap's axes, [x, y], if they differ from those of its kind
    control=            the name of the control: a curve's control is drawn in the same axes, dashed

None (`null`) is a cell or a point that was not measured: it is left blank. `unit` labels the axis. Every model that has
the metric is a panel of the figure. A value of another shape than its name says makes no figure; it stands in the page's table.

A new kind of figure is one file that defines a `KIND`, and an entry in `KINDS`.
"""

import re
from dataclasses import replace

from assay.report.figures import boxes, curves, heatmap, points, scaling
from assay.report.figures.picture import Kind, Picture, Rule, caption
from assay.report.read import Recorded, words

KINDS = (heatmap.KIND, curves.KIND, boxes.KIND, scaling.KIND, points.KIND)
"""The kinds of figures, in the order of the page. A name is of the first kind that has a rule for it."""

BESIDE = re.compile(r".+_(ci|labels|axes)")


def kind_of(name: str) -> tuple[Kind, Rule] | None:
    """The kind of figure that a metric of this name makes, and its rule; None if no rule fits, or if it accompanies another."""
    if BESIDE.fullmatch(name):
        return None
    return next(((kind, rule) for kind in KINDS for rule in kind.rules if rule.fits(name)), None)


def pictures(recorded: Recorded, title: str = "") -> list[Picture]:
    """All figures of one experiment, kind by kind, each kind in the order in which its metrics were recorded.

    title: of the experiment; by default its name in words.
    """
    rules: dict[str, dict[str, Rule]] = {kind.name: {} for kind in KINDS}
    for name in recorded.names:
        if of := kind_of(name):
            rules[of[0].name][name] = of[1]
    made = (picture for kind in KINDS for picture in kind.plan(recorded, rules[kind.name]))
    return [_entitled(picture, recorded, title) for picture in made if picture.panels]


def _entitled(picture: Picture, recorded: Recorded, title: str) -> Picture:
    """The picture with its experiment in the file's name, the title and the caption."""
    of = kind_of(recorded.name)
    experiment = title or (of[1].words(recorded.name) if of else words(recorded.name))
    whole = f"{experiment}: {picture.title}" if picture.title else experiment
    named = replace(picture, stem=f"{recorded.name}-{picture.stem}", title=whole)
    return replace(named, caption=caption(named, recorded))
