"""The numbers of a study for programs: every metric as a row of CSV, or claims and metrics as JSON.

    paper,experiment,model,metric,value,low,high,n,clusters,unit,control
    Hopping Too Late,backpatch_t1,gemma_tiny,any_pair_back,0.944444,0.818556,0.984573,36,,,any_pair_donor

Values are those of the snapshots: a list or a table stands in its cell as JSON.
"""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from assay.record.metric import to_row
from assay.report.study import Study

COLUMNS = ("paper", "experiment", "model", "metric", "value", "low", "high", "n", "clusters", "unit", "control")


def rows(study: Study) -> Iterator[tuple[Any, ...]]:
    """The metrics of all experiments and models, in the order of the page."""
    for paper in study.papers:
        for one in paper.experiments:
            for model, metrics in one.recorded.models.items():
                for name, metric in metrics.items():
                    row = to_row(metric)
                    value = row["value"] if isinstance(row["value"], int | float | str) else json.dumps(row["value"])
                    low, high = row.get("ci", ("", ""))
                    rest = (row.get(key, "") for key in ("n", "clusters", "unit", "control"))
                    yield (paper.name, one.name, model, name, value, low, high, *rest)


def to_csv(study: Study) -> str:
    """One line for each metric."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows(study))
    return text.getvalue()


def to_json(study: Study) -> str:
    """Papers with their claims and verdicts, and the metrics of their experiments by model."""
    papers = [
        {
            "paper": paper.title,
            "source": paper.source,
            "claims": [
                {
                    "claim": claim.sentence, "ids": claim.ids, "test": claim.test,
                    "verdicts": {model: {"verdict": cell.verdict, "why": cell.why} for model, cell in claim.cells.items()},
                }
                for claim in paper.findings
            ],
            "experiments": {
                one.name: {
                    "title": one.title,
                    "models": {
                        model: {name: to_row(metric) for name, metric in metrics.items()}
                        for model, metrics in one.recorded.models.items()
                    },
                }
                for one in paper.experiments
            },
        }
        for paper in study.papers
    ]  # fmt: skip
    return json.dumps({"tier": study.tier, "papers": papers}, indent=1, ensure_ascii=False) + "\n"
