"""Curves: one metric for each point of a line, with the band around it, under the names that the report draws.

    >>> metrics = rate_curve("bridge_by_layer", [[False, True], [True, True]])      # for each prompt, a bool for each layer
    >>> metrics |= mean_curve("kl_by_layer", [[0.5, 2.0], [1.5, 2.0]])              # for each prompt, a number for each layer
    >>> metrics["first_layer"] = mean_or_nan([])                                    # the event happens on no prompt
    >>> {name: metric.value for name, metric in metrics.items() if not name.endswith("_ci")}
    {'bridge_by_layer': [0.5, 1.0], 'kl_by_layer': [1.0, 2.0], 'first_layer': nan}

Curves give `NAME`, one number for each layer, and `NAME_ci`, its interval there (see `assay.report.figures`).
"""

import math
from collections.abc import Sequence
from typing import Any

from assay.record.metric import Metric
from assay.stats import bootstrap_mean, wilson


def rate_curve(name: str, flags: Sequence[Sequence[bool]], **options: Any) -> dict[str, Metric]:
    """For each layer the share of prompts, with Wilson intervals. `options` are those of `Metric`: tol, unit, control."""
    n, hits = len(flags), [sum(map(bool, column)) for column in zip(*flags, strict=True)]
    return _curve(name, [h / n for h in hits], [wilson(h, n) for h in hits], n, {"unit": "share of prompts", **options})


def mean_curve(name: str, rows: Sequence[Sequence[float]], **options: Any) -> dict[str, Metric]:
    """For each layer the mean over prompts, two or more, with bootstrap intervals. `options` as for `rate_curve`."""
    columns = [list(map(float, column)) for column in zip(*rows, strict=True)]
    means = [sum(column) / len(column) for column in columns]
    return _curve(name, means, [bootstrap_mean(column) for column in columns], len(rows), options)


def mean_or_nan(values: Sequence[float], **options: Any) -> Metric:
    """`Metric.mean`; for fewer than two values NaN with an interval of NaN, for which <, > and == are False."""
    if len(values) > 1:
        return Metric.mean(values, **options)
    return Metric(math.nan, n=len(values), ci=(math.nan, math.nan), **options)


def _curve(
    name: str, values: list[float], band: list[tuple[float, float]], n: int, options: dict[str, Any]
) -> dict[str, Metric]:
    beside = {key: value for key, value in options.items() if key != "control"}
    return {
        name: Metric(values, n=n, **options),
        f"{name}_ci": Metric([list(ends) for ends in band], n=n, **beside),
    }
