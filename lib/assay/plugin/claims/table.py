"""The table of findings: one line per claim, one column per model, and below each claim the metrics of its verdicts.

    Hopping Too Late, arXiv:2406.12775         gemma2b                 llama3b
      HTL-7  back-patching rescues failures    yes                     no
               rescue_rate                     0.6 [0.42, 0.75] n 30   0.1 [0.04, 0.2] n 41
               null_rate (control)             0.07 [0.02, 0.2] n 30   0.05 [0.01, 0.2] n 41

This file makes the table from the collected tests and the cells, and writes it as JSON (for programs) or Markdown (for
people). terminal.py prints it, summary.py collects the cells from the reports of a run.
"""

import json
import re
from dataclasses import dataclass, field
from itertools import groupby

import pytest

from assay.plugin import options
from assay.plugin.models.collected import Collected
from assay.record.metric import Row, number


@dataclass
class Cell:
    """The verdict of one claim on one model, and its metrics."""

    verdict: str = "not run"
    why: str = ""
    measured: dict[str, Row] = field(default_factory=dict)
    rests: str = ""
    """What it rests on: "intervals", "identity" or "assertion"; "" where nothing was judged."""


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
    experiments: list[str] = field(default_factory=list)
    """The experiments whose metrics it is judged from."""

    @property
    def source(self) -> str:
        return ", ".join(filter(None, [self.paper, self.ref]))


def lines(collected: Collected, cells: dict[str, Cell]) -> list[Line]:
    """The claims of the collected tests, in order, with the cells known so far by node id."""
    found: dict[str, Line] = {}
    for nodeid, planned in collected.items():
        if about := planned["finding"]:
            keys = ("test", "claim", "paper", "ref", "ids", "control", "experiments")
            # One test may be parametrized beyond the model: then every variant is a claim of its own.
            variant = "-".join(
                id for id in nodeid.partition("[")[2].removesuffix("]").split("-") if id != about["model"]
            )
            line = found.setdefault(about["test"] + variant, Line(**{key: about[key] for key in keys}, cells={}))
            if variant:
                line.claim = f"{about['claim']} [{variant}]"
            line.cells[about["model"]] = cells.get(nodeid, Cell())
    return _in_order(list(found.values()))


def _in_order(found: list[Line]) -> list[Line]:
    """Papers in the order of collection, the claims of each part of a paper by number; claims without an id last."""
    papers = {line.paper: at for at, line in reversed(list(enumerate(found)))}
    parts: dict[str, tuple[tuple[float, ...], int]] = {}
    for at, line in enumerate(found):
        parts[line.source] = min(parts.get(line.source, (_number_of(line), at)), (_number_of(line), at))
    return sorted(found, key=lambda line: (papers[line.paper], parts[line.source], _number_of(line)))


def _number_of(line: Line) -> tuple[float, ...]:
    """(7,) of HTL-7, (0, 2) of PLAN-0.2."""
    return tuple(int(digits) for digits in re.findall(r"\d+", line.ids[0])) if line.ids else (float("inf"),)


def models(found: list[Line]) -> list[str]:
    """The columns, in the order in which the models ran."""
    return list(dict.fromkeys(model for line in found for model in line.cells))


def rests_on(line: Line) -> dict[str, str]:
    """Metric name -> label, for all metrics that the claim's verdicts rest on."""
    named = {line.control, *(row.get("control") for cell in line.cells.values() for row in cell.measured.values())}
    names = dict.fromkeys(name for cell in line.cells.values() for name in cell.measured)
    return {name: f"{name} (control)" if name in named else name for name in names}


def reasons(found: list[Line]) -> list[str]:
    """Why some cells say no, undecided, not eligible or not run; claims and models with the same reason share a line."""
    where: dict[tuple[str, str], dict[str, None]] = {}
    for line in found:
        for model, cell in line.cells.items():
            if cell.why:
                label = line.ids[0] if line.ids else line.claim
                where.setdefault((cell.why.removeprefix("not eligible: ").removeprefix("undecided: "), label), {})[
                    model
                ] = None
    told: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (why, label), models in where.items():
        told.setdefault((why, tuple(models)), []).append(label)
    return [f"{', '.join(labels)} on {', '.join(models)}: {why}" for (why, models), labels in told.items()]


def to_paste(found: list[Line], tier: str) -> list[tuple[str, str]]:
    """(test, the `not_replicated` line that would record it) of every claim that failed in its first measurement."""
    lines = []
    for line in found:
        failed = {model: cell for model, cell in line.cells.items() if cell.verdict == "new no"}
        for model, cell in failed.items():
            numbers = ", ".join(f"{name} {number(row)}" for name, row in cell.measured.items()) or "say why"
            mark = f'"{model}", tier="{tier}", reason={json.dumps(numbers, ensure_ascii=False)}'
            lines.append((line.test, f"@not_replicated({mark})"))
    return lines


def title(config: pytest.Config) -> str:
    judged = "recorded findings" if options.recorded(config) else "findings"
    return f"{judged} (tier {options.tier(config)})"


def to_json(found: list[Line], config: pytest.Config) -> str:
    """For programs: every claim with its cells."""
    claims = [
        {
            **{key: getattr(line, key) for key in ("claim", "paper", "ref", "ids", "test", "experiments")},
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
    for source, claims in groupby(found, key=lambda line: line.source):
        rows = [[" ".join(line.ids), line.claim, *(_md_cell(line, model) for model in columns)] for line in claims]
        text += ["", *([f"## {source}", ""] if source else []), *md_table(["", "claim", *columns], rows)]
    notes = [f"- {reason}" for reason in reasons(found)]
    return "\n".join([*text, "", *notes]).rstrip().replace("\n\n\n", "\n\n") + "\n"


def _md_cell(line: Line, model: str) -> str:
    if (cell := line.cells.get(model)) is None:
        return ""
    labels = rests_on(line)
    numbers = [f"{labels[name]} {number(row)}" for name, row in cell.measured.items()]
    return "<br>".join([f"**{cell.verdict}**", *numbers])


def md_table(head: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    cells = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
