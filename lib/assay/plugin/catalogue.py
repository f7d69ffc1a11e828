"""The catalogue: every experiment of the papers by id, and what became of it (`--catalogue FILE.md`).

    HTL-7   Back-patching from t1     suites/hopping_too_late/test_backpatch.py::test_rescues     yes     no
    HTL-11  Single-hop knockout       not attempted

An *id* is a paper's letters and a number. Ids with other letters are another repository's own and are free;
an id with known letters and an unknown number is a typing error.
"""

import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from assay.errors import near

if TYPE_CHECKING:
    from .table import Line


@cache
def papers() -> list[dict]:
    """`{"paper", "ref", "experiments": {id: title}}`, in the order of the page."""
    text = resources.files("assay.plugin").joinpath("catalogue.json").read_text(encoding="utf-8")
    return json.loads(text)


@cache
def known() -> dict[str, str]:
    """Id -> title."""
    return {id: title for paper in papers() for id, title in paper["experiments"].items()}


def check_id(id: str, where: str) -> None:
    """Raises UsageError for an id that looks like one of the catalogue and is not."""
    letters = {name.partition("-")[0] for name in known()}
    if id not in known() and id.partition("-")[0] in letters:
        guesses = " or ".join(near(id, known()))
        raise pytest.UsageError(f"{where}: no experiment has the id {id!r}. Did you mean {guesses}?")


def page(found: "list[Line]", tier: str) -> str:
    """The page, from the findings of a run."""
    from .table import models

    columns = models(found)
    by_id: dict[str, list[Line]] = {}
    for line in found:
        for id in line.ids:
            by_id.setdefault(id, []).append(line)
    attempted = sum(id in by_id for id in known())
    text = [
        "# Experiments",
        "",
        f"Written by `pytest --catalogue`, tier {tier}: {attempted} of {len(known())} experiments have a finding.",
    ]
    for paper in papers():
        text += _section(f"{paper['paper']} ({paper['ref']})", paper["experiments"], by_id, columns)
    own = {id: "" for id in by_id if id not in known()}
    if own:
        text += _section("Other experiments", own, by_id, columns)
    return "\n".join(text) + "\n"


def _section(title: str, ids: dict[str, str], by_id: "dict[str, list[Line]]", columns: list[str]) -> list[str]:
    text = ["", f"## {title}", "", _row(["id", "experiment", "finding", *columns])]
    text.append(_row(["---"] * (len(columns) + 3)))
    for id, what in ids.items():
        if id not in by_id:
            text.append(_row([id, what, "*not attempted*", *[""] * len(columns)]))
        for line in by_id.get(id, []):
            verdicts = [line.cells[model].verdict if model in line.cells else "" for model in columns]
            text.append(_row([id, what, f"{line.claim} (`{line.test}`)", *verdicts]))
    return text


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
