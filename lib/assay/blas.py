"""Which BLAS multiplies on a CPU: on Linux, the fastest one of this machine instead of the one inside MLX's wheel.

    ASSAY_BLAS=auto pytest suites            # the default: the first of `order()` that this machine has
    ASSAY_BLAS=reference pytest suites       # MLX's own: slow, and a row's result does not depend on the other rows
    ASSAY_BLAS=/opt/lib/libmine.so ...       # any library with `cblas_sgemm`

A **BLAS** is the library that multiplies float32 matrices. MLX's Linux wheel brings the reference one, which reaches 2 to
4 GFLOP/s on a core where OpenBLAS, MKL and BLIS reach 40 to 90. `libmlx` uses one function of it, `cblas_sgemm`, and the
dynamic linker resolves this name to the first library loaded with RTLD_GLOBAL: so a library that is loaded so before
`mlx.core` is used instead. `assay.before_mlx` calls `put_in_front` at that moment.

Each library computes with one thread: `assay.forward.lanes` divides all work, not only products, among the cores.
Debian and Ubuntu: `apt install libopenblas0-pthread` (on AMD processors `libblis4-pthread` is faster still). MKL comes with
`pip install mlx-assay[mkl]`.
"""

import ctypes
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from assay.errors import AssayError, near

log = logging.getLogger(__name__)

INSTALL = "apt install libopenblas0-pthread, or pip install 'mlx-assay[mkl]'"
COST = "float32 products take ten to forty times as long"

# OpenBLAS chooses kernels by the processor's model number. On a model newer than itself it runs the oldest ones (Prescott,
# 2004) at a sixth of the speed. So processor flags choose the kernels here; without these flags OpenBLAS chooses.
KERNELS = (("avx512vl", "SkylakeX"), ("avx2", "Haswell"))


@dataclass(frozen=True)
class Blas:
    """The library that multiplies."""

    name: str
    """`openblas`, `mkl`, `blis`, `reference`, or the path that was asked for."""
    version: str = ""
    """Version and kernels as the library tells them."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


REFERENCE = Blas("reference")
"""The library in MLX's wheel."""

_in_front: Blas | None = None


def in_use() -> Blas | None:
    """The library that multiplies on this process's CPU; None where MLX uses the system's (macOS)."""
    return _in_front or REFERENCE if sys.platform == "linux" else None


def asked() -> str:
    """The value of ASSAY_BLAS. Raises AssayError if it is neither a known name nor a file."""
    name = os.environ.get("ASSAY_BLAS") or "auto"
    known = ("auto", "reference", *CANDIDATES)
    if name in known or Path(name).is_file():
        return name
    hint = "".join(f" Did you mean {guess}?" for guess in near(name, known, n=1))
    raise AssayError(f"ASSAY_BLAS is {', '.join(known)} or the path of a library, got {name!r}.{hint}")


def put_in_front() -> None:
    """Load the library that ASSAY_BLAS asks for; call it before the first import of mlx.

    Raises AssayError if a library that was asked for by name is missing or multiplies wrongly.
    """
    global _in_front
    if sys.platform != "linux" or _in_front is not None or (name := asked()) == "reference":
        return
    for candidate in order() if name == "auto" else (name,):
        if (library := _open(candidate)) is not None:
            _in_front = Blas(candidate, _version(library))
            log.info("matrix products by %s", _in_front)
            return
    if name != "auto":
        raise AssayError(f"ASSAY_BLAS={name}: there is no such library that multiplies float32. {INSTALL}")
    log.warning("no fast BLAS on this machine: %s. %s", COST, INSTALL)


def too_late() -> None:
    """Warn that mlx was imported before assay, so that its own slow BLAS is used."""
    if sys.platform == "linux" and asked() != "reference":
        log.warning("mlx was imported before assay, so its own BLAS multiplies: %s. Import assay first", COST)


def best_kernels(flags: set[str]) -> str:
    """The OPENBLAS_CORETYPE for a processor with these flags; "" leaves the choice to OpenBLAS."""
    return next((kernels for ability, kernels in KERNELS if ability in flags), "")


def cpu_flags() -> set[str]:
    """The processor's flags as Linux lists them; empty if they cannot be read."""
    lines = _cpuinfo().splitlines()
    return next((set(line.split(":")[1].split()) for line in lines if line.startswith("flags")), set())


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


# --- libraries ------------------------------------------------------------------------------------------------


