"""Report: figures and one page of HTML, drawn from the snapshots alone; no model and no MLX is needed.

    $ assay report                                   # snapshots/ -> report/index.html, report/figures/*.svg and *.pdf
    $ assay report --snapshots DIR --out DIR --tier full
    $ pytest --recorded --findings findings.json && assay report --findings findings.json     # verdicts on the page too

The name of a metric decides its figure: `assay.report.figures` has the table. `read` reads the snapshots, `figures` makes
pictures of it and draws them (matplotlib), `page` shows the figures and all other numbers (jinja2).
"""

import json
from pathlib import Path

from assay.errors import SnapshotError


def write_report(snapshots: Path, out: Path, tier: str = "quick", findings: Path | None = None) -> Path:
    """Draws everything that is recorded at a tier; returns the page, `out/index.html`. Figures lie in `out/figures`.

    `out/captions.md` has the captions by themselves. Raises SnapshotError when nothing is recorded, or a file is damaged,
    and NotInstalled when matplotlib or jinja2 is missing, before anything is written.
    """
    from assay.record.files import replace
    from assay.report.figures import pictures
    from assay.report.figures.sheet import draw, save
    from assay.report.library import library
    from assay.report.page import page
    from assay.report.read import read_snapshots

    for needed in ("matplotlib", "jinja2"):
        library(needed)
    recorded, verdicts = read_snapshots(snapshots, tier), _read_findings(findings)
    drawn = {}
    for one in recorded:
        drawn[one.name] = []
        for picture in pictures(one):
            svg, _ = save(draw(picture), out / "figures", picture.stem)
            drawn[one.name].append((picture, svg.relative_to(out)))
    captions = [f"- `{path.name}`: {picture.caption}" for found in drawn.values() for picture, path in found]
    replace(out / "captions.md", "\n".join(captions) + "\n")
    replace(out / "index.html", page(recorded, drawn, verdicts))
    return out / "index.html"


def _read_findings(path: Path | None) -> dict | None:
    """The document that `pytest --findings FILE.json` wrote."""
    if path is None:
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        document["findings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SnapshotError(
            f"{path} is not a file of findings: {error}; write it with `pytest --recorded --findings {path}`"
        ) from error
    return document
