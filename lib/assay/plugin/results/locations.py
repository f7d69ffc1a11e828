"""Where metrics are recorded: the file of a snapshot, and the key of its entry in the file.

    snapshots/qwen7b/backpatch.json    "backpatch@quick"         @experiment def backpatch, in any module
    snapshots/qwen7b/languages.json    "test_refusal[fr]@quick"  test_languages.py: assert metrics == {...}
    snapshots/_shared/languages.json   "test_refusal@quick"      the same test, without a model

An experiment has a file of its own per model; the other tests of a module share one. The module of an experiment is not
in its location: two experiments of one name would share an entry, and the run is refused at collection.
"""

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from assay.errors import SnapshotError
from assay.models.registry import REGISTRY
from assay.plugin import options
from assay.plugin.models.select import SELECTED, model_of, uses
from assay.record import files

NO_MODEL = "_shared"
"""Folder of tests without a model."""
AT_START = pytest.StashKey[dict[Path, files.Document]]()
"""Snapshot file -> its entries when the run began."""


class ExperimentName(str):
    """Name that the `metrics` fixture gives syrupy for a result: its snapshot belongs to the experiment, not to the test."""

    __slots__ = ()


def entry(name: str, tier: str) -> str:
    """The key of an entry in its file: `backpatch@quick`."""
    return f"{name}@{tier}"


def file(config: pytest.Config, model: str, name: str) -> Path:
    """`snapshots/<model>/<name>.json`."""
    return options.snapshots_folder(config) / model / f"{name}.json"


def model_folder(item: pytest.Item) -> str:
    """The folder of a test's snapshots inside `snapshots/`: its model's id, or `_shared`."""
    spec = model_of(item)
    return spec.id if spec else NO_MODEL


def module_name(item: pytest.Item) -> str:
    """The file, without suffix, of a test that compares no experiment: `languages` for `test_languages.py`."""
    return item.path.stem.removeprefix("test_")


def test_name(item: pytest.Item) -> str:
    """`TestClass.test_x[fr]`: a test's name, without the module and the model."""
    path = item.nodeid.partition("::")[2].partition("[")[0].replace("::", ".")
    ids = other_ids(item)
    return path + (f"[{'-'.join(ids)}]" if ids else "")


def other_ids(item: pytest.Item) -> list[str]:
    """Parameter ids of a test, in pytest's order, without the model's."""
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


def fixtures_of(item: pytest.Item) -> set[str]:
    """Names of all fixtures that a test depends on, those that its experiments ask for when they measure included."""
    manager, found = item.session._fixturemanager, set()
    asked = [*getattr(item, "fixturenames", ())]
    while asked:
        if (name := asked.pop()) not in found:
            found.add(name)
            for fixture in manager.getfixturedefs(name, item) or ():
                measure = getattr(fixture.func, "assay_experiment", None)
                asked += inspect.signature(measure).parameters if measure else fixture.argnames
    return found


def owned_by(item: pytest.Item) -> dict[tuple[str, str], str]:
    """The entries that a test records: (file without suffix, name) -> where the values are computed."""
    if not uses(item, "metrics"):
        return {}
    found = experiments_of(item)
    if found:
        return {(name, name): _defined_at(measure) for name, measure in found.items()}
    return {(module_name(item), test_name(item)): str(item.path)}


def recorded_by(item: pytest.Item) -> set[tuple[str, str]]:
    """(file without suffix, name) of all entries that a test may record: of its experiments and of its own metrics."""
    owned = set(owned_by(item))
    return owned | {(module_name(item), test_name(item))} if owned else owned


def check(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Refuses two results of one location, and parameter ids that are model ids. Raises UsageError."""
    owners: dict[tuple[str, str, str], str] = {}
    # With --model a run may be on a model that is not in the registry.
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
    """Reads every snapshot that the run may need: a damaged file ends the run before it starts. Raises UsageError."""
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
    """The entries of a snapshot file when the run began; {} without such a file."""
    return config.stash[AT_START].get(file(config, model, name), {})


def _defined_at(measure: Any) -> str:
    return f"{measure.__code__.co_filename}:{measure.__code__.co_firstlineno}"


def _relative(config: pytest.Config, where: str) -> str:
    return where.removeprefix(f"{config.rootpath}/")


def split_entry(key: str) -> tuple[str, str]:
    """(name, tier) of a key: the reverse of `entry`."""
    name, _, tier = key.rpartition("@")
    return name, tier


def top_name(name: str) -> str:
    """The name of the test that recorded an entry: `test_x:late` and `test_x.1` belong to `test_x`."""
    return re.split(r"(?<=[\w\]])(?::|\.\d+$)", name, maxsplit=1)[0]
