"""Timing: ratios of two functions in one process, run in turns, so that a busy machine slows both.

    >>> ratio, (low, high) = paired_ratio(lambda: sum(range(9_000)), lambda: sum(range(90_000)), rounds=9)
    >>> low <= ratio <= high
    True

MLX is lazy: the time of a function without `mx.eval` is that of building a graph. Both functions must end in `mx.eval`.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any


def seconds(function: Callable[[], Any]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def paired_ratio(
    base: Callable[[], Any], other: Callable[[], Any], rounds: int = 30, warmup: int = 2
) -> tuple[float, tuple[float, float]]:
    """Median of time(other) / time(base) over rounds that alternate which goes first, and its quartiles."""
    for _ in range(warmup):
        base()
        other()
    ratios = []
    for i in range(rounds):
        if i % 2:
            b = seconds(other)
            a = seconds(base)
        else:
            a = seconds(base)
            b = seconds(other)
        ratios.append(b / a)
    low, _, high = statistics.quantiles(ratios, n=4)
    return statistics.median(ratios), (low, high)


def medians(*functions: Callable[[], Any], rounds: int = 3, warmup: bool = True) -> list[float]:
    """Median seconds of several functions, run in turns; with `warmup`, one discarded call of each first."""
    for function in functions if warmup else ():
        function()
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, column in zip(functions, times, strict=True):
            column.append(seconds(function))
    return [statistics.median(column) for column in times]
