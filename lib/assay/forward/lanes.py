"""Lanes: all cores of a machine for one forward pass, or for many that share nothing.

    >>> x, linear = mx.ones((1, 7, 128)), lm.family.output(0)
    >>> by_token(linear, x, lm.width).shape                                        # x [B, L, E], in as many parts as pay
    (1, 7, 128)
    >>> with use(1):                                                             # one core from here on
    ...     count()
    1

MLX's CPU backend gives each stream one thread, and the BLAS (`assay.blas`) uses one core for a product, so a forward pass on
one stream leaves the other cores idle. A *lane* is a CPU stream. Modules treat tokens one by one and attention treats heads
one by one, so their input is cut into parts, each lane computes one, and the results are joined. With the reference BLAS every
number is what it is without lanes, bit for bit; elsewhere within rounding (`assay.forward.exactness`). All of that is built and
awaited by the calling thread. `abreast` is the other way: long pieces of work, each on a thread of its own with one lane. In
both, errors and Ctrl-C reach the caller.

There are as many lanes as the process may use cores, shared among the workers of pytest-xdist; `ASSAY_LANES` asks for
another number. A GPU fills itself and gets one.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import cache
from typing import Any, TypeVar

import mlx.core as mx

from assay.errors import AssayError
from assay.forward import backends
from assay.machine import cores, workers

LEAST_WORK = 2**19
"""Multiplications that make a lane worth its price, about 0.2 ms for cutting, waiting and joining."""

Part = TypeVar("Part")
Result = TypeVar("Result")

_chosen: ContextVar[int | None] = ContextVar("lanes", default=None)
_halt: ContextVar[threading.Event | None] = ContextVar("halt", default=None)
_streams = threading.local()  # mlx's streams belong to the thread that made them


def count() -> int:
    """Lanes to use now. Raises AssayError when ASSAY_LANES is not a number of lanes."""
    if not backends.limits().threads:
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
    along = token_axis(x)
    return _in_lanes(function, (x,), along, axis if along else 0, x.size * work)


def token_axis(x: mx.array) -> int:
    """The axis along which [B, L, ...] is cut: rows, or positions where there are more of them."""
    return 0 if x.shape[0] >= x.shape[1] else 1


def by_head(function: Callable[..., mx.array], *arrays: mx.array, work: int) -> mx.array:
    """function(q, k, v, ...) where all arrays and the result are [B, heads, ...], some with several heads for each of k.

    Heads that share a key head stay together. work: multiplications in all.
    """
    return _in_lanes(function, arrays, 1, 1, work)


def abreast(function: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """[function(part) for part in parts], all at once: each on a thread of its own, which has one lane.

    For work that is long and shares nothing, such as the rows of a sweep: it waits for nobody until its end. When one part
    fails, or the caller is interrupted, the others end at their next `rest`, and the error is raised.
    """
    if len(parts) == 1:
        return [function(parts[0])]
    halt = threading.Event()

    def work(part: Part) -> Result:
        _halt.set(halt)
        with use(1):
            return function(part)

    pool, futures = threads(len(parts)), []
    try:
        futures += [pool.submit(copy_context().run, work, part) for part in parts]
        wait(futures, return_when=FIRST_EXCEPTION)
    finally:
        halt.set()
        wait(futures)
    errors = [error for future in futures if (error := future.exception())]
    if errors:
        raise next((error for error in errors if not isinstance(error, Halted)), errors[0])
    return [future.result() for future in futures]


def one_at_a_time(function: Callable[[Part], Result]) -> Callable[[Part], Result]:
    """The function, for threads: each call waits until the one before it has ended."""
    lock = threading.Lock()

    def locked(part: Part) -> Result:
        with lock:
            return function(part)

    return locked


def rest() -> None:
    """Called now and then by long work: ends it when it runs abreast of a part that failed, or was interrupted."""
    if (halt := _halt.get()) is not None and halt.is_set():
        raise Halted("another part of this work has ended it")


class Halted(Exception):
    """Ends a thread whose result nobody waits for."""


@cache
def threads(n: int) -> ThreadPoolExecutor:
    """Threads that stay: each of mlx's streams belongs to one."""
    return ThreadPoolExecutor(n, "assay-lane")


def _in_lanes(function: Callable[..., Any], arrays: tuple[mx.array, ...], axis: int, out: int, work: int) -> Any:
    """function(*arrays), cut along `axis` into a part for each useful lane; results joined along `out`."""
    return join(each(function, cut(arrays, axis, work)), out)


def cut(arrays: tuple[mx.array, ...], axis: int, work: int) -> list[tuple[mx.array, ...]]:
    """A part of all arrays for each useful lane."""
    units = min(array.shape[axis] for array in arrays)
    n = min(units, work // LEAST_WORK)
    if n < 2 or (n := min(n, count())) < 2:
        return [arrays]
    ends = [units * lane // n for lane in range(1, n)]
    parts = [mx.split(array, [end * (array.shape[axis] // units) for end in ends], axis) for array in arrays]
    return list(zip(*parts, strict=True))


def each(function: Callable[..., Any], parts: Sequence[tuple[Any, ...]]) -> list[Any]:
    """function(*part) for each part, each on its lane."""
    if len(parts) == 1:
        return [function(*parts[0])]
    results = []
    for stream, part in zip(_lanes(len(parts)), parts, strict=True):
        with mx.stream(stream):
            results.append(function(*part))
    return results


def join(results: list[Any], axis: int) -> Any:
    """What the lanes made, joined along an axis: one array, or a tuple of them."""
    if len(results) == 1:
        return results[0]
    if isinstance(results[0], mx.array):
        return mx.concatenate(results, axis)
    return tuple(mx.concatenate(list(parts), axis) for parts in zip(*results, strict=True))


def _lanes(n: int) -> list[mx.Stream]:
    """This thread's lanes: the stream it uses anyway, and more that are kept for next time."""
    if not hasattr(_streams, "more"):
        _streams.more = []
    while len(_streams.more) < n - 1:
        _streams.more.append(mx.new_stream(mx.cpu))
    return [mx.default_stream(mx.cpu), *_streams.more[: n - 1]]