def _files(*patterns: str) -> Iterator[str]:
    """Library files of this Python's environment, newest version first, then the names that the linker searches."""
    for folder in dict.fromkeys((sys.prefix, sys.base_prefix, os.environ.get("CONDA_PREFIX", sys.prefix))):
        for pattern in patterns:
            yield from map(str, sorted(Path(folder, "lib").glob(pattern), reverse=True))
    yield from (pattern.replace("*", "") for pattern in patterns)


CANDIDATES: dict[str, tuple[str, ...]] = {
    "openblas": ("libopenblas.so.0", "libopenblas.so"),
    "mkl": ("libmkl_rt.so*", "libmkl_rt.so.3", "libmkl_rt.so.2"),
    "blis": ("libblis.so.4", "libblis.so.3", "libblis.so"),
}
"""Name -> file names."""


def order() -> list[str]:
    """The libraries, fastest first, by the maker of the processor.

    At the hundreds of rows of a sweep they are alike (50 to 70 GFLOP/s on a Zen 3 core). At one to nine rows, a generation,
    OpenBLAS copies the whole matrix before it multiplies (2 to 18 GFLOP/s there) and BLIS does not (12 to 47). On an Intel
    core with AVX-512 OpenBLAS has kernels for few rows, and was ahead of MKL at all sizes.
    """
    by_amd = "AuthenticAMD" in _cpuinfo()
    return sorted(CANDIDATES, key=lambda name: name != "blis") if by_amd else list(CANDIDATES)


def _open(name: str) -> ctypes.CDLL | None:
    """The library, loaded with RTLD_GLOBAL; None if it is missing or multiplies wrongly."""
    if name == "openblas" and (kernels := best_kernels(cpu_flags())):
        os.environ.setdefault("OPENBLAS_CORETYPE", kernels)
    for file in _files(*CANDIDATES[name]) if name in CANDIDATES else (name,):
        try:
            library = ctypes.CDLL(file)
        except OSError:
            continue
        if _multiplies(library):
            return ctypes.CDLL(file, mode=ctypes.RTLD_GLOBAL)
    return None


def _multiplies(library: ctypes.CDLL) -> bool:
    """Does its `cblas_sgemm`, called with 32-bit sizes as MLX calls it, multiply two small matrices rightly?"""
    if not hasattr(library, "cblas_sgemm"):
        return False
    _single_threaded(library)
    numbers = ctypes.c_float * 4
    a, b, c = numbers(1, 2, 3, 4), numbers(5, 6, 7, 8), numbers()
    one, zero, n = ctypes.c_float(1), ctypes.c_float(0), 2
    library.cblas_sgemm(101, 111, 111, n, n, n, one, a, n, b, n, zero, c, n)  # row by row, nothing transposed
    return list(c) == [19, 22, 43, 50]


def _single_threaded(library: ctypes.CDLL) -> None:
    """Make the library use one thread, without changing an environment variable."""
    if hasattr(library, "openblas_set_num_threads"):
        library.openblas_set_num_threads(1)
    if hasattr(library, "MKL_Set_Threading_Layer"):
        library.MKL_Set_Interface_Layer(0)  # 32-bit sizes
        library.MKL_Set_Threading_Layer(1)  # no OpenMP
        library.MKL_CBWR_Set(_MKL_SAME_BITS)
    if hasattr(library, "bli_thread_set_num_threads"):
        library.bli_thread_set_num_threads(ctypes.c_int64(1))


_MKL_SAME_BITS = 2  # MKL_CBWR_AUTO: the same bits in every run, wherever in memory a matrix lies


def _version(library: ctypes.CDLL) -> str:
    """Version of a library, and its kernels if it has several; "" if unknown."""
    if hasattr(library, "openblas_get_config"):
        library.openblas_get_config.restype = library.openblas_get_corename.restype = ctypes.c_char_p
        return f"{library.openblas_get_config().decode().split()[1]} {library.openblas_get_corename().decode()}"
    if hasattr(library, "MKL_Get_Version_String"):
        text = ctypes.create_string_buffer(200)
        library.MKL_Get_Version_String(text, len(text))
        return text.value.decode().partition("Version ")[2].partition(" ")[0]
    if hasattr(library, "bli_info_get_version_str"):
        library.bli_info_get_version_str.restype = ctypes.c_char_p
        return library.bli_info_get_version_str().decode()
    return ""
