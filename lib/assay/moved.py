"""Old names of modules that have moved: they work for one version, with a warning that says the new one.

    >>> new_name("assay.methods.backpatch")
    'assay.methods.hopping_too_late.backpatch'

Add a line to `MOVED` when a module moves, and delete it one version later. Within assay and its suites nothing uses an old name.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

PAPERS = {
    "hopping_too_late": "backpatch cross_patch description knockout names parts patchscopes projection timeline two_hop",
    "function_vectors": "attention_roles function_vector head_means in_context mediation natural_text task_study"
    " vocabulary",
    "refusal": "refusal_direction selection suffix_search answer_loss",
    "confidence": "choices place_direction",
}

MOVED = {
    "assay.train": "assay.testbed",
    "assay.models.testbed": "assay.testbed.planted",
    **{f"assay.plugin.{name}": f"assay.record.{name}" for name in ("metric", "curves", "compare", "files")},
    **{
        f"assay.methods.{name}": f"assay.methods.{paper}.{name}"
        for paper, names in PAPERS.items()
        for name in names.split()
    },
    "assay.methods.logit_lens": "assay.methods.lens",
    "assay.methods.orthogonalise": "assay.methods.orthogonalisation",
    "assay.methods.spread": "assay.methods.portions",
    **{f"assay.forward.{name}": f"assay.forward.sweep.{name}" for name in ("plan", "memory", "chunk", "resume")},
}


def new_name(old: str) -> str | None:
    """Where a module is now; None if it has not moved."""
    parent, _, rest = old.partition("assay.train.")
    return f"assay.testbed.{rest}" if rest and not parent else MOVED.get(old)


class _Moved(MetaPathFinder, Loader):
    """An import hook that finds, for an old name, the module of the new name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if new_name(fullname) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = new_name(spec.name) or spec.name
        warnings.warn(f"{spec.name} is now {new}; the old name goes in assay 0.3", DeprecationWarning, stacklevel=2)
        module = import_module(new)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Gives the module, executed under its new name, its own spec back: the import has put that of the old name there."""
        module.__spec__ = module.__spec__ and module.__spec__.loader_state


def install() -> None:
    """Install the import hook before Python's own, which would load a module of a moved package twice."""
    if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Moved())
