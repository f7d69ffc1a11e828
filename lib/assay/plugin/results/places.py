"""Where results are recorded: an experiment has a file per model, other tests share their module's.

    snapshots/qwen7b/backpatch.json    "backpatch@quick"         @experiment def backpatch, in any module
    snapshots/qwen7b/languages.json    "test_refusal[fr]@quick"  test_languages.py: assert metrics == {...}
    snapshots/_shared/languages.json   "test_refusal@quick"      the same without a model

Names decide: two experiments with one name would share an entry, so that is an error at collection.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from assay.errors import SnapshotError
from assay.models.registry import REGISTRY
from assay.plugin import options
from assay.plugin.models.select import SELECTED, model_of
from assay.record import files

NO_MODEL = "_shared"
AT_START = pytest.StashKey[dict[Path, files.Document]]()


class ExperimentName(str):
    """Index of a snapshot that belongs to an experiment, and not to the test that compares it."""

    __slots__ = ()


def entry(name: str, tier: str) -> str:
    """The key inside the file."""
    return f"{name}@{tier}"


def file(config: pytest.Config, model: str, name: str) -> Path:
    """`snapshots/<model>/<name>.json`."""
    return options.snapshots_folder(config) / model / f"{name}.json"


def model_folder(item: pytest.Item) -> str:
    spec = model_of(item)
    return spec.id if spec else NO_MODEL


def module_name(item: pytest.Item) -> str:
    """The file of a test without an experiment: its module's name."""
    return item.path.stem.removeprefix("test_")


def test_name(item: pytest.Item) -> str:
    """`TestClass.test_x[fr]`: a test's name, without the module and the model."""
    path = item.nodeid.partition("::")[2].partition("[")[0].replace("::", ".")
    ids = other_ids(item)
    return path + (f"[{'-'.join(ids)}]" if ids else "")


def other_ids(item: pytest.Item) -> list[str]:
    """Parameter ids of an item, in pytest's order, without the model's."""
    callspec, spec = getattr(item, "callspec", None), model_of(item)
    ids = callspec.id.split("-") if callspec else []
    if spec is not None:
        ids.remove(spec.id)
    return ids


def experiments_of(item: pytest.Item) -> dict[str, Any]:
    """Name -> measuring function of the experiments that a test depends on."""
    info = getattr(item, "_fixtureinfo", None)
    defined = {name: defs[-1].func for name, defs in info.name2fixturedefs.items()} if info else {}
    return {name: func.assay_experiment for name, func in defined.items() if hasattr(func, "assay_experiment")}


def owned_by(item: pytest.Item) -> dict[tuple[str, str], str]:
    """(file, name) -> where it is defined, of what an item is there to record."""
    if "metrics" not in getattr(item, "fixturenames", ()):
        return {}
    found = experiments_of(item)
    if found:
        return {(name, name): _location(measure) for name, measure in found.items()}
    return {(module_name(item), test_name(item)): str(item.path)}


def recorded_by(item: pytest.Item) -> set[tuple[str, str]]:
    """(file, name) of everything that an item may record: a test that compares an experiment may record something of its
    own beside it."""
    owned = set(owned_by(item))
    return owned | {(module_name(item), test_name(item))} if owned else owned


def check(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Refuses names that would mix up results. Raises UsageError."""
    owners: dict[tuple[str, str, str], str] = {}
    # An explicitly selected model need not be registered.
    models = REGISTRY.keys() | {spec.id for spec in config.stash[SELECTED]}
    for item in items:
        if clash := models.intersection(other_ids(item)):
            raise pytest.UsageError(
                f"{item.nodeid}: the parameter id {min(clash)!r} is also a model; give the parameter another id"
            )
        for (stem, name), where in owned_by(item).items():
            other = owners.setdefault((model_folder(item), stem, name), where)
            if other != where:
                shared = f"{options.snapshots_folder(config).name}/<model>/{stem}.json"
                raise pytest.UsageError(
                    f"two things are called {name!r}, {_relative(config, other)} and "
                    f"{_relative(config, where)}, and both would be recorded in {shared}: rename one"
                )


def read_all(config: pytest.Config) -> None:
    """Reads every snapshot that the run may need, so that a damaged file ends it before it starts. Raises
    UsageError."""
    audit = config.option.snapshots == "audit"
    folders = ["*"] if audit else [NO_MODEL, *(spec.id for spec in config.stash[SELECTED])]
    documents = config.stash[AT_START] = {}
    for folder in folders:
        for path in sorted(options.snapshots_folder(config).glob(f"{folder}/*.json")):
            try:
                documents[path] = files.read(path)
            except SnapshotError as error:
                raise pytest.UsageError(str(error)) from error


def at_start(config: pytest.Config, model: str, name: str) -> files.Document:
    """What was in a snapshot file when the run began; {} when there was none."""
    return config.stash[AT_START].get(file(config, model, name), {})


def _location(measure: Any) -> str:
    return f"{measure.__code__.co_filename}:{measure.__code__.co_firstlineno}"


def _relative(config: pytest.Config, where: str) -> str:
    return where.removeprefix(f"{config.rootpath}/")


def split_entry(key: str) -> tuple[str, str]:
    """(name, tier) of a key inside a file."""
    name, _, tier = key.rpartition("@")
    return name, tier


def top_name(name: str) -> str:
    """The test's own name when a test recorded several: `test_x:late` and `test_x.1` belong to `test_x`."""
    return re.split(r"(?<=[\w\]])(?::|\.\d+$)", name, maxsplit=1)[0]
