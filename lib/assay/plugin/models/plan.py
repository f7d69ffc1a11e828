"""The plan of a run: every selected test with its model and claim, known before anything runs.

It is what lets the end of the run say "not run" of a test that a crash or -x left out, and the scheduler know
the models. Under xdist the controller does not collect, so a worker writes the plan into a folder that the
controller made for the run; so does an error in the suites, which only a worker can see and only the
controller can report as usage error.
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

Plan = dict[str, dict[str, Any]]
"""Node id -> {"model": id or "", "finding": what the table says about it, or None}."""

PLAN = pytest.StashKey[Plan]()
FOLDER = pytest.StashKey[Path]()
"""Shared by the processes of one run; only there under xdist."""

FILE = "plan.json"

Describe = Callable[[pytest.Item], dict[str, Any] | None]
"""What the table says of an item before it runs; None when it judges no claim."""


def make(items: list[pytest.Item], describe: Describe) -> Plan:
    """The plan for the items that are left after selection."""
    return {
        item.nodeid: {
            "model": spec.id if (spec := model_of(item)) else "",
            "finding": describe(item),
        }
        for item in items
    }


class Worker:
    """In an xdist worker: passes the plan, or what is wrong with the suites, to the controller."""

    def __init__(self, folder: Path, describe: Describe) -> None:
        self.folder, self.describe = folder, describe

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Any:
        try:
            return (yield)
        except pytest.UsageError as error:
            # Raised here it would kill the worker, and xdist would start another, forever.
            files.replace(self.folder / FILE, json.dumps({"error": str(error)}))
            items.clear()

    @pytest.hookimpl(tryfirst=True)  # xdist's own then tells the controller, which reads the file at once
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        file = self.folder / FILE
        if not file.exists():  # every worker collects the same
            files.replace(file, json.dumps({"plan": make(session.items, self.describe)}))


class Controller:
    """On the xdist controller: makes the folder, and reads the plan when the first worker has collected."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        config.stash[FOLDER] = Path(tempfile.mkdtemp(prefix="assay-"))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["assay_folder"] = str(self.config.stash[FOLDER])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        if PLAN in self.config.stash:
            return
        written = json.loads((self.config.stash[FOLDER] / FILE).read_text(encoding="utf-8"))
        if "error" in written:
            raise pytest.UsageError(written["error"])
        self.config.stash[PLAN] = written["plan"]

    def pytest_unconfigure(self) -> None:
        shutil.rmtree(self.config.stash[FOLDER], ignore_errors=True)


class Here:
    """Without xdist: this process collects and runs."""

    def __init__(self, describe: Describe) -> None:
        self.describe = describe

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        session.config.stash[PLAN] = make(session.items, self.describe)


def configure(config: pytest.Config, describe: Describe) -> None:
    """Registers the part that this process plays."""
    if (folder := getattr(config, "workerinput", {}).get("assay_folder")) is not None:
        config.stash[FOLDER] = Path(folder)
        config.pluginmanager.register(Worker(Path(folder), describe), "assay-plan")
    elif is_distributed(config):
        _check_workers(config)
        config.pluginmanager.register(Controller(config), "assay-plan")
    else:
        config.pluginmanager.register(Here(describe), "assay-plan")


def is_distributed(config: pytest.Config) -> bool:
    """Will xdist run the tests in workers? Its own answer comes too late: it configures itself after this plugin."""
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


def is_worker(config: pytest.Config) -> bool:
    """Is this an xdist worker, whose terminal nobody sees?"""
    return hasattr(config, "workerinput")
