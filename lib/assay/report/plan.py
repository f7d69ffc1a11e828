"""Pictures: which figures an experiment makes, as plain values; nothing is drawn here.

    >>> for picture in pictures(recorded):                                                       # doctest: +SKIP
    ...     print(picture.stem, picture.draw, list(picture.panels))
    backpatch_t1-heatmap_back heatmap ['llama_tiny', 'qwen7b']

A picture has one panel for each model, and in a panel one or more *series*: a table, a curve with its band, the boxes of one
group, or points. The rules are those of `assay.report.kinds`.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.record.metric import Metric
from assay.report.kinds import Kind, kind_of
from assay.report.read import Recorded, size


@dataclass(frozen=True)
class Series:
    """One thing to draw: `values` by `at` (layers, counts, or names), `low` and `high` around them where they are known."""

    label: str
    at: Sequence[Any]
    values: Any
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    n: int | None = None
    control: bool = False


@dataclass(frozen=True)
class Picture:
    """One figure: how it is drawn ("heatmap", "curves", "boxes", "points", "scaling"), and a list of series for each panel."""

    stem: str
    draw: str
    title: str
    x: str
    y: str
    panels: Mapping[str, Sequence[Series]]
    span: tuple[float, float] | None = None  # of the colours of a heatmap, the same in all panels
    labels: tuple[Sequence[str], Sequence[str]] | None = None  # of its rows and columns, when they have names
    caption: str = field(default="", compare=False)


def pictures(recorded: Recorded) -> list[Picture]:
    """All figures of one experiment, in the order in which its metrics were recorded."""
    found = [*_heatmaps(recorded), *_curves(recorded), *_boxes(recorded), *_scaling(recorded), *_points(recorded)]
    return [picture for picture in found if picture.panels]


def readable(name: str) -> str:
    """A metric's name as words: without underscores, and without what its kind adds."""
    for ending in ("_by_layer_head", "_by_layer", "_by_count", "_matrix"):
        name = name.removesuffix(ending)
    for start in ("heatmap_", "stages_", "scaling_"):
        name = name.removeprefix(start)
    return name.replace("_", " ")


def names_of(recorded: Recorded, draw: str) -> list[tuple[str, Kind]]:
    """The metrics of one kind of drawing, over all models."""
    names = dict.fromkeys(name for metrics in recorded.models.values() for name in metrics)
    kinds = [(name, kind) for name in names if (kind := kind_of(name)) is not None]
    return [(name, kind) for name, kind in kinds if kind.draw == draw]


# --- heatmaps ---------------------------------------------------------------------------------------------


def _heatmaps(recorded: Recorded) -> Iterator[Picture]:
    """One figure for each table. All tables of one kind in an experiment share their colours, so that they can be compared."""
    names = names_of(recorded, "heatmap")
    for name, kind in names:
        panels, labels, x, y = {}, None, kind.x, kind.y
        for model, metrics in recorded.models.items():
            if name not in metrics or not _is_table(metrics[name].value):
                continue
            table = metrics[name].value
            panels[model] = [Series(readable(name), range(len(table)), table, n=metrics[name].n)]
            labels = _labels(metrics.get(f"{name}_labels"), table) or labels
            if f"{name}_axes" in metrics:
                x, y = metrics[f"{name}_axes"].value
        together = [other for other, other_kind in names if other_kind == kind]
        yield Picture(
            f"{recorded.name}-{name}", "heatmap", f"{readable(recorded.name)}: {readable(name)}", x, y, panels,
            span=_span(metrics[other].value for other in together for metrics in recorded.models.values() if other in metrics),
            labels=labels,
            caption=_caption(recorded, [name], panels),
        )  # fmt: skip


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, list) and row for row in value)


def _labels(metric: Metric | None, table: list[list[Any]]) -> tuple[Sequence[str], Sequence[str]] | None:
    if metric is None:
        return None
    given = metric.value
    rows, columns = (given["rows"], given["columns"]) if isinstance(given, dict) else (given, given)
    fits = len(rows) == len(table) and len(columns) == len(table[0])
    return (list(map(str, rows)), list(map(str, columns))) if fits else None


def _span(tables: Iterable[Any]) -> tuple[float, float]:
    """The range of all numbers, from 0 on; the same on both sides of 0 when some are below it."""
    numbers = [v for table in tables if _is_table(table) for row in table for v in row if _is_number(v)]
    low, high = min(numbers, default=0.0), max(numbers, default=0.0)
    if low < 0:
        return -max(-low, high), max(-low, high)
    return 0.0, high or 1.0


# --- curves -----------------------------------------------------------------------------------------------


