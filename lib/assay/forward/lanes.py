"""Lanes: all cores of a machine for one forward pass, without changing a bit of it.

    >>> m = by_token(lambda x: block.mlp(block.norm(x)), x, work=3 * 1408)          # x [B, L, E]      # doctest: +SKIP
    >>> with use(1):                                                             # one core from here on
    ...     count()
    1

MLX's CPU backend gives each stream one thread, and the BLAS (`assay.blas`) uses one core for a product, so a forward pass on
one stream leaves the other cores idle. A *lane* is a CPU stream. Modules treat tokens one by one and attention treats heads
one by one, so their input is cut into parts, each lane computes one, and the results are joined. Every number is made by the
same operations as without lanes, with the reference BLAS in the same order too. All is built and awaited by the calling
thread: edits, errors and Ctrl-C behave as ever.

There are as many lanes as the process may use cores, shared among the workers of pytest-xdist; `ASSAY_LANES` asks for
another number. A GPU fills itself and gets one.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import mlx.core as mx

from assay.errors import AssayError
from assay.machine import cores, workers

LEAST_WORK = 2**19
"""Multiplications that make a lane worth its price, about 0.2 ms for cutting, waiting and joining."""

_chosen: ContextVar[int | None] = ContextVar("lanes", default=None)
_streams = threading.local()  # mlx's streams belong to the thread that made them


def count() -> int:
    """Lanes to use now. Raises AssayError when ASSAY_LANES is not a number of lanes."""
    if mx.default_device() != mx.cpu:
        return 1
    if (chosen := _chosen.get()) is not None:
        return chosen
    if (asked := os.environ.get("ASSAY_LANES")) is None:
        return max(1, cores() // workers())
    if not (asked.isascii() and asked.isdigit() and int(asked)):
        raise AssayError(f"ASSAY_LANES is the number of cores to use, a whole number from 1 on, got {asked!r}")
    return int(asked)


@contextmanager
def use(n: int) -> Iterator[None]:
    """Use n lanes inside a `with` block."""
    token = _chosen.set(n)
    try:
        yield
    finally:
        _chosen.reset(token)


def by_token(function: Callable[[mx.array], Any], x: mx.array, work: int, axis: int = 1) -> Any:
    """function(x) where x is [B, L, ...] and no token's result depends on another token.

    work: multiplications for each number in x. axis: which axis of the results counts positions; rows come first. Rows
    are cut, or positions where there are more of them.
    """
    if x.shape[0] >= x.shape[1]:
        return _in_lanes(function, (x,), 0, 0, x.size * work)
    return _in_lanes(function, (x,), 1, axis, x.size * work)


def by_head(function: Callable[..., mx.array], *arrays: mx.array, work: int) -> mx.array:
    """function(q, k, v, ...) where all arrays and the result are [B, heads, ...], some with several heads for each of k.

    Heads that share a key head stay together. work: multiplications in all.
    """
    return _in_lanes(function, arrays, 1, 1, work)


def _in_lanes(function: Callable[..., Any], arrays: tuple[mx.array, ...], axis: int, out: int, work: int) -> Any:
    """function(*arrays), cut along `axis` into a part for each useful lane; results joined along `out`."""
    units = min(array.shape[axis] for array in arrays)
    n = min(units, work // LEAST_WORK)
    if n < 2 or (n := min(n, count())) < 2:
        return function(*arrays)
    ends = [units * lane // n for lane in range(1, n)]
    cut = [mx.split(array, [end * (array.shape[axis] // units) for end in ends], axis) for array in arrays]
    results = []
    for stream, parts in zip(_lanes(n), zip(*cut, strict=True), strict=True):
        with mx.stream(stream):
            results.append(function(*parts))
    if isinstance(results[0], mx.array):
        return mx.concatenate(results, out)
    return tuple(mx.concatenate(list(parts), out) for parts in zip(*results, strict=True))


def _lanes(n: int) -> list[mx.Stream]:
    """This thread's lanes: the stream it uses anyway, and more that are kept for next time."""
    if not hasattr(_streams, "more"):
        _streams.more = []
    while len(_streams.more) < n - 1:
        _streams.more.append(mx.new_stream(mx.cpu))
    return [mx.default_stream(mx.cpu), *_streams.more[: n - 1]]
