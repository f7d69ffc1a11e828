"""Boxes: for each stage of a computation, in which layers it happens; one point for each query.

    >>> RULE.words("stages_lens_right")
    'lens right'

One figure for the groups of one instrument: `stages_lens_right` and `stages_lens_wrong` side by side.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assay.report.figures.picture import Kind, Picture, Rule, Series, is_line
from assay.report.figures.style import colour, whole_numbers
from assay.report.read import Recorded

RULE = Rule("stages_(.+)", "layer")
LABELS = "stages_labels"
DENSITY = (0.2, 0.6)
"""Right and wrong are told apart without colour."""


def plan(recorded: Recorded, named: Mapping[str, Rule]) -> Iterator[Picture]:
    groups: dict[str, list[str]] = {}
    for name in named:
        groups.setdefault(name.rpartition("_")[0], []).append(name)
    for group, names in groups.items():
        panels = {}
        for model, metrics in recorded.models.items():
            labels = metrics[LABELS].value if LABELS in metrics else None
            found = {name: metrics[name] for name in names if name in metrics and _are_stages(metrics[name].value)}
            if found:
                panels[model] = [
                    Series(name.rpartition("_")[2], labels or range(len(m.value)), m.value, n=m.n, shows=[name, LABELS])
                    for name, m in found.items()
                ]
        yield Picture(KIND, group, RULE.words(group), RULE.x, RULE.y, panels, names)


def _are_stages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(stage == [] or is_line(stage) for stage in value)


def draw(axes: Any, picture: Picture, series: Sequence[Series]) -> None:
    step = 0.8 / len(series)
    labels = series[0].at
    for i, one in enumerate(series):
        ink = colour(i)
        places = [len(labels) - 1 - stage + 0.4 - step * (i + 0.5) for stage in range(len(labels))]
        drawn = axes.boxplot(
            one.values, positions=places, widths=0.8 * step, orientation="horizontal", patch_artist=True, manage_ticks=False,
            boxprops={"facecolor": ink, "alpha": DENSITY[i % len(DENSITY)], "edgecolor": ink},
            medianprops={"color": ink, "linewidth": 1.8}, whiskerprops={"color": ink}, capprops={"color": ink}, showfliers=False,
        )  # fmt: skip
        drawn["boxes"][0].set_label(one.label)
        for place, layers in zip(places, one.values, strict=True):  # every query is shown: there are few
            offsets = [((7 * k) % 5 - 2) / 5 * 0.5 * step for k in range(len(layers))]
            axes.plot(layers, [place + o for o in offsets], ".", color=ink, markersize=2.5, alpha=0.8)
            end = {"xycoords": ("axes fraction", "data"), "va": "center"}
            axes.annotate(f"{len(layers)}", (1.01, place), fontsize=6, color=ink, **end)
    axes.set_yticks(range(len(labels)), [str(label) for label in reversed(labels)])
    whole_numbers(axes.xaxis)


KIND = Kind("boxes", (RULE,), plan, draw, wide=True)
