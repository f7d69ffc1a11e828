"""Curves: one number for each layer, or for each count, with a band around it.

    >>> common(["right_e1_by_layer", "right_r1_by_layer"])
    'right'

One figure for all curves with the same control and unit, and one for each curve without a control.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assay.record.metric import Metric
from assay.report.figures.picture import Kind, Picture, Rule, Series, blank, is_line, is_table
from assay.report.figures.style import DASHES, GREY, colour, mark, whole_numbers
from assay.report.read import Recorded

RULES = (Rule("(.+)_by_layer", "layer"), Rule("(.+)_by_count", "number"))


def plan(recorded: Recorded, named: Mapping[str, Rule]) -> Iterator[Picture]:
    groups: dict[tuple[Rule, str, str], list[str]] = {}
    controls = {metric.control for metrics in recorded.models.values() for metric in metrics.values()}
    for name, rule in named.items():
        metric = next((metric for metric in recorded.of(name).values() if _is_curve(metric.value)), None)
        if name not in controls and metric is not None:
            groups.setdefault((rule, metric.unit, metric.control or name), []).append(name)
    for (rule, unit, control), names in groups.items():
        shown = names if control in names else [*names, control]
        start = common(names) if len(names) > 1 else ""
        label = {name: rule.words(name.removeprefix(f"{start}_") if start else name) for name in shown}
        panels = {}
        for model, metrics in recorded.models.items():
            lines = [name for name in shown if name in metrics and _is_curve(metrics[name].value)]
            if not set(names).isdisjoint(lines):
                panels[model] = [_series(metrics, name, label[name], name not in names) for name in lines]
        stem = names[0] if len(names) == 1 else f"{start or 'curves'}_against_{control}"
        yield Picture(KIND, stem, rule.words(start or names[0]), rule.x, unit or rule.words(names[0]), panels, shown)


def _is_curve(value: Any) -> bool:
    """Numbers, or pairs [count, number]; some numbers may be None."""
    return is_line(value) or (is_table(value) and len(value[0]) == 2)


def _series(metrics: Mapping[str, Metric], name: str, label: str, control: bool) -> Series:
    value = metrics[name].value
    pairs = value if is_table(value) else list(enumerate(value))
    at, values, ends = [x for x, _ in pairs], [y for _, y in pairs], f"{name}_ci"
    band = metrics[ends].value if ends in metrics else []
    shows = [name, ends] if is_table(band) and len(band) == len(values) else [name]
    low, high = ([pair[i] for pair in band] if ends in shows else [] for i in (0, 1))
    return Series(label, at, values, low, high, metrics[name].n, control, shows)


def common(names: Sequence[str]) -> str:
    """The words that all names begin with."""
    columns = zip(*(name.split("_") for name in names), strict=False)
    same = itertools.takewhile(lambda column: len(set(column)) == 1, columns)
    return "_".join(column[0] for column in same)


def draw(axes: Any, picture: Picture, series: Sequence[Series]) -> None:
    for i, one in enumerate(series):
        ink = GREY if one.control else colour(i)
        if one.low:
            axes.fill_between(one.at, one.low, one.high, color=ink, alpha=0.12, linewidth=0)
        axes.plot(
            one.at,
            blank(one.values),
            color=ink,
            linestyle=(0, (1, 1)) if one.control else DASHES[i % len(DASHES)],
            marker=mark(i),
            markevery=max(1, len(one.values) // 10),
            label=f"{one.label} (control)" if one.control else one.label,
        )
    whole_numbers(axes.xaxis)
    axes.margins(x=0.03)


KIND = Kind("curves", RULES, plan, draw, share_y=True)
