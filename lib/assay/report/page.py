"""The page: all figures with their captions, and all numbers, as one HTML file that needs nothing but its figures beside it.

    >>> cell(Metric(0.6875, n=16, ci=(0.44, 0.86)))
    ('0.688 [0.44, 0.86] n 16', '')
    >>> cell(Metric(list(range(40)), unit="layers"))[0]
    '[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16... layers, length 40'

`page.html` is its template.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.record.metric import Metric, number, show, to_row
from assay.report.figures.picture import Picture
from assay.report.library import library
from assay.report.read import Recorded


def page(
    recorded: Sequence[Recorded], drawn: Mapping[str, Sequence[tuple[Picture, Path]]], findings: Any = None
) -> str:
    """The HTML. drawn: for each experiment its pictures, and where each lies relative to the page.

    findings: the document that `pytest --findings FILE.json` writes, or None.
    """
    jinja2 = library("jinja2")
    options = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.StrictUndefined}
    templates = jinja2.Environment(loader=jinja2.PackageLoader("assay.report", "."), **options)
    claims = findings["findings"] if findings else []
    return templates.get_template("page.html").render(
        tier=recorded[0].tier,
        recorded=recorded,
        models=dict.fromkeys(model for one in recorded for model in one.models),
        claims=claims,
        judged=dict.fromkeys(model for claim in claims for model in claim["models"]),
        drawn=drawn,
        rows={one.name: numbers(one, [picture for picture, _ in drawn[one.name]]) for one in recorded},
    )


def numbers(one: Recorded, pictures: Sequence[Picture]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The table of an experiment: all metrics but those that a picture shows in full, a label and a cell for each model."""
    shown = {metric for picture in pictures for metric in picture.metrics}
    rows = []
    for name in one.names:
        found = one.of(name)
        if not all((model, name) in shown for model in found):
            control = next((f" (control: {metric.control})" for metric in found.values() if metric.control), "")
            cells = [cell(found[model]) if model in found else ("", "") for model in one.models]
            rows.append((name + control, cells))
    return rows


def cell(metric: Metric) -> tuple[str, str]:
    """The text of a metric, and its whole value if the text is cut off; else ""."""
    row = to_row(metric)
    value, text = row["value"], number(row)
    whole = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) or show(value) == whole:
        return text, ""
    return text + ("" if isinstance(value, str) else f", length {len(value)}"), whole
