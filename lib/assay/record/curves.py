"""Curves: one metric for each point of a line, with the band around it, under the names that the report draws.

    >>> metrics = rate_curve("bridge_by_layer", [[False, True], [True, True]])      # for each prompt, a bool for each layer
    >>> metrics |= mean_curve("kl_by_layer", [[0.5, 2.0], [1.5, 2.0]])              # for each prompt, a number for each layer
    >>> {name: metric.value for name, metric in metrics.items() if not name.endswith("_ci")}
    {'bridge_by_layer': [0.5, 1.0], 'kl_by_layer': [1.0, 2.0]}

Curves give `NAME`, one number for each layer, and `NAME_ci`, its interval there (see `assay.report.figures`).
"""

from collections.abc import Sequence
from typing import Any

from assay.record.metric import Metric
from assay.stats import Interval, wilson


def rate_curve(name: str, flags: Sequence[Sequence[bool]], **options: Any) -> dict[str, Metric]:
    """For each layer the share of prompts, with Wilson intervals. `options` are those of `Metric`: tol, unit, control."""
    n, hits = len(flags), [sum(map(bool, column)) for column in zip(*flags, strict=True)]
    return _curve(name, [h / n for h in hits], [wilson(h, n) for h in hits], n, {"unit": "share of prompts", **options})


def mean_curve(
    name: str, rows: Sequence[Sequence[float]], bounds: Interval | None = None, **options: Any
) -> dict[str, Metric]:
    """For each layer the mean over prompts. `bounds` as for `Metric.mean`, `options` as for `rate_curve`."""
    means = [Metric.mean(list(map(float, column)), bounds) for column in zip(*rows, strict=True)]
    return _curve(name, [mean.value for mean in means], [mean.ci or () for mean in means], len(rows), options)


def _curve(
    name: str, values: list[float], band: Sequence[Sequence[float]], n: int, options: dict[str, Any]
) -> dict[str, Metric]:
    beside = {key: value for key, value in options.items() if key != "control"}
    return {
        name: Metric(values, n=n, **options),
        f"{name}_ci": Metric([list(ends) for ends in band], n=n, **beside),
    }
