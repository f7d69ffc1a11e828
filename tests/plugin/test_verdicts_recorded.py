"""Verdicts in snapshots, undecided claims, counts at the end, and the null world."""

import json

import pytest

CLAIMS = """
    import os
    from assay.plugin import Metric, above, experiment, finding, holds, not_eligible, not_replicated

    @experiment
    def rescue(lm, null_world):
        hits = int(os.environ.get("HITS", "24"))
        return {
            "own": Metric.rate(int(os.environ.get("NULL", "3")) if null_world else hits, 30, control="other"),
            "other": Metric.rate(3, 30),
        }

    @experiment
    def gated(lm):
        return not_eligible("0 of 4 prompts")

    def test_metrics(rescue, metrics):
        assert metrics == rescue

    def test_gated_metrics(gated, metrics):
        assert metrics == gated

    @finding("states rescue")
    def test_rescues(rescue):
        assert above(rescue.own, rescue.other)

    @finding("it is what it is")
    def test_identity(rescue):
        assert holds(rescue.own == rescue.own, "the same number")

    @finding("gates stop it")
    def test_gated(gated):
        assert above(gated.x, 0, source="zero")
"""


def verdicts(repo, name="rescue"):
    return json.loads((repo.path / "snapshots" / "toy_a" / f"{name}.json").read_text()).get("_verdicts", {})


@pytest.fixture
def claims(repo):
    repo.suite(test_claims=CLAIMS)
    repo.run("--model", "toy_a").assert_outcomes(passed=4, skipped=1)
    return repo


def test_a_verdict_stands_beside_its_metrics(claims):
    assert verdicts(claims) == {"rescue@quick test_rescues": "yes", "rescue@quick test_identity": "yes"}
    assert verdicts(claims, "gated") == {"gated@quick test_gated": "not eligible"}
    text = (claims.path / "snapshots" / "toy_a" / "rescue.json").read_text()
    assert '    "rescue@quick test_rescues": "yes"' in text.splitlines()
    claims.run("--model", "toy_a").assert_outcomes(passed=4, skipped=1)


def test_another_verdict_fails_until_it_is_recorded(claims, monkeypatch):
    monkeypatch.setenv("HITS", "8")
    result = claims.run("--model", "toy_a", "--findings", "out.json")
    result.assert_outcomes(passed=2, failed=2, skipped=1)
    result.stdout.fnmatch_lines(["*the verdict was yes and is undecided: *"])
    assert {c["models"]["toy_a"]["verdict"] for c in json.loads((claims.path / "out.json").read_text())["findings"]} == {
        "NOW UNDECIDED", "yes", "not eligible",
    }  # fmt: skip
    assert verdicts(claims)["rescue@quick test_rescues"] == "yes"
    result = claims.run("--model", "toy_a", "--snapshot-update")
    result.assert_outcomes(passed=3, skipped=2)
    result.stdout.fnmatch_lines(["*3 verdicts: 1 yes, 1 undecided, 1 not eligible*"])
    assert verdicts(claims)["rescue@quick test_rescues"] == "undecided"
    monkeypatch.setenv("HITS", "24")
    claims.run("--model", "toy_a", "-k", "rescues").stdout.fnmatch_lines(["*the verdict was undecided and is yes.*"])


def test_a_claim_that_is_written_differently_is_recorded_without_measuring(claims):
    claims.suite(test_claims=CLAIMS.replace("rescue.other)", "rescue.other, by=0.65)"))
    claims.run("--model", "toy_a", "--recorded").stdout.fnmatch_lines(["*the verdict was yes and is undecided: *"])
    claims.run("--model", "toy_a", "--recorded", "--snapshot-update").assert_outcomes(passed=1, skipped=2)
    assert verdicts(claims)["rescue@quick test_rescues"] == "undecided"
    claims.run("--model", "toy_a", "--recorded").assert_outcomes(passed=1, skipped=2)


def test_known_to_fail_and_undecided_is_a_failure(repo, monkeypatch):
    monkeypatch.setenv("HITS", "8")
    marked = CLAIMS.replace(
        '@finding("states rescue")', '@finding("states rescue")\n    @not_replicated("toy_a", reason="no")'
    )
    repo.suite(test_claims=marked)
    repo.run("--model", "toy_a").stdout.fnmatch_lines(["*the verdict was no and is undecided: *"])


def test_a_first_measurement_that_is_undecided_passes(repo, monkeypatch):
    monkeypatch.setenv("HITS", "8")
    repo.suite(test_claims=CLAIMS)
    repo.run("--model", "toy_a").assert_outcomes(passed=3, skipped=2)
    assert verdicts(repo)["rescue@quick test_rescues"] == "undecided"


def test_an_update_of_one_claim_leaves_the_others(claims):
    before = verdicts(claims)
    claims.run("--model", "toy_a", "--snapshot-update", "-k", "test_rescues or test_metrics").assert_outcomes(passed=2)
    assert verdicts(claims) == before


def test_workers_record_verdicts_too(repo):
    repo.suite(test_claims=CLAIMS)
    repo.run("--model", "toy_a,toy_b", "-n", "2").assert_outcomes(passed=8, skipped=2)
    assert len(verdicts(repo)) == 2
    assert len(json.loads((repo.path / "snapshots" / "toy_b" / "rescue.json").read_text())["_verdicts"]) == 2


def test_the_audit_lists_verdicts_of_claims_that_are_gone(claims):
    claims.suite(test_claims=CLAIMS.replace("test_rescues", "test_saves"))
    result = claims.run("--snapshots", "audit")
    result.stdout.fnmatch_lines(["stale *rescue.json: rescue@quick test_rescues (no test judges it)"])


def test_how_many_yes_chance_would_give(claims):
    claims.run("--model", "toy_a", "--recorded").stdout.fnmatch_lines(
        [
            "3 verdicts: 2 yes, 1 not eligible",
            "1 rest on intervals: *at most 0.025 of them *of 1 yes at most 2% are false",
        ]
    )


def test_in_the_null_world_nothing_is_recorded_and_a_yes_is_counted(claims, monkeypatch):
    before = verdicts(claims)
    result = claims.run("--model", "toy_a", "--null")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "null world: 1 claims: 0 yes, 1 no, 0 undecided; 0.0% yes, and 5% are the most",
            "  not counted: 1 identities",
            "  has no null world: gates stop it",
        ]
    )
    monkeypatch.setenv("NULL", "24")
    result = claims.run("--model", "toy_a", "--null")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["null world: 1 claims: 1 yes*", "  yes by chance: states rescue (*) on toy_a"])
    assert verdicts(claims) == before


def test_the_null_world_records_nothing(claims):
    claims.run("--model", "toy_a", "--null", "--recorded").stderr.fnmatch_lines(
        ["*--null measures and records nothing*"]
    )
