"""The page shows every recorded metric: in a figure, or in the table of its experiment."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from assay.record.metric import Metric
from assay.report.figures import pictures
from assay.report.page import cell, page
from assay.report.read import read_snapshots
from assay.report.study import Experiment, Paper, Study
from assay.report.suites import Module

ROOT = Path(__file__).parents[2]


class Tables(HTMLParser):
    """The cells of the tables of numbers: by (experiment, model, metric), what stands there."""

    def __init__(self, html):
        super().__init__()
        self.cells, self.article, self.row, self.models, self.into, self.title = {}, "", [], [], None, ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "article":
            self.article = dict(attrs)["id"]
        if tag == "tr":
            self.row = []
        if tag == "table":
            self.models = []
        if tag in ("td", "th"):
            self.into, self.title = "", dict(attrs).get("title", "")

    def handle_data(self, data):
        if self.into is not None:
            self.into += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.row.append(self.title or self.into)
            self.into = None
        elif tag == "thead" and self.article:
            self.models = self.row[1:]
        elif tag == "tr" and self.models:
            name = self.row[0]
            for model, text in zip(self.models, self.row[1:], strict=True):
                if text:
                    self.cells[self.article, model, name] = text


def shown_of(folder, tier="quick"):
    """(recorded, the page's cells, what its figures show)."""
    recorded = read_snapshots(folder, tier)
    paper = Paper("Ours", "Ours", "", "", {}, [Experiment(one, one.name, Module("")) for one in recorded])
    study = Study(tier, [paper], list(dict.fromkeys(model for one in recorded for model in one.models)))
    drawn = {one.name: [(p, Path("figures") / f"{p.stem}.svg") for p in pictures(one)] for one in recorded}
    html = page(study, drawn)
    assert all(path.as_posix() in html for found in drawn.values() for _, path in found)
    figures = {(name, *metric) for name, found in drawn.items() for p, _ in found for metric in p.metrics}
    return recorded, Tables(html).cells, figures


@pytest.mark.parametrize("tier", ["smoke", "quick"])
def test_nothing_that_this_repository_recorded_is_missing(tier):
    recorded, table, figures = shown_of(ROOT / "snapshots", tier)
    expected = {(one.name, model, name) for one in recorded for model in one.models for name in one.models[model]}
    assert len(expected) > (4000 if tier == "quick" else 7)
    assert expected - table.keys() - figures == set()
    assert table.keys() <= expected


def test_a_number_stands_in_the_table_as_the_table_of_findings_has_it(snapshots):
    _, table, _ = shown_of(snapshots)
    assert table["patching", "qwen7b", "rescued"] == "0.75 [0.5, 0.9] n 16"
    assert table["patching", "qwen7b", "best_pair"] == "[3, 1]"
    assert "a" in table["knockout", "llama_tiny", "words_by_layer"]


def test_a_long_value_can_be_opened():
    assert cell(Metric([0.5, 1])) == ("[0.5, 1]", "")
    text, whole = cell(Metric([[0.123456] * 9] * 3, n=4))
    assert text.endswith("... n 4, length 3")
    assert whole.count("0.123456") == 27
    assert cell(Metric("because " * 20)) == (("because " * 20)[:57] + "...", "because " * 20)
    assert cell(Metric({str(i): i for i in range(30)}))[0].endswith("..., length 30")
