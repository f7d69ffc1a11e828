"""assay: an interpretability library for MLX language models, and a pytest suite in which every experiment is a test.

    >>> lm = assay.load("llama_tiny")
    >>> run = lm.run("The capital of the state containing Dallas is", keep=["resid_post"])
    >>> patch = assay.replace("resid_post", run["resid_post", 6][0, -1], layer=1, position=-1)
    >>> lm.run("The capital of the state containing Dallas is", edits=[patch]).logits.shape
    (1, 4608)

Rooms, each importing only from those before it: `models` (which models exist, how they load), `forward` (sites, edits, the
instrumented forward, sweeps), `data` (prompt sets) and `methods` (those of the papers, and tools for all), `record` (what a
measured number is), then `plugin` and `report`.
Names are imported on first use, so that `import assay` costs nothing and the pytest plugin can judge recorded results
without MLX.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from assay import before_mlx, errors, moved
from assay.errors import AssayError

if TYPE_CHECKING:
    from assay.forward.edits import (
        Edit,
        ablate,
        add,
        apply,
        knockout,
        mean_ablate,
        project_out,
        replace,
        resample,
        scale,
        set_pattern,
        zero,
    )  # fmt: skip
    from assay.forward.exactness import agree
    from assay.forward.lm import LM
    from assay.forward.load import load, random_lm
    from assay.forward.positions import Prompt, text
    from assay.forward.run import Run
    from assay.forward.sites import SITES
    from assay.forward.sweep import SWEEPABLE, Sweep

before_mlx.settle()
moved.install()

_HOMES = {
    "assay.forward.edits": "Edit ablate add apply knockout mean_ablate project_out replace resample scale set_pattern zero",
    "assay.forward.exactness": "agree",
    "assay.forward.lm": "LM",
    "assay.forward.load": "load random_lm",
    "assay.forward.positions": "Prompt text",
    "assay.forward.run": "Run",
    "assay.forward.sites": "SITES",
    "assay.forward.sweep": "SWEEPABLE Sweep",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "LM", "SITES", "SWEEPABLE", "AssayError", "Edit", "Prompt", "Run", "Sweep", "ablate", "add", "agree", "apply", "errors",
    "knockout", "load", "mean_ablate", "project_out", "random_lm", "replace", "resample", "scale", "set_pattern", "text", "zero",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'assay' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
