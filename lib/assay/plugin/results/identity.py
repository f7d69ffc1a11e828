"""Hashes of everything that a measured value depends on: the code, the model, and the data that a function closes over.

    of_code(suite_module, measure, root)    # the source of the module, of its imports in the repository, and of assay
    of_model(spec, lm)                      # id, provenance, names, sizes and times of the files
    of_closure(measure, lm)                 # {"layers": [0, 2, 4]}

Values with equal hashes are equal, so the journal may reuse them. The reverse is not true: a changed comment changes the hash
of the code. Data that cannot be hashed are an error.
"""

import functools
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import assay
from assay.errors import AssayError
from assay.models.registry import locate
from assay.record.digest import data, digest


def of_code(module: ModuleType, measure: Callable, root: Path) -> str:
    """The repository's code that `module` and `measure` can reach, the conftests above `module`, and all of assay."""
    files = {file for start in (module, _module_of(measure)) if start for file in _reachable(start, root)}
    here = Path(module.__file__ or root).parent
    files |= {conftest for folder in (here, *here.parents) if (conftest := folder / "conftest.py").is_file()}
    texts = [hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)]
    return digest([_assay(), *texts])


def of_model(spec: Any, lm: Any) -> dict[str, Any]:
    """The model's id, what its `provenance()` returns, and [name, bytes, time in ns] of its files."""
    try:
        folder = locate(spec)
        weights = sorted(folder.iterdir())
    except AssayError:
        weights = []  # a hook of the repository loads the model from unknown files
    stats = [(file.name, stat.st_size, stat.st_mtime_ns) for file in weights if (stat := file.stat())]
    return {"id": spec.id, "files": stats, "says": data(getattr(lm, "provenance", dict)(), "lm.provenance()")}


def of_closure(measure: Callable, lm: Any) -> dict[str, Any]:
    """The data of a function by name: closed-over variables, defaults, `self`, arguments of a partial."""
    found: dict[str, Any] = {}
    while isinstance(measure, functools.partial):
        found |= {f"partial {at}": value for at, value in enumerate(measure.args)} | measure.keywords
        measure = measure.func
    if inspect.ismethod(measure):
        found["self"], measure = measure.__self__, measure.__func__
    if isinstance(measure, FunctionType):
        cells = zip(measure.__code__.co_freevars, measure.__closure__ or (), strict=True)
        found |= {name: cell.cell_contents for name, cell in cells}
        found |= {f"default {at}": value for at, value in enumerate(measure.__defaults__ or ())}
        found |= measure.__kwdefaults__ or {}
    return {name: data(value, name) for name, value in found.items() if not _is_code(value, lm)}


def _is_code(value: Any, lm: Any) -> bool:
    """Whether `of_code` or `of_model` already covers a value."""
    if isinstance(value, FunctionType) and value.__closure__:
        return not of_closure(value, lm)
    return value is lm or isinstance(value, ModuleType | FunctionType | type) or inspect.isbuiltin(value)


def _reachable(module: ModuleType, root: Path, seen: set[Path] | None = None) -> set[Path]:
    """Files in `root` of a module and of the modules that its globals come from."""
    seen = set() if seen is None else seen
    file = Path(module.__file__) if getattr(module, "__file__", None) else None  # type: ignore[arg-type]
    if file is None or file in seen or not file.is_relative_to(root) or "site-packages" in file.parts:
        return seen
    seen.add(file)
    for value in list(vars(module).values()):
        if (other := _module_of(value)) is not None:
            _reachable(other, root, seen)
    return seen


def _module_of(value: Any) -> ModuleType | None:
    while isinstance(value, functools.partial):
        value = value.func
    if isinstance(value, ModuleType):
        return value
    name = getattr(value, "__module__", None)
    return sys.modules.get(name) if isinstance(name, str) else None


@cache
def _assay() -> str:
    root = Path(assay.__file__).parent
    return digest([hashlib.sha256(file.read_bytes()).hexdigest() for file in _sources(root)])


def _sources(root: Path) -> Iterator[Path]:
    yield from sorted((*root.rglob("*.py"), *root.glob("data/*.json")))  # values depend on the built-in prompts, too
