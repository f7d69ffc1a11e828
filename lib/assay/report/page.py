"""The page: claims, figures with their captions, and all numbers, as one HTML file that needs nothing but its figures beside it.

    >>> cell(Metric(0.6875, n=16, ci=(0.44, 0.86)))
    ('0.688 [0.44, 0.86] n 16', '')
    >>> cell(Metric(list(range(40)), unit="layers"))[0]
    '[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16... layers, length 40'
    >>> class_of("not eligible"), class_of("LOST")
    ('not-eligible', 'changed')

`page.html` is its template, `page.css` and `page.js` are put into it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from assay.record.judgement import by_chance
from assay.record.metric import Metric, number, show, to_row
from assay.report.changes import Changes, sections
from assay.report.figures.picture import Picture
from assay.report.library import library
from assay.report.read import Recorded, words
from assay.report.study import VERDICTS, Study

HERE = Path(__file__).parent


def page(
    study: Study,
    drawn: Mapping[str, Sequence[tuple[Picture, Path]]],
    cells: Mapping[str, Any] | None = None,
    changes: Changes | None = None,
    against: str = "",
) -> str:
    """The HTML. drawn: for each experiment its pictures, and where each lies relative to the page.

    cells: for each heatmap, by the stem of its picture, what lies where (`assay.report.drawing.cells`).
    changes: what changed since the revision `against`; None leaves that part out.
    """
    jinja2 = library("jinja2")
    options = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.StrictUndefined}
    templates = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE), **options)
    plain = library("markupsafe").Markup
    return templates.get_template("page.html").render(
        study=study,
        findings=[claim for paper in study.papers for claim in paper.findings],
        verdicts=VERDICTS,
        counts=counts(study),
        drawn=drawn,
        cells=cells or {},
        changes=changes,
        sections=sections,
        against=against,
        rows={
            one.name: numbers(one.recorded, [picture for picture, _ in drawn[one.name]]) for one in study.experiments
        },
        anchor=anchor,
        class_of=class_of,
        words=words,
        version=metadata.version("mlx-assay"),
        style=plain((HERE / "page.css").read_text(encoding="utf-8")),
        script=plain((HERE / "page.js").read_text(encoding="utf-8")),
    )


def anchor(name: str) -> str:
    """The id of a paper's section: "paper-hopping-too-late"."""
    return "paper-" + re.sub(r"\W+", "-", name.lower()).strip("-")


def class_of(verdict: str) -> str:
    """The class of a verdict's colour; one that is not settled ("LOST", "NOW YES") is "changed"."""
    word = verdict.removeprefix("new ")
    return word.replace(" ", "-") if word in VERDICTS else "changed"


def counts(study: Study) -> list[str]:
    """What the matrix sums up to, for the real and for the built-in models: verdicts, and how many yes chance would give."""
    lines = []
    for which, models in (("real", study.real), ("built-in", [m for m in study.models if m not in study.real])):
        found = [c.cells[model] for p in study.papers for c in p.findings for model in models if model in c.cells]
        words = {word: sum(cell.verdict.removeprefix("new ") == word for cell in found) for word in VERDICTS}
        resting = [cell for cell in found if cell.rests == "intervals"]
        yes = sum(cell.verdict.removeprefix("new ") == "yes" for cell in resting)
        if not found:
            continue
        words["changed"] = len(found) - sum(words.values())
        text = f"{which} models: " + ", ".join(f"{n} {word}" for word, n in words.items() if n)
        lines.append("; ".join(filter(None, (text, by_chance(len(resting), yes)))))
    return lines


def numbers(one: Recorded, pictures: Sequence[Picture]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """The table of an experiment: all metrics but those that a picture shows in full.

    A row is the metric's name, that of its control or "", and a cell for each model.
    """
    shown = {metric for picture in pictures for metric in picture.metrics}
    rows = []
    for name in one.names:
        found = one.of(name)
        if not all((model, name) in shown for model in found):
            control = next((metric.control for metric in found.values() if metric.control), "")
            cells = [cell(found[model]) if model in found else ("", "") for model in one.models]
            rows.append((name, control, cells))
    return rows


def cell(metric: Metric) -> tuple[str, str]:
    """The text of a metric, and its whole value if the text is cut off; else ""."""
    row = to_row(metric)
    value, text = row["value"], number(row)
    whole = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) or show(value) == whole:
        return text, ""
    return text + ("" if isinstance(value, str) else f", length {len(value)}"), whole
