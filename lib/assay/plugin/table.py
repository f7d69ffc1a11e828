"""The table of findings: one line per claim, one column per model, below it what the verdict rests on.

    Hopping Too Late, arXiv:2406.12775         gemma2b                 llama3b
      HTL-7  back-patching rescues failures    yes                     no
               rescue_rate                     0.6 [0.42, 0.75] n 30   0.1 [0.04, 0.2] n 41
               null_rate (control)             0.07 [0.02, 0.2] n 30   0.05 [0.01, 0.2] n 41

Printed at the end of a run; `--findings FILE` writes it as JSON (for programs) or Markdown (for people). It
is made from the plan and the test reports, so it survives xdist, -x, and crashed workers.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from . import catalogue, files, options
from .compare import show
from .plan import PLAN, Plan, is_worker

COLOURS = {"yes": {"green": True}, "no": {"yellow": True}, "not eligible": {}, "not run": {}}
"""Of a verdict in the terminal; every other one is red."""


@dataclass
class Cell:
    """What is known about one claim on one model."""

    verdict: str = "not run"
    why: str = ""
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Line:
    """One claim."""

    test: str
    claim: str
    paper: str
    ref: str
    ids: list[str]
    control: str | None
    cells: dict[str, Cell]

    @property
    def source(self) -> str:
        return ", ".join(filter(None, [self.paper, self.ref]))


def lines(plan: Plan, cells: dict[str, Cell]) -> list[Line]:
    """The claims of a plan, those of one paper together, with the cells known so far by node id."""
    found: dict[str, Line] = {}
    for nodeid, planned in plan.items():
        if about := planned["finding"]:
            keys = ("test", "claim", "paper", "ref", "ids", "control")
            # One test may be parametrized beyond the model: then every variant is a claim of its own.
            variant = "-".join(
                id for id in nodeid.partition("[")[2].removesuffix("]").split("-") if id != about["model"]
            )
            line = found.setdefault(about["test"] + variant, Line(**{key: about[key] for key in keys}, cells={}))
            if variant:
                line.claim = f"{about['claim']} [{variant}]"
            line.cells[about["model"]] = cells.get(nodeid, Cell())
    first = {line.source: at for at, line in reversed(list(enumerate(found.values())))}
    return sorted(found.values(), key=lambda line: first[line.source])


class Findings:
    """Listens to reports, prints the table, writes the files."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.cells: dict[str, Cell] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        said = dict(report.user_properties)
        if "verdict" in said and (report.when == "call" or not report.passed):
            measured = json.loads(str(said.get("measured", "{}")))
            self.cells[report.nodeid] = Cell(str(said["verdict"]), str(said["why"]), measured)
        elif report.failed and report.when not in ("setup", "call", "teardown"):
            self.cells[report.nodeid] = Cell("ERROR", "the worker process died")  # xdist: when is "???"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        found = lines(self.config.stash.get(PLAN, {}), self.cells)
        if found:
            _print(terminalreporter, found, self.config)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        plan = self.config.stash.get(PLAN, None)
        if plan is None or exitstatus == pytest.ExitCode.USAGE_ERROR or self.config.option.collectonly:
            return
        found, option = lines(plan, self.cells), self.config.option
        here = Path(self.config.invocation_params.dir)
        if option.findings:
            text = to_json if option.findings.endswith(".json") else to_markdown
            files.replace(here / option.findings, text(found, self.config))
        if option.catalogue:
            files.replace(here / option.catalogue, catalogue.page(found, options.tier(self.config)))


def configure(config: pytest.Config) -> None:
    if not is_worker(config):
        config.pluginmanager.register(Findings(config), "assay-findings")


def models(found: list[Line]) -> list[str]:
    """The columns, in the order in which the models ran."""
    return list(dict.fromkeys(model for line in found for model in line.cells))


def rests_on(line: Line) -> dict[str, str]:
    """Metric name -> label, for all metrics that the claim's verdicts rest on."""
    named = {row["control"] for cell in line.cells.values() for row in cell.measured.values() if row.get("control")} | {
        line.control
    }
    names = dict.fromkeys(name for cell in line.cells.values() for name in cell.measured)
    return {name: f"{name} (control)" if name in named else name for name in names}


