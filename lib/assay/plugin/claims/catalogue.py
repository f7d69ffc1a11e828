"""The catalogue: every experiment of the papers by id, with its tests and verdicts (`--catalogue FILE.md`).

HTL-7   Back-patching from t1     suites/hopping_too_late/test_backpatch.py::test_rescues     yes     no
HTL-11  Single-hop knockout       not attempted
"""

from typing import Any

from assay.plugin.claims.table import Line, md_table, models
from assay.record.papers import known, papers


def page(found: list[Line], tier: str) -> str:
    """The page, from the findings of a run."""
    columns = models(found)
    by_id: dict[str, list[Line]] = {}
    for line in found:
        for id in line.ids:
            by_id.setdefault(id, []).append(line)
    attempted = f"{sum(id in by_id for id in known())} of {len(known())}"
    text = [
        "# Experiments",
        "",
        f"Written by `pytest --catalogue`, tier {tier}: {attempted} experiments have a finding.",
    ]
    for paper in papers():
        text += _section(_title(paper), paper["experiments"], by_id, columns)
    own = {id: "" for id in by_id if id not in known()}
    if own:
        text += _section("Other experiments", own, by_id, columns)
    return "\n".join(text) + "\n"


def _title(paper: dict[str, Any]) -> str:
    source = ", ".join(filter(None, [paper["authors"], paper["ref"]]))
    return f"{paper['paper']} ({source})" if source else paper["paper"]


def _section(title: str, ids: dict[str, str], by_id: dict[str, list[Line]], columns: list[str]) -> list[str]:
    rows = []
    for id, what in ids.items():
        if id not in by_id:
            rows.append([id, what, "*not attempted*", *[""] * len(columns)])
        for line in by_id.get(id, []):
            verdicts = [line.cells[model].verdict if model in line.cells else "" for model in columns]
            rows.append([id, what, f"{line.claim} (`{line.test}`)", *verdicts])
    return ["", f"## {title}", "", *md_table(["id", "experiment", "finding", *columns], rows)]
