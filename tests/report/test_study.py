"""A study: claims by paper, what the suites say, what is kept for the next time, and the same numbers for programs."""

import ast
import csv
import io
import json
import re
from pathlib import Path

import pytest

from assay.errors import SnapshotError
from assay.record.papers import papers as catalogue
from assay.report import tables
from assay.report.drawing import draw_all
from assay.report.study import OWN, read_study
from assay.report.suites import entitled, read_module, read_modules


def test_the_claims_are_judged_and_stand_with_their_experiment(repository):
    study = read_study(repository / "snapshots", "quick")
    paper = study.papers[0]
    assert (paper.name, [one.name for one in paper.experiments]) == ("Hopping Too Late", ["patching"])
    one = paper.experiments[0]
    assert one.title == "Patching of queries that fail"
    assert one.module.method == "A state is put in elsewhere. A query is rescued when it is right."
    assert one.command.startswith("pytest suites/test_patching.py --model llama_tiny,qwen7b")
    (claim,) = one.claims
    assert claim.cells["llama_tiny"].verdict == "yes"
    assert claim.cells["llama_tiny"].rests == "intervals"
    assert "rescued 0.75 [0.5, 0.9] n 16" in claim.cells["llama_tiny"].numbers
    assert {other.name for other in study.papers[-1].experiments} == {"knockout", "timeline", "mixed"}
    assert study.papers[-1].title == OWN
    assert study.real == ["qwen7b"]
    assert study.models == ["qwen7b", "llama_tiny"]


def test_pytest_is_run_again_only_after_a_change(repository, monkeypatch):
    kept, first = (
        repository / "claims.json",
        read_study(repository / "snapshots", "quick", None, repository / "claims.json"),
    )
    monkeypatch.setattr("assay.report.study.judge", lambda *_: pytest.fail("nothing has changed"))
    again = read_study(repository / "snapshots", "quick", None, kept)
    assert again.papers[0].findings == first.papers[0].findings
    suite = repository / "suites" / "test_patching.py"
    suite.write_text(suite.read_text().replace("patching rescues", "patching saves"))
    monkeypatch.undo()
    assert read_study(repository / "snapshots", "quick", None, kept).papers[0].findings[0].sentence == "patching saves"


def test_suites_that_cannot_be_judged_are_one_sentence(repository):
    suite = repository / "suites" / "test_patching.py"
    suite.write_text(suite.read_text() + "\nraise OSError('broken')\n")
    with pytest.raises(SnapshotError, match="could not judge the claims"):
        read_study(repository / "snapshots", "quick")


def test_every_metric_is_a_line_of_csv_and_in_the_json(snapshots):
    study = read_study(snapshots, "quick")
    lines = list(csv.DictReader(io.StringIO(tables.to_csv(study))))
    document = json.loads(tables.to_json(study))
    metrics = [
        (name, model, metric)
        for paper in document["papers"]
        for name, one in paper["experiments"].items()
        for model, found in one["models"].items()
        for metric in found
    ]
    assert len(lines) == len(metrics) == sum(len(m) for one in study.experiments for m in one.recorded.models.values())
    (rescued,) = [line for line in lines if (line["model"], line["metric"]) == ("qwen7b", "rescued")]
    assert (rescued["value"], rescued["low"], rescued["high"], rescued["n"], rescued["control"]) == (
        "0.75",
        "0.5",
        "0.9",
        "16",
        "donor",
    )


def test_only_what_changed_is_drawn(snapshots, tmp_path):
    for path in snapshots.glob("*/*.json"):
        if path.stem != "timeline" or path.parent.name != "llama_tiny":
            path.unlink()
    study, folder = read_study(snapshots, "quick"), tmp_path / "figures"
    draw_all(study, folder)
    times = {path: path.stat().st_mtime_ns for path in folder.glob("*.svg")}
    assert len(times) == 2
    draw_all(study, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.svg")} == times
    path = snapshots / "llama_tiny" / "timeline.json"
    document = json.loads(path.read_text())
    document["timeline@quick"]["stages_wrong"]["value"] = [[1], [3]]
    path.write_text(json.dumps(document))
    draw_all(read_study(snapshots, "quick"), folder)
    changed = [path.stem for path, time in times.items() if path.stat().st_mtime_ns != time]
    assert len(changed) == 1
    document["timeline@quick"].pop("stages_lens_right")
    path.write_text(json.dumps(document))
    draw_all(read_study(snapshots, "quick"), folder)
    assert len(list(folder.glob("*.svg"))) == 1  # the other one is gone


@pytest.mark.parametrize(
    ("name", "docstring", "title"),
    [
        ("backpatch_t1", "HTL-7: back-patching at t1. More.", "Back-patching at t1"),
        ("x", "REF-5, REF-7: refusal of requests.", "Refusal of requests"),
        ("two_words", None, "Two words"),
    ],
)
def test_titles(name, docstring, title):
    assert entitled(name, docstring) == title


def test_a_suite_that_is_no_python(tmp_path):
    (tmp_path / "test_x.py").write_text("def (")
    with pytest.raises(SnapshotError, match=r"test_x\.py cannot be read"):
        read_module(tmp_path / "test_x.py")


def test_every_experiment_of_this_repository_has_a_title_and_a_method():
    modules = [m for m in read_modules(Path(__file__).parents[2]) if m.path.startswith("suites/")]
    assert len(modules) > 20
    assert all(module.title for module in modules)


def test_every_claim_of_this_repository_reads_alone():
    suites = Path(__file__).parents[2] / "suites"
    calls = [node for path in suites.rglob("test_*.py") for node in ast.walk(ast.parse(path.read_text()))]
    found = [node for node in calls if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "finding"]
    titles = [node.args[0].value for node in found if isinstance(node.args[0], ast.Constant)]
    assert len(titles) > 90
    leaning = re.compile(r"(the same,|it |its |they |so |and |nor |these |those |more |added,|subtracted,)")
    assert [title for title in titles if leaning.match(title)] == []


def test_every_paper_with_claims_explains_its_words():
    papers = [paper for paper in catalogue() if "claims" in paper]
    assert len(papers) > 6
    assert [paper["name"] for paper in papers if not paper.get("terms")] == []


def test_minutes_are_those_of_the_narrowest_folder(tmp_path):
    folder = tmp_path / "suites" / "a"
    folder.mkdir(parents=True)
    for name in ("x", "y"):
        (folder / f"test_{name}.py").write_text("@experiment\ndef found(lm):\n    return {}\n")
    (tmp_path / "suites" / "minutes.json").write_text(
        '{"about": "", "one": {"suites/a": 7, "suites/a/test_x.py": 2.5}, "two": {"suites/b": 1}}'
    )
    x, y = read_modules(tmp_path)
    assert x.minutes == {"one": ("suites/a/test_x.py", 2.5)}
    assert y.minutes == {"one": ("suites/a", 7.0)}
    (tmp_path / "suites" / "minutes.json").write_text('{"one": 3}')
    with pytest.raises(SnapshotError, match="not a table of minutes"):
        read_modules(tmp_path)
