"""Settings that must be made before MLX's first matrix product: the BLAS, and float32 instead of TF32.

    import assay            # makes them: sets one environment variable and one import hook
    import mlx.core         # from here on products are fast (`assay.blas`) and in float32

**TF32** is a float of 10 bits after the point in place of 23. MLX rounds the inputs of float32 products to it by default on
NVIDIA cards and on Apple's M5 (ml-explore/mlx#3860), which moves logits by 1e-4 to 1e-3 of the largest. assay turns that off
through MLX_ENABLE_TF32, which MLX reads at its first product; `ASSAY_PRECISION=tf32` asks for it, and is then recorded beside
every number. `assay.forward.exactness` measures the precision of products.
"""

import logging
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from assay import blas
from assay.errors import AssayError

log = logging.getLogger(__name__)


def precision() -> str:
    """`float32`, or `tf32` where ASSAY_PRECISION asks for it. Raises AssayError for anything else."""
    asked = os.environ.get("ASSAY_PRECISION") or "float32"
    if asked not in ("float32", "tf32"):
        raise AssayError(f"ASSAY_PRECISION is float32 or tf32, got {asked!r}")
    return asked


def settle() -> None:
    """Sets the precision and installs the import hook that loads the BLAS; called once, when assay is imported."""
    # A bad value is an error when a model is loaded: `import assay` never fails.
    if os.environ.get("ASSAY_PRECISION") == "tf32":
        os.environ.setdefault("MLX_ENABLE_TF32", "1")
    else:
        if os.environ.get("MLX_ENABLE_TF32", "0") != "0":
            log.warning("MLX_ENABLE_TF32 is set back to 0: ASSAY_PRECISION=tf32 asks for rounded products")
        os.environ["MLX_ENABLE_TF32"] = "0"
    if "mlx.core" in sys.modules:
        blas.too_late()
    else:
        sys.meta_path.insert(0, _BeforeMLX())


def _look_for_backend(path: Sequence[str] | None) -> None:
    """Logs what to install if MLX on Linux has no backend: libmlx.so comes in a separate package."""
    folders = [Path(folder) for folder in path or ()]
    if sys.platform == "linux" and folders and not any((folder / "lib" / "libmlx.so").is_file() for folder in folders):
        log.error(
            "MLX is installed without a backend: pip install 'mlx-assay[cpu]', or for an NVIDIA card 'mlx-assay[cuda13]'"
            " (CUDA 12: 'mlx-assay[cuda12]')"
        )


class _BeforeMLX(MetaPathFinder):
    """An import hook that finds no module itself: it loads the BLAS just before mlx.core is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "mlx.core":
            _look_for_backend(path)
            blas.put_in_front()  # if this fails, the hook stays for the next import
            if self in sys.meta_path:
                sys.meta_path.remove(self)
        return None
