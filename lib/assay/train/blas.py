"""OpenBLAS for training on Linux: fp32 matrix products twenty times faster than with the BLAS that MLX's wheel links.

    >>> from assay.train.blas import use_openblas
    >>> use_openblas()                # before the first import of mlx; says in the log what it did      # doctest: +SKIP
    'OpenBLAS 0.3.21, SkylakeX kernels'

libmlx takes one function from its BLAS, `cblas_sgemm`, and the dynamic linker gives it the first one that was loaded.
An option, announced, and for training only: results of the suites are measured with MLX as it comes.
Debian and Ubuntu: `apt install libopenblas0-pthread`. `ASSAY_OPENBLAS=0` leaves it alone.
"""

import ctypes
import logging
import os
import sys
from pathlib import Path

log = logging.getLogger(__name__)

LIBRARY = "libopenblas.so.0"

# OpenBLAS takes its kernels by the processor's model number. It runs the oldest ones (Prescott, 2004) on a model that is
# newer than itself: a sixth of the speed. So what the processor can do decides here.
KERNELS = (("avx512vl", "SkylakeX"), ("avx2", "Haswell"))


def use_openblas() -> str | None:
    """Load OpenBLAS in front of MLX's own BLAS -> what was loaded, or None (and the log says why).

    Leaves OPENBLAS_CORETYPE and OPENBLAS_NUM_THREADS as they are when they are set.
    """
    if sys.platform != "linux":
        return None  # macOS has Accelerate
    if os.environ.get("ASSAY_OPENBLAS") == "0":
        log.info("training without OpenBLAS: ASSAY_OPENBLAS=0")
        return None
    if "mlx.core" in sys.modules:
        log.warning("training without OpenBLAS, up to ten times slower: MLX was imported before assay.train")
        return None
    os.environ.setdefault("OPENBLAS_CORETYPE", best_kernels(cpu_flags()))
    if not os.environ["OPENBLAS_CORETYPE"]:
        del os.environ["OPENBLAS_CORETYPE"]
    try:
        library = ctypes.CDLL(LIBRARY, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        log.warning(
            "training without OpenBLAS, up to ten times slower: there is no %s (apt install libopenblas0-pthread)",
            LIBRARY,
        )
        return None
    library.openblas_get_config.restype = library.openblas_get_corename.restype = ctypes.c_char_p
    version = " ".join(library.openblas_get_config().decode().split()[:2])
    loaded = f"{version}, {library.openblas_get_corename().decode()} kernels"
    log.info("matrix products by %s", loaded)
    return loaded


def best_kernels(flags: set[str]) -> str:
    """The OPENBLAS_CORETYPE for a processor with these abilities; "" leaves the choice to OpenBLAS."""
    return next((kernels for ability, kernels in KERNELS if ability in flags), "")


def cpu_flags() -> set[str]:
    """What the processor can do, as Linux lists it; empty where that cannot be read."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return set()
    return next((set(line.split(":")[1].split()) for line in text.splitlines() if line.startswith("flags")), set())