def _curves(recorded: Recorded) -> Iterator[Picture]:
    """One figure for all curves with the same control and unit, and one for each curve without a control."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    controls = {m.control for metrics in recorded.models.values() for m in metrics.values() if m.control}
    for name, kind in names_of(recorded, "curves"):
        metric = next(metrics[name] for metrics in recorded.models.values() if name in metrics)
        if name not in controls and _is_curve(metric.value):
            groups.setdefault((kind, metric.unit, metric.control or name), []).append(name)
    for (kind, unit, control), names in groups.items():
        beside = [control] if control not in names else []
        common = _common(names) if len(names) > 1 else ""
        panels = {
            model: [_curve(metrics, line, common, line in beside) for line in (*names, *beside) if line in metrics]
            for model, metrics in recorded.models.items()
            if any(name in metrics for name in names)
        }
        stem = names[0] if len(names) == 1 else f"{common or 'curves'}_against_{control}"
        title = f"{readable(recorded.name)}: {readable(common or names[0])}"
        caption = _caption(recorded, [*names, *beside], panels)
        yield Picture(
            f"{recorded.name}-{stem}", "curves", title, kind.x, unit or readable(names[0]), panels, caption=caption
        )


def _is_curve(value: Any) -> bool:
    """Numbers, or pairs with a number; some may be None. A list of words is no curve."""
    if not isinstance(value, list) or not value:
        return False
    points = [item[-1] if isinstance(item, list) and len(item) == 2 else item for item in value]
    return all(point is None or isinstance(point, int | float) for point in points)


def _curve(metrics: Mapping[str, Metric], name: str, common: str, control: bool) -> Series:
    value = metrics[name].value
    pairs = value if _is_table(value) else list(enumerate(value))
    band = metrics[f"{name}_ci"].value if f"{name}_ci" in metrics else []
    at, values = [x for x, _ in pairs], [y for _, y in pairs]
    low, high = ([ends[i] for ends in band] for i in (0, 1))
    label = readable(name.removeprefix(f"{common}_")) if common else readable(name)
    return Series(label, at, values, low, high, metrics[name].n, control)


def _common(names: Sequence[str]) -> str:
    """The words that all names begin with."""
    columns = list(zip(*(name.split("_") for name in names), strict=False))
    same = itertools.takewhile(lambda column: len(set(column)) == 1, columns)
    return "_".join(column[0] for column in same)


# --- boxes ------------------------------------------------------------------------------------------------


def _boxes(recorded: Recorded) -> Iterator[Picture]:
    """One figure for the groups of one instrument: `stages_lens_right` and `stages_lens_wrong` side by side."""
    groups: dict[str, list[str]] = {}
    for name, _ in names_of(recorded, "boxes"):
        groups.setdefault(name.rpartition("_")[0], []).append(name)
    for group, names in groups.items():
        panels = {}
        for model, metrics in recorded.models.items():
            labels = metrics["stages_labels"].value if "stages_labels" in metrics else None
            panels[model] = [
                Series(
                    name.rpartition("_")[2],
                    labels or range(len(metrics[name].value)),
                    metrics[name].value,
                    n=metrics[name].n,
                )
                for name in names
                if name in metrics
            ]
        panels = {model: series for model, series in panels.items() if series}
        title = f"{readable(recorded.name)}: {readable(group + '_') or 'stages'}".rstrip(": ")
        caption = _caption(recorded, names, panels)
        yield Picture(f"{recorded.name}-{group}", "boxes", title, "layer", "", panels, caption=caption)


# --- single numbers ---------------------------------------------------------------------------------------


def _scaling(recorded: Recorded) -> Iterator[Picture]:
    """One figure for each number that is compared between models of several sizes."""
    for name, kind in names_of(recorded, "scaling"):
        have = [model for model, metrics in recorded.models.items() if name in metrics and metrics[name].ci]
        sizes = {model: size(model) for model in have}
        if len({gib for gib in sizes.values() if gib}) < 2:
            continue
        series = [_point(model, recorded.models[model][name], sizes[model]) for model in have if sizes[model]]
        unit = recorded.models[have[0]][name].unit
        panels, title = {"": series}, f"{readable(recorded.name)}: {readable(name)}"
        caption = _caption(recorded, [name], panels)
        yield Picture(f"{recorded.name}-{name}", "scaling", title, kind.x, unit, panels, caption=caption)


def _points(recorded: Recorded) -> Iterator[Picture]:
    """One figure for all numbers with an interval that have one unit: a row for each, a mark for each model."""
    units: dict[str, dict[str, None]] = {}
    for name in dict.fromkeys(name for metrics in recorded.models.values() for name in metrics):
        for metrics in recorded.models.values():
            if name in metrics and metrics[name].ci and _is_number(metrics[name].value):
                units.setdefault(metrics[name].unit, {})[name] = None
    for unit, names in units.items():
        rows = {
            model: [_point(name, metrics[name], name) for name in names if name in metrics and metrics[name].ci]
            for model, metrics in recorded.models.items()
        }
        series = [_together(model, points) for model, points in rows.items() if points]
        stem = f"{recorded.name}-numbers" + (f"_{unit}" if unit else "")
        panels = {"": series}
        caption = _caption(recorded, [], panels)
        yield Picture(
            stem,
            "points",
            readable(recorded.name),
            unit or "share, or difference of shares",
            "",
            panels,
            caption=caption,
        )


def _point(label: str, metric: Metric, at: Any) -> Series:
    low, high = metric.ci or (math.nan, math.nan)
    return Series(label, [at], [metric.value], [low], [high], metric.n)


def _together(label: str, points: Sequence[Series]) -> Series:
    pick: Callable[[str], list[Any]] = lambda part: [getattr(point, part)[0] for point in points]  # noqa: E731
    return Series(
        label, pick("at"), pick("values"), pick("low"), pick("high"), n=min((p.n or 0 for p in points), default=None)
    )


# --- captions ---------------------------------------------------------------------------------------------


def _caption(recorded: Recorded, names: Sequence[str], panels: Mapping[str, Sequence[Series]]) -> str:
    """What a reader must know: what is shown, of how many, at which tier, and what the bands are."""
    ns = {model: {s.n for s in series if s.n is not None} for model, series in panels.items()}
    counts = "; ".join(f"{m + ': ' if m else ''}n = {_range(found)}" for m, found in ns.items() if found)
    banded = any(any(low is not None for low in s.low) for series in panels.values() for s in series)
    shown = ", ".join(names)
    parts = [f"{recorded.name}{': ' + shown if shown else ''} (tier {recorded.tier})", counts]
    parts += ["Bands and bars are 95 % intervals" if banded else ""]
    return ". ".join(part for part in parts if part) + "."


def _range(found: set[int]) -> str:
    return str(min(found)) if len(found) == 1 else f"{min(found)} to {max(found)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
