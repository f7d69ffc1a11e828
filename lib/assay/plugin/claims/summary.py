"""The end of a run: collects verdicts from the reports, prints them as a table and writes them to files.

    pytest suites --findings findings.md --catalogue page.md

`Summary` runs in the process with the terminal (under xdist the controller). It starts from the collected tests, so a test
that a crash, -x or Ctrl-C left out is "not run" in the table.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from assay.plugin import options
from assay.plugin.claims import catalogue, counts, table, terminal
from assay.plugin.claims.table import Cell
from assay.plugin.models.collected import COLLECTED, is_worker
from assay.record import files


class Summary:
    """Registered in every process that has a terminal."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.cells: dict[str, Cell] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        said = dict(report.user_properties)
        if "verdict" in said and (report.when == "call" or not report.passed):
            measured = json.loads(str(said.get("measured", "{}")))
            self.cells[report.nodeid] = Cell(str(said["verdict"]), str(said["why"]), measured, str(said["rests"]))
        elif report.failed and report.when not in ("setup", "call", "teardown"):
            self.cells[report.nodeid] = Cell("ERROR", "the worker process died")  # xdist: when is "???"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.config.option.collectonly:
            return
        found = table.lines(self.config.stash.get(COLLECTED, {}), self.cells)
        if found:
            terminalreporter.section(table.title(self.config), bold=True)
            terminal.write(terminalreporter, found, options.tier(self.config))
            null = counts.of_null_world(found) if options.null_world(self.config) else counts.lines(found)
            for line in null:
                terminalreporter.line(line)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        collected = self.config.stash.get(COLLECTED, None)
        if collected is None or exitstatus == pytest.ExitCode.USAGE_ERROR or self.config.option.collectonly:
            return
        found, option = table.lines(collected, self.cells), self.config.option
        if options.null_world(self.config) and counts.too_many_by_chance(found) and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        here = Path(self.config.invocation_params.dir)
        if option.findings:
            text = table.to_json if option.findings.endswith(".json") else table.to_markdown
            files.replace(here / option.findings, text(found, self.config))
        if option.catalogue:
            files.replace(here / option.catalogue, catalogue.page(found, options.tier(self.config)))


def configure(config: pytest.Config) -> None:
    if not is_worker(config):
        config.pluginmanager.register(Summary(config), "assay-findings")
