"""Recording and comparing metrics: `assert metrics == result`."""

import json

import pytest
from repositories import RESCUE

from assay.plugin.results import made_by as made_by_module

AD_HOC = """
    import os, pytest
    from assay.plugin import Metric

    @pytest.mark.parametrize("lang", ["en", "fr"])
    def test_lang(lm, lang, metrics):
        assert metrics == {"x": Metric(1.0 if lang == "en" else 0.5, tol=0.1)}

    class TestNorms:
        def test_twice(self, lm, metrics):
            assert metrics(name="early") == {"norm": float("inf")}
            assert metrics(name="late") == {"norm": float("nan"), "ok": True}

    def test_free(metrics):
        assert metrics == {"y": 3}
"""


def test_first_run_records(repo, run):
    repo.suite(test_rescue=RESCUE)
    result = run()
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*2 snapshots generated*"])
    assert repo.rows()["rate"] == {
        "value": 0.8, "n": 30, "ci": [0.626943, 0.904949], "tol": 0.1, "control": "null",
    }  # fmt: skip
    assert repo.rows()["layer"] == {"value": 17}
    assert {path.name for path in (repo.path / "snapshots").rglob("*") if path.is_file()} == {"rescue.json"}
    assert '    "layer": {"value": 17}' in repo.file().read_text().splitlines()  # one metric per line


def test_metrics_without_an_experiment_are_named_by_their_test(repo, run):
    repo.suite(test_norms=AD_HOC)
    run("--model", "toy_a").assert_outcomes(passed=4)
    document = repo.document(name="norms")
    assert {made_by["revision"] for made_by in document["_made_by"].values()} == {"r1"}
    assert (
        sorted(document.pop("_made_by"))
        == sorted(document)
        == [
            "TestNorms.test_twice:early@quick",
            "TestNorms.test_twice:late@quick",
            "test_lang[en]@quick",
            "test_lang[fr]@quick",
        ]
    )
    assert document["TestNorms.test_twice:late@quick"] == {"norm": {"value": "nan"}, "ok": {"value": True}}
    assert document["TestNorms.test_twice:early@quick"] == {"norm": {"value": "inf"}}
    assert repo.document("_shared", "norms") == {"test_free@quick": {"y": {"value": 3}}}
    run("--model", "toy_a").assert_outcomes(passed=4)  # nan and inf compare equal to themselves


def test_metrics_without_names_are_counted(repo):
    repo.suite(test_two="def test_it(lm, metrics):\n    assert metrics == {'x': 1}\n    assert metrics == {'x': 2}")
    repo.run("--model", "toy_a").assert_outcomes(passed=1)
    document = repo.document(name="two")
    assert (document["test_it@quick"], document["test_it.1@quick"]) == ({"x": {"value": 1}}, {"x": {"value": 2}})
    repo.run("--snapshots", "audit").stdout.fnmatch_lines(["0 stale"])


def test_metrics_that_must_differ_are_refused_and_not_recorded(repo):
    repo.suite(test_two="def test_it(lm, metrics): assert metrics != {'x': 1}")
    result = repo.run("--model", "toy_a")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*TypeError: metrics are compared with ==, which also records them*"])
    assert not repo.snapshots()


@pytest.mark.parametrize("variable", ["CI", "BUILD_NUMBER"])
def test_missing_metrics_are_refused_under_ci(repo, run, monkeypatch, variable):
    repo.suite(test_rescue=RESCUE)
    monkeypatch.setenv(variable, "1")
    result = run("--model", "toy_a")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*Snapshot 'test_metrics -> rescue@quick' does not exist!*"])
    assert not (repo.path / "snapshots").exists()


def test_empty_ci_variable_is_no_ci(repo, monkeypatch):
    repo.suite(test_rescue=RESCUE)
    monkeypatch.setenv("CI", "")
    repo.run("--model", "toy_a").assert_outcomes(passed=2)
    assert repo.file().exists()


@pytest.mark.parametrize(
    ("mode", "ci", "outcomes"),
    [("new", "1", {"passed": 2}), ("none", "", {"passed": 1, "failed": 1})],
)
def test_snapshots_new_and_none(repo, monkeypatch, mode, ci, outcomes):
    repo.suite(test_rescue=RESCUE)
    monkeypatch.setenv("CI", ci)
    repo.run("--model", "toy_a", "--snapshots", mode).assert_outcomes(**outcomes)
    assert repo.file().exists() == (mode == "new")


def test_within_tolerance_nothing_is_written(repo, monkeypatch):
    repo.suite(test_rescue=RESCUE)
    repo.run()
    before = repo.file().stat().st_mtime_ns
    monkeypatch.setenv("HITS", "26")
    repo.run("--snapshot-update").assert_outcomes(passed=4)
    assert repo.file().stat().st_mtime_ns == before


def test_a_change_is_shown_with_n_interval_and_what_measured_it(repo, run, monkeypatch):
    repo.suite(test_rescue=RESCUE)
    run("--model", "toy_a")
    before = repo.snapshots()
    monkeypatch.setenv("HITS", "29")
    monkeypatch.setenv("REVISION", "r2")
    result = run("--model", "toy_a")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*~ rate   0.8 -> 0.966667  (+0.1667, +20.8%, n 30, CI 0.833..0.994*, tol 0.1)",
            "*measured with revision r2, recorded with r1",
        ]
    )
    assert repo.snapshots() == before


