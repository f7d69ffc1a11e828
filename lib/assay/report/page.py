"""The page: all figures with their captions, and all numbers, as one HTML file that needs nothing but its figures beside it."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from assay.record.metric import Metric
from assay.report.kinds import BESIDE, kind_of
from assay.report.plan import Picture
from assay.report.read import Recorded

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
nav { columns: 3; font-size: .9rem; } figure { margin: 1.2rem 0; } figure img { max-width: 100%; }
figcaption { font-size: .85rem; color: #444; } table { border-collapse: collapse; font-size: .85rem; }
th, td { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top; }
tbody tr:nth-child(even) { background: #f6f6f6; }
.wide { overflow-x: auto; } .no { color: #9a3b00; } .yes { color: #00604a; }
"""


def page(
    recorded: Sequence[Recorded], drawn: Mapping[str, Sequence[tuple[Picture, Path]]], findings: Any = None
) -> str:
    """The HTML. drawn: for each experiment its pictures, and where each lies relative to the page.

    findings: the document that `pytest --findings FILE.json` writes, or None.
    """
    tier = recorded[0].tier
    parts = [f"<h1>Recorded experiments, tier {escape(tier)}</h1>", f"<p>{escape(_models(recorded))}</p>"]
    parts.append("<nav>" + "<br>".join(f'<a href="#{one.name}">{escape(one.name)}</a>' for one in recorded) + "</nav>")
    if findings:
        parts.append(_findings(findings))
    for one in recorded:
        parts.append(f'<h2 id="{one.name}">{escape(one.name)}</h2>')
        for picture, path in drawn[one.name]:
            image = f'<img src="{escape(path.as_posix())}" alt="{escape(picture.title)}">'
            pdf = f'<a href="{escape(path.with_suffix(".pdf").as_posix())}">PDF</a>'
            parts.append(f"<figure>{image}<figcaption>{escape(picture.caption)} {pdf}</figcaption></figure>")
        parts.append(_numbers(one))
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>assay: tier {escape(tier)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def number(metric: Metric) -> str:
    """`0.69 [0.44, 0.86] n 16`."""
    value = metric.value
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    text += f" {metric.unit}" if metric.unit else ""
    text += f" [{metric.ci[0]:.2g}, {metric.ci[1]:.2g}]" if metric.ci else ""
    return text + (f" n {metric.n}" if metric.n is not None else "")


def _models(recorded: Sequence[Recorded]) -> str:
    names = dict.fromkeys(model for one in recorded for model in one.models)
    return f"{len(recorded)} experiments on {', '.join(names)}; the numbers are those of the snapshots."


def _numbers(one: Recorded) -> str:
    """The numbers that are in no figure of their own, one row each; a control below what it belongs to."""
    names = dict.fromkeys(name for metrics in one.models.values() for name in metrics)
    shown = [name for name in names if kind_of(name) is None and not BESIDE.fullmatch(name)]
    head = "".join(f"<th>{escape(model)}</th>" for model in one.models)
    rows = []
    for name in shown:
        cells = [metrics.get(name) for metrics in one.models.values()]
        if all(cell is None or not isinstance(cell.value, list) for cell in cells):
            rows.append(_row(name, cells))
    return (
        f'<div class="wide"><table><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _row(name: str, cells: Sequence[Metric | None]) -> str:
    control = next((cell.control for cell in cells if cell is not None and cell.control), None)
    beside = f" (control: {control})" if control else ""
    values = "".join(f"<td>{escape(number(cell)) if cell is not None else ''}</td>" for cell in cells)
    return f"<tr><td>{escape(name + beside)}</td>{values}</tr>"


def _findings(document: Mapping[str, Any]) -> str:
    """The claims and their verdicts, as the table of a run has them."""
    claims = document["findings"]
    models = list(dict.fromkeys(model for claim in claims for model in claim["models"]))
    head = "".join(f"<th>{escape(model)}</th>" for model in models)
    rows = []
    for claim in claims:
        verdicts = [claim["models"].get(model, {}).get("verdict", "") for model in models]
        cells = "".join(f'<td class="{"yes" if v == "yes" else "no"}">{escape(v)}</td>' for v in verdicts)
        rows.append(f"<tr><td>{escape(' '.join(claim['ids']))}</td><td>{escape(claim['claim'])}</td>{cells}</tr>")
    table = f"<table><thead><tr><th>id</th><th>claim</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<h2 id="findings">Findings</h2><div class="wide">{table}</div>'
