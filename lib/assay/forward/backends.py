"""What each backend of MLX can bear: one table, and what assay settles with the one in use.

    >>> in_use()                  # "cpu", "metal" or "cuda"
    'cpu'
    >>> BACKENDS["cuda"].rows     # rows of a chunk that is continued
    48

On NVIDIA cards, MLX 0.32 adds kernels with too large a grid to its graphs when some 200 rows are continued together
(`cudaGraphAddKernelNode(...) failed: invalid argument`, see BUGFIX.md), and it keeps compiled kernels in a temporary folder
under names that do not say for which card. Both are settled here: sweeps and `lm.generate` continue no more rows together.
"""

import os
from importlib.metadata import version
from typing import NamedTuple

import mlx.core as mx

from assay.machine import memory_bytes, workers
from assay.models.cache import cache_dir


class Backend(NamedTuple):
    """Limits of one backend; None: as much as memory holds."""

    rows: int | None = None
    """Rows that one chunk of a sweep may have when its variants are continued."""
    threads: bool = True
    """Whether several threads of one process may compute at the same time."""


BACKENDS = {
    "cpu": Backend(),
    "metal": Backend(threads=False),
    "cuda": Backend(rows=48, threads=False),  # more than 200 fail in some models, 48 never did
}


def in_use() -> str:
    """The backend of the default device."""
    if mx.default_device() == mx.cpu:
        return "cpu"
    return "cuda" if mx.cuda.is_available() else "metal"


def limits() -> Backend:
    """The limits of the backend in use."""
    return BACKENDS[in_use()]


def memory() -> int:
    """Bytes that this process may use where the default device computes: its part of the card, or the machine's."""
    if in_use() == "cuda":
        return int(_card()["total_memory"]) // workers()
    return memory_bytes()


def keep_kernels() -> None:
    """Kernels compiled for a card are kept in assay's cache, in a folder for each kind of card; once, before the first one.

    MLX names them by their source only, so one folder for two kinds of cards would hand one the other's.
    """
    if in_use() == "cuda":
        kind = "".join(c if c.isalnum() else "_" for c in str(_card()["architecture"]))
        os.environ.setdefault("MLX_PTX_CACHE_DIR", str(cache_dir() / "kernels" / version("mlx") / kind))


def _card() -> dict[str, str | int]:
    return mx.device_info(mx.gpu)
