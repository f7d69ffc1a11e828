"""`--snapshots audit` lists stale snapshots: metrics that no test records any more. It collects all tests and runs none.

    stale  snapshots/qwen7b/backpatch.json: old_experiment@quick (no test records it)
    stale  snapshots/gemma3b (no model has this name)

A snapshot is stale when no test of the repository records it, whatever a run selects. So the audit looks at the tests
before -k and -m deselect any, and refuses paths on the command line.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from assay.errors import AssayError
from assay.models.registry import resolve
from assay.plugin import options
from assay.plugin.results import locations
from assay.record import files
from assay.record.compare import BLOCKS, MADE_BY, VERDICTS
from assay.record.tier import TIERS


class Audit:
    """Registered for an audit only."""

    def __init__(self, config: pytest.Config) -> None:
        self.root = options.snapshots_folder(config)
        self.stale: list[str] = []
        self.findings: set[str] = set()
        config.option.collectonly = True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None]:
        owned = {entry: locations.model_folder(item) for item in items for entry in locations.recorded_by(item)}
        self.findings = {locations.test_name(item) for item in items if item.get_closest_marker("finding")}
        for folder in sorted(path for path in self.root.glob("*") if path.is_dir()):
            if folder.name != locations.NO_MODEL and not _is_model(folder):
                self._stale(folder, "no model has this name")
                continue
            for file in sorted(folder.glob("*.json")):
                self._look_at(file, owned)
        yield

    def _look_at(self, file: Path, owned: dict[tuple[str, str], str]) -> None:
        without_model = file.parent.name == locations.NO_MODEL
        document = files.read(file)
        for key in document.get(VERDICTS, {}):
            if key.partition(" ")[2] not in self.findings:
                self._stale(file, "no test judges it", f": {key}")
        for key in document:
            if key in BLOCKS:
                continue
            name, tier = locations.split_entry(key)
            owner = owned.get((file.stem, name)) or owned.get((file.stem, locations.top_name(name)))
            if owner is None or (owner == locations.NO_MODEL) != without_model:
                self._stale(file, "no test records it", f": {key}")
            elif tier not in TIERS:
                self._stale(file, "there is no such tier", f": {key}")

    def _stale(self, path: Path, why: str, what: str = "") -> None:
        self.stale.append(f"{path.relative_to(self.root.parent)}{what} ({why})")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section("snapshot audit")
        for line in self.stale:
            terminalreporter.line(f"stale  {line}", red=True)
        terminalreporter.line(f"{len(self.stale)} stale")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.stale and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def configure(config: pytest.Config) -> None:
    """Registers the audit, if `--snapshots audit` asks for it. Raises UsageError when paths narrow the collection."""
    if config.option.snapshots != "audit":
        return
    if config.args_source == pytest.Config.ArgsSource.ARGS:
        raise pytest.UsageError("--snapshots audit looks at all tests: give it no paths")
    config.pluginmanager.register(Audit(config), "assay-audit")


def _is_model(folder: Path) -> bool:
    """Whether the folder's name is a model's id, of the registry or of a repository that its snapshots name."""
    documents = (files.read(file) for file in folder.glob("*.json"))
    repositories = {made_by.get("model") for document in documents for made_by in document.get(MADE_BY, {}).values()}
    for name in (folder.name, *filter(None, repositories)):
        try:
            if any(spec.id == folder.name for spec in resolve([name])):
                return True
        except AssayError:
            continue
    return False