def number(row: dict[str, Any] | None) -> str:
    """`0.6 [0.42, 0.75] n 30`."""
    if row is None:
        return ""
    value = row["value"]
    text = f"{value:.3g}" if isinstance(value, float) else show(value)
    if row.get("unit"):
        text += f" {row['unit']}"
    if "ci" in row:
        text += " [" + ", ".join(f"{end:.2g}" if isinstance(end, float) else str(end) for end in row["ci"]) + "]"
    return text + (f" n {row['n']}" if "n" in row else "")


def reasons(found: list[Line]) -> list[str]:
    """Why some cells say no, not eligible or not run; one line for the same reason on several models."""
    told: dict[tuple[str, str], list[str]] = {}
    for line in found:
        for model, cell in line.cells.items():
            if cell.why:
                label = line.ids[0] if line.ids else line.claim
                told.setdefault((label, cell.why.removeprefix("not eligible: ")), []).append(model)
    return [f"{label} on {', '.join(where)}: {why}" for (label, why), where in told.items()]


# --- three ways to show it
# ------------------------------------------------------------------------------------------------


def _print(terminal: Any, found: list[Line], config: pytest.Config) -> None:
    columns = models(found)
    cells = [[line.cells.get(model) for model in columns] for line in found]
    texts = [
        [number(cell.measured.get(name)) if cell else "" for cell in row]
        for line, row in zip(found, cells, strict=True)
        for name in rests_on(line)
    ]
    widths = [
        max(len(model), 12, *(len(row[at]) for row in texts)) if texts else max(len(model), 12)
        for at, model in enumerate(columns)
    ]
    id_width = max(len(" ".join(line.ids)) for line in found)
    indent = 2 + (id_width + 2 if id_width else 0)
    labels = [line.source for line in found] + [" " * indent + line.claim for line in found]
    labels += [" " * (indent + 2) + label for line in found for label in rests_on(line).values()]
    left = max(map(len, labels)) + 2

    terminal.section(title(config), bold=True)
    source = None
    for line, row in zip(found, cells, strict=True):
        if line.source != source:
            heads = "" if source is not None else "  ".join(f"{m:<{w}}" for m, w in zip(columns, widths, strict=True))
            terminal.line(f"{line.source:<{left}}{heads}".rstrip(), bold=True)
            source = line.source
        terminal.write(f"{'  ' + ' '.join(line.ids):<{indent}}{line.claim:<{left - indent}}")
        for cell, width in zip(row, widths, strict=True):
            verdict = cell.verdict if cell else ""
            terminal.write(f"{verdict:<{width}}  ", **COLOURS.get(verdict, {"red": True}))
        terminal.line("")
        for name, label in rests_on(line).items():
            numbers = [number(cell.measured.get(name)) if cell else "" for cell in row]
            shown = "  ".join(f"{text:<{width}}" for text, width in zip(numbers, widths, strict=True))
            terminal.line(f"{' ' * (indent + 2) + label:<{left}}{shown}".rstrip())
    for reason in reasons(found):
        terminal.line(f"  {reason}")


def title(config: pytest.Config) -> str:
    judged = "recorded findings" if options.recorded(config) else "findings"
    return f"{judged} (tier {options.tier(config)})"


def to_json(found: list[Line], config: pytest.Config) -> str:
    """For programs: every claim with its cells."""
    claims = [
        {
            **{key: getattr(line, key) for key in ("claim", "paper", "ref", "ids", "test")},
            "models": {model: vars(cell) for model, cell in line.cells.items()},
        }
        for line in found
    ]
    document = {"tier": options.tier(config), "recorded": options.recorded(config), "findings": claims}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def to_markdown(found: list[Line], config: pytest.Config) -> str:
    """For people: one table per paper."""
    columns = models(found)
    text = [f"# {title(config).capitalize()}", ""]
    source = None
    for line in found:
        if line.source != source:
            source = line.source
            text += ["", f"## {source}", ""] if source else [""]
            text += [_md_row(["", "claim", *columns]), _md_row(["---"] * (len(columns) + 2))]
        text.append(_md_row([" ".join(line.ids), line.claim, *(_md_cell(line, model) for model in columns)]))
    notes = [f"- {reason}" for reason in reasons(found)]
    return "\n".join([*text, "", *notes]).rstrip().replace("\n\n\n", "\n\n") + "\n"


def _md_cell(line: Line, model: str) -> str:
    cell = line.cells.get(model)
    if cell is None:
        return ""
    labels = rests_on(line)
    return "<br>".join(
        [f"**{cell.verdict}**", *(f"{labels[name]} {number(row)}" for name, row in cell.measured.items())]
    )


def _md_row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
