"""Lanes: all cores of a machine for one forward pass, or for several independent ones.

    >>> x, linear = mx.ones((1, 7, 128)), lm.family.output(0)
    >>> by_token(linear, x, lm.width).shape                                        # x [B, L, E], in as many parts as pay
    (1, 7, 128)
    >>> with use(1):                                                             # one core from here on
    ...     count()
    1

MLX's CPU backend runs each stream on one thread, and the BLAS (`assay.blas`) computes a product on one core, so a forward pass
on one stream leaves the other cores idle. A *lane* is a CPU stream. Tokens are independent in MLPs and norms, heads in
attention, so an input is cut into parts, each lane computes one, and the results are concatenated. With the reference BLAS
lanes change no bit; elsewhere only the rounding (`assay.forward.exactness`). `by_token` and `by_head` do this from the calling
thread; `abreast` runs long pieces of work on threads of their own, with one lane each. Errors and Ctrl-C reach the caller.

There is one lane for each core that the process may use, shared among the workers of pytest-xdist; `ASSAY_LANES` sets another
number. A GPU gets one lane.
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
"""Fewest multiplications for which a lane pays off: cutting, waiting and concatenating cost about 0.2 ms."""

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
    """function(x), computed in lanes, where x is [B, L, ...] and no token's result depends on another token.

    work: multiplications for each number in x. axis: the position axis of the results, whose first axis is B.
    """
    along = token_axis(x)
    return _in_lanes(function, (x,), along, axis if along else 0, x.size * work)


def token_axis(x: mx.array) -> int:
    """The axis along which [B, L, ...] is cut: 1 (positions) if L > B, else 0 (rows)."""
    return 0 if x.shape[0] >= x.shape[1] else 1


def by_head(function: Callable[..., mx.array], *arrays: mx.array, work: int) -> mx.array:
    """function(q, k, v, ...), [B, heads, ...] each, computed in lanes of whole key heads. work: total multiplications."""
    return _in_lanes(function, arrays, 1, 1, work)


def abreast(function: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """[function(part) for part in parts], all at the same time: each part on a thread of its own, with one lane.

    For long, independent work such as the rows of a sweep. When one part fails, or the caller is interrupted, the others end
    at their next call of `rest`, and the error is raised.
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
    """The function behind a lock: a call from one thread waits until a running call from another has ended."""
    lock = threading.Lock()

    def locked(part: Part) -> Result:
        with lock:
            return function(part)

    return locked


def rest() -> None:
    """Raise Halted if another part of the same `abreast` has failed or was interrupted. Long work calls it now and then."""
    if (halt := _halt.get()) is not None and halt.is_set():
        raise Halted("another part of this work has ended it")


class Halted(Exception):
    """Ends a thread whose result is no longer needed."""


@cache
def threads(n: int) -> ThreadPoolExecutor:
    """A pool of n threads, kept for the life of the process: MLX's streams belong to their threads."""
    return ThreadPoolExecutor(n, "assay-lane")


def _in_lanes(function: Callable[..., Any], arrays: tuple[mx.array, ...], axis: int, out: int, work: int) -> Any:
    """function(*arrays), the arrays cut along `axis` into one part per useful lane, results concatenated along `out`."""
    return join(each(function, cut(arrays, axis, work)), out)


def cut(arrays: tuple[mx.array, ...], axis: int, work: int) -> list[tuple[mx.array, ...]]:
    """All arrays cut along `axis`: one tuple of parts for each lane that has at least `LEAST_WORK` to do."""
    units = min(array.shape[axis] for array in arrays)
    n = min(units, work // LEAST_WORK)
    if n < 2 or (n := min(n, count())) < 2:
        return [arrays]
    ends = [units * lane // n for lane in range(1, n)]
    parts = [mx.split(array, [end * (array.shape[axis] // units) for end in ends], axis) for array in arrays]
    return list(zip(*parts, strict=True))


def each(function: Callable[..., Any], parts: Sequence[tuple[Any, ...]]) -> list[Any]:
    """function(*part) for each part, on a lane of its own."""
    if len(parts) == 1:
        return [function(*parts[0])]
    results = []
    for stream, part in zip(_lanes(len(parts)), parts, strict=True):
        with mx.stream(stream):
            results.append(function(*part))
    return results


def join(results: list[Any], axis: int) -> Any:
    """The lanes' results concatenated along an axis: one array, or a tuple of them."""
    if len(results) == 1:
        return results[0]
    if isinstance(results[0], mx.array):
        return mx.concatenate(results, axis)
    return tuple(mx.concatenate(list(parts), axis) for parts in zip(*results, strict=True))


def _lanes(n: int) -> list[mx.Stream]:
    """n lanes of this thread: its default stream, and further streams that are kept for the next call."""
    if not hasattr(_streams, "more"):
        _streams.more = []
    while len(_streams.more) < n - 1:
        _streams.more.append(mx.new_stream(mx.cpu))
    return [mx.default_stream(mx.cpu), *_streams.more[: n - 1]]
