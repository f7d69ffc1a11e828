"""The collected tests of a run, each with its model and its claim, known before the first test runs.

    {"suites/test_x.py::test_rescues[qwen7b]": {"model": "qwen7b", "finding": {"claim": "back-patching rescues", ...}}}

The scheduler reads the models from them, and the table of findings says "not run" of those that a crash or -x left out.
Under xdist only the workers collect. The first one to finish writes its tests into a folder that the controller has made
for the run. Usage errors are passed in the same way: a worker finds them, and only the controller can end the run.
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.plugin.models.select import model_of
from assay.record import files

Collected = dict[str, dict[str, Any]]
"""Node id -> {"model": id or "", "finding": what the table of findings says about the test, or None}."""

COLLECTED = pytest.StashKey[Collected]()
FOLDER = pytest.StashKey[Path]()
"""Shared by the processes of one run; set under xdist only."""

FILE = "collected.json"

Describe = Callable[[pytest.Item], dict[str, Any] | None]
"""From a test to its entry in the table of findings before it runs; None for a test that judges no claim."""


def collected(items: list[pytest.Item], describe: Describe) -> Collected:
    """The items that are left after deselection."""
    return {
        item.nodeid: {"model": spec.id if (spec := model_of(item)) else "", "finding": describe(item)} for item in items
    }


class Worker:
    """In an xdist worker: writes the collected tests, or the UsageError, for the controller."""

    def __init__(self, folder: Path, describe: Describe) -> None:
        self.folder, self.describe = folder, describe

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Any:
        try:
            return (yield)
        except pytest.UsageError as error:
            # Raised here, the error would kill the worker, and xdist would start another one, again and again.
            files.replace(self.folder / FILE, json.dumps({"error": str(error)}))
            items.clear()

    @pytest.hookimpl(tryfirst=True)  # before xdist's own hook, after which the controller reads the file
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        file = self.folder / FILE
        if not file.exists():  # every worker collects the same
            files.replace(file, json.dumps({"collected": collected(session.items, self.describe)}))


class Controller:
    """On the xdist controller: makes the folder, and reads the tests when the first worker has collected."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        config.stash[FOLDER] = Path(tempfile.mkdtemp(prefix="assay-"))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["assay_folder"] = str(self.config.stash[FOLDER])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        if COLLECTED in self.config.stash:
            return
        written = json.loads((self.config.stash[FOLDER] / FILE).read_text(encoding="utf-8"))
        if "error" in written:
            raise pytest.UsageError(written["error"])
        self.config.stash[COLLECTED] = written["collected"]

    def pytest_unconfigure(self) -> None:
        shutil.rmtree(self.config.stash[FOLDER], ignore_errors=True)


class Here:
    """Without xdist: this process collects and runs."""

    def __init__(self, describe: Describe) -> None:
        self.describe = describe

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        session.config.stash[COLLECTED] = collected(session.items, self.describe)


def configure(config: pytest.Config, describe: Describe) -> None:
    """Registers the one of the three classes above that this process needs."""
    if (folder := worker_input(config).get("assay_folder")) is not None:
        config.stash[FOLDER] = Path(folder)
        role = Worker(Path(folder), describe)
    elif is_distributed(config):
        _check_workers(config)
        role = Controller(config)
    else:
        role = Here(describe)
    config.pluginmanager.register(role, "assay-collected")


def is_distributed(config: pytest.Config) -> bool:
    """Will xdist run the tests in workers? xdist itself knows it only later: it is configured after this plugin."""
    option = config.option
    return getattr(option, "dist", "no") != "no" and bool(option.tx) and not option.collectonly


def _check_workers(config: pytest.Config) -> None:
    from xdist.workermanage import parse_tx_spec_config

    for spec in parse_tx_spec_config(config):
        kind, *settings = spec.split("//")
        if kind != "popen" or any(setting.startswith(("chdir=", "via=")) for setting in settings):
            raise pytest.UsageError(
                f"--tx {spec}: workers run in this folder of this machine, where the snapshots are. On another one, run "
                "--model NAME there and commit what it records: every model has snapshot files of its own"
            )


def worker_input(config: pytest.Config) -> dict[str, Any]:
    """The input that the xdist controller passed to this worker; {} in a process that is no worker."""
    return getattr(config, "workerinput", {})


def is_worker(config: pytest.Config) -> bool:
    """Is this process an xdist worker? It has no terminal."""
    return bool(worker_input(config))
