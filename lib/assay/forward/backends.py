"""Limits of each backend of MLX, and settings for the backend in use.

    >>> in_use()                  # "cpu", "metal" or "cuda"
    'cpu'
    >>> BACKENDS["cuda"].rows     # rows of a chunk that is continued
    48

On NVIDIA cards, MLX 0.32 adds kernels with too large a grid to its graphs when some 200 rows are continued together
(`cudaGraphAddKernelNode(...) failed: invalid argument`, see BUGFIX.md): so sweeps and `lm.generate` continue fewer rows
together. It keeps compiled kernels under names that do not depend on the card: so assay gives each kind of card a folder.
"""

import os
from importlib.metadata import version
from typing import NamedTuple

import mlx.core as mx

from assay.machine import memory_bytes, workers
from assay.models.cache import cache_dir


class Backend(NamedTuple):
    """Limits of one backend."""

    rows: int | None = None
    """Most rows that are continued together; None: as many as memory holds."""
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
    """Bytes that this process may use on the default device: its share of the card's memory, or of the machine's."""
    if in_use() == "cuda":
        return int(_card()["total_memory"]) // workers()
    return memory_bytes()


def keep_kernels() -> None:
    """Keep compiled CUDA kernels in assay's cache, in a folder per kind of card. To be called before the first kernel runs."""
    if in_use() == "cuda":
        kind = "".join(c if c.isalnum() else "_" for c in str(_card()["architecture"]))
        os.environ.setdefault("MLX_PTX_CACHE_DIR", str(cache_dir() / "kernels" / version("mlx") / kind))


def _card() -> dict[str, str | int]:
    return mx.device_info(mx.gpu)