@pytest.mark.parametrize("registered", [True, False])
def test_a_helper_shows_the_change_when_pytest_may_rewrite_it(repo, monkeypatch, registered):
    """Without that it fails all the same, with a bare AssertionError."""
    (repo.path / "suites").mkdir()
    (repo.path / "suites" / "helper.py").write_text("def check(metrics, result): assert metrics == result")
    if registered:
        with (repo.path / "conftest.py").open("a") as file:
            file.write("\nimport pytest; pytest.register_assert_rewrite('helper')\n")
    text = RESCUE.replace("assert metrics == rescue", "helper.check(metrics, rescue)")
    repo.suite(test_rescue=text.replace("import os", "import os, helper"))
    repo.run("--model", "toy_a").assert_outcomes(passed=2)
    monkeypatch.setenv("LAYER", "18")
    result = repo.run("--model", "toy_a")
    result.assert_outcomes(passed=1, failed=1)
    assert ("~ layer  17 -> 18" in result.stdout.str()) == registered


def test_update_changes_one_line_and_keeps_the_rest(repo, monkeypatch):
    repo.suite(test_rescue=RESCUE)
    repo.run("--model", "toy_a")
    before = repo.file().read_text().splitlines()
    monkeypatch.setenv("HITS", "25")  # within tolerance
    monkeypatch.setenv("LAYER", "18")
    repo.run("--model", "toy_a", "--snapshot-update").assert_outcomes(passed=2)
    after = repo.file().read_text().splitlines()
    assert [new for old, new in zip(before, after, strict=True) if old != new] == ['    "layer": {"value": 18}']


def test_what_made_it_is_recorded_and_software_is_no_difference(repo, monkeypatch):
    repo.suite(test_rescue=RESCUE)
    repo.run("--model", "toy_a")
    made_by = repo.document()["_made_by"]["rescue@quick"]
    assert made_by["revision"] == "r1"
    assert made_by["bits"] == 4
    assert made_by["assay"]
    before = repo.snapshots()
    monkeypatch.setattr("platform.machine", lambda: "abacus")
    made_by_module._here.cache_clear()
    repo.run("--model", "toy_a", "--snapshot-update").assert_outcomes(passed=2)
    made_by_module._here.cache_clear()
    assert repo.snapshots() == before


def test_the_hash_of_the_prompts_is_recorded(repo):
    (repo.path / "suites").mkdir()
    (repo.path / "suites" / "prompts.json").write_text('["a"]')
    text = """
        from assay.plugin import experiment
        @experiment(prompts="prompts.json")
        def from_file(lm): return {"x": 1}
        @experiment(prompts=["a", "b"])
        def from_data(lm): return {"x": 1}
        def test_metrics(from_file, from_data, metrics):
            assert metrics == from_file
            assert metrics == from_data
    """
    repo.suite(test_prompts=text)
    repo.run("--model", "toy_a").assert_outcomes(passed=1)
    file, data = (
        repo.document(name=name)["_made_by"][f"{name}@quick"]["prompts"] for name in ("from_file", "from_data")
    )
    assert len(file) == len(data) == 12
    assert file != data
    (repo.path / "suites" / "prompts.json").write_text('["c"]')
    repo.file(name="from_file").unlink()
    repo.run("--model", "toy_a").assert_outcomes(passed=1)
    assert repo.document(name="from_file")["_made_by"]["from_file@quick"]["prompts"] != file


@pytest.mark.parametrize(
    "args",
    [
        ["--model", "toy_a"],
        ["-k", "rescues"],
        ["suites/test_rescue.py::test_rescues"],
        ["suites/test_rescue.py"],
        ["--ignore", "suites/test_rescue.py"],
        ["--deselect", "suites/test_rescue.py::test_metrics"],
        ["-x"],
        ["--co"],
        ["--snapshot-dirname", "snapshots"],
        ["-n", "2", "-k", "rescues"],
        ["-n", "2", "--model", "toy_a"],
    ],
    ids=" ".join,
)
def test_a_partial_update_deletes_nothing(repo, args):
    repo.suite(test_rescue=RESCUE, test_norms=AD_HOC)
    repo.run()
    before = repo.snapshots()
    result = repo.run("--snapshot-update", *args)
    assert repo.snapshots() == before
    assert len(before) == 5
    result.stdout.no_fnmatch_line("*unused*")


@pytest.mark.parametrize("broken", ["lm", "body"])
def test_an_update_with_a_broken_test_deletes_nothing(repo, run, monkeypatch, broken):
    repo.suite(test_rescue=RESCUE)
    repo.run()
    before = repo.snapshots()
    if broken == "lm":
        monkeypatch.setenv("OOM", "toy_b")
    else:
        repo.suite(test_rescue=RESCUE.replace("assert metrics == rescue", "raise OSError; assert metrics == rescue"))
    result = run("--snapshot-update", "-x")
    assert result.ret != 0
    assert repo.snapshots() == before


def test_other_snapshots_of_the_repository_keep_syrupys_rules(repo):
    repo.suite(test_amber="def test_other(snapshot): assert snapshot == 3")
    repo.run().assert_outcomes(failed=1)


def test_a_full_disk_is_an_error_and_leaves_the_old_bytes(repo, monkeypatch):
    repo.suite(test_rescue=RESCUE)
    repo.run()
    before = repo.snapshots()
    monkeypatch.setenv("LAYER", "18")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    result = repo.run("--snapshot-update", "--model", "toy_a")
    monkeypatch.undo()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E*OSError: [[]Errno 28[]] No space left on device"])
    assert repo.snapshots() == before
    assert not list((repo.path / "snapshots").rglob("*.tmp"))


def test_snapshot_file_is_strict_json(repo):
    repo.suite(test_norms=AD_HOC)
    repo.run()

    def refuse(constant):
        raise AssertionError(constant)

    for path in repo.path.glob("snapshots/*/*.json"):
        json.loads(path.read_text(), parse_constant=refuse)
