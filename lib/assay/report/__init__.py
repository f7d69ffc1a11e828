"""Report: what was found, as one page with figures, drawn from the snapshots alone; no model and no MLX is needed.

    $ assay report                                   # snapshots/ -> report/index.html, report/figures/*.svg and *.pdf
    $ assay report --tier full --json numbers.json --csv numbers.csv
    $ assay diff main                                # what changed since a revision (`changes.py`)

`study` puts papers, experiments, claims and verdicts together; `figures` says what a metric looks like, by its name; `drawing`
draws what changed, on all cores (matplotlib); `page` shows everything (jinja2); `tables` writes the same numbers for programs.
"""

from pathlib import Path


def write_report(
    snapshots: Path,
    out: Path,
    tier: str = "quick",
    findings: Path | None = None,
    csv: Path | None = None,
    json: Path | None = None,
    against: str | None = None,
) -> Path:
    """Draws everything that is recorded at a tier; returns the page, `out/index.html`. Figures lie in `out/figures`.

    findings: what `pytest --recorded --findings FILE.json` wrote; without it pytest is run, where the snapshots have suites.
    csv, json: files for the same numbers. against: a git revision; what changed since is the first part of the page.
    `out/captions.md` has the captions by themselves. Raises SnapshotError when nothing is
    recorded, or a file is damaged, and NotInstalled when matplotlib or jinja2 is missing, before anything is written.
    """
    from assay.record.files import replace
    from assay.report import changes, tables
    from assay.report.drawing import draw_all
    from assay.report.library import library
    from assay.report.page import page
    from assay.report.study import read_study

    for needed in ("matplotlib", "jinja2"):
        library(needed)
    study = read_study(snapshots, tier, findings, out / "claims.json")
    changed = changes.changes(changes.in_git(snapshots, against), changes.on_disk(snapshots)) if against else None
    drawn, cells = draw_all(study, out / "figures")
    beside = {name: [(picture, path.relative_to(out)) for picture, path in found] for name, found in drawn.items()}
    captions = [f"- `{path.name}`: {picture.caption}" for found in beside.values() for picture, path in found]
    replace(out / "captions.md", "\n".join(captions) + "\n")
    replace(out / "index.html", page(study, beside, cells, changed, against or ""))
    if csv is not None:
        replace(csv, tables.to_csv(study))
    if json is not None:
        replace(json, tables.to_json(study))
    return out / "index.html"
