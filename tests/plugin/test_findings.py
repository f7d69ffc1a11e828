"""Verdicts: what a claim's test, its `not_replicated` and its experiment say together, and how the table shows it."""

import json

import pytest
from repositories import RESCUE

GATED = """
    from assay.plugin import Metric, experiment, finding, not_eligible, not_replicated

    @experiment
    def gated(lm):
        if lm.id == "toy_a":
            return not_eligible("0 of 40 prompts passed the gate", gate=Metric.rate(0, 40))
        return {"gate": Metric.rate(30, 40), "rate": Metric.rate(20, 30)}

    def test_metrics(gated, metrics):
        assert metrics == gated

    @finding("gated claim")
    def test_claim(gated):
        assert gated.rate.low > 0.2

    @finding("gated claim that is known to fail")
    @not_replicated("toy_a", "toy_b", reason="why not")
    def test_no(gated):
        assert gated.rate.low > 0.9

    def test_no_finding(gated):
        assert gated.rate > 0.2
"""


@pytest.mark.parametrize(
    ("env", "args", "outcomes", "row"),
    [
        ({}, (), {"passed": 5, "xfailed": 1}, "*HTL-7 *patching rescues * new yes * new yes * no"),
        ({"HITS_toy_c": "24"}, (), {"passed": 5, "failed": 1}, "*patching rescues * new yes * new yes * NOW YES"),
        (
            {"HITS_toy_b": "2"},
            (),
            {"passed": 4, "failed": 1, "xfailed": 1},
            "*patching rescues * new yes * new no * no",
        ),
        ({"OOM": "toy_b"}, (), {"passed": 3, "errors": 2, "xfailed": 1}, "*patching rescues * new yes * ERROR * no"),
        ({"OOM": "toy_c"}, (), {"passed": 4, "errors": 2}, "*patching rescues * new yes * new yes * ERROR"),
        ({"OOM": "toy_a"}, ("-x",), {"errors": 1}, "*patching rescues * not run * not run * not run"),
    ],
    ids=["as recorded", "now replicates", "new no", "broken", "broken where it is known to fail", "stopped"],
)
def test_verdicts(repo, monkeypatch, env, args, outcomes, row):
    repo.suite(test_rescue=RESCUE)
    for variable, value in ({"HITS_toy_c": "2"} | env).items():
        monkeypatch.setenv(variable, value)
    result = repo.run("--model", "toy_?", *args)
    result.assert_outcomes(**outcomes)
    result.stdout.fnmatch_lines(["*findings (tier quick)*", row])


EVERY_VERDICT = """
    import pytest
    from assay.plugin import experiment, finding, not_eligible, not_replicated

    known = not_replicated("toy_a", reason="known")

    @experiment
    def measured(lm): return {"x": 1}

    @experiment
    def gated(lm): return not_eligible("0 of 4 prompts")

    @finding("it holds")
    def test_yes(measured): assert measured.x == 1

    @finding("it is known to fail")
    @known
    def test_no(measured): assert measured.x == 2

    @finding("it is said to fail")
    @known
    def test_now_yes(measured): assert measured.x == 1

    @finding("it fails")
    def test_new_no(measured): assert measured.x == 2

    @finding("it breaks")
    def test_error(measured): raise OSError("broken")

    @finding("it is known to fail, and breaks")
    @known
    def test_known_error(measured): raise OSError("broken")

    @finding("it cannot be judged")
    def test_gated(gated): assert gated.x == 1

    @finding("it is skipped")
    def test_skipped(measured): pytest.skip("not today")
"""


def test_every_verdict_in_one_run(repo, run):
    repo.suite(test_all=EVERY_VERDICT)
    result = run("--model", "toy_a", "--no-summary", "--findings", "out.json")
    result.assert_outcomes(passed=1, xfailed=1, failed=4, skipped=2)
    verdicts = {
        "it holds": "new yes",
        "it is known to fail": "no",
        "it is said to fail": "NOW YES",
        "it fails": "new no",
        "it breaks": "ERROR",
        "it is known to fail, and breaks": "ERROR",
        "it cannot be judged": "not eligible",
        "it is skipped": "not run",
    }
    written = json.loads((repo.path / "out.json").read_text())["findings"]
    assert {claim["claim"]: claim["models"]["toy_a"]["verdict"] for claim in written} == verdicts
    result.stdout.fnmatch_lines(["*findings (tier quick)*", *(f"  {claim}  *{verdicts[claim]}" for claim in verdicts)])


def test_the_table_shows_value_interval_and_control(repo, run, monkeypatch):
    repo.suite(test_rescue=RESCUE)
    monkeypatch.setenv("HITS_toy_c", "2")
    result = run("--model", "toy_?")
    result.stdout.fnmatch_lines(
        [
            "Hopping Too Late, arXiv:2406.12775 *toy_a *toy_b *toy_c",
            "  HTL-7  patching rescues *new yes *new yes *no",
            "           rate * 0.8 [[]0.63, 0.9[]] n 30 * 0.8 [[]0.63, 0.9[]] n 30 * 0.0667 [[]0.018, 0.21[]] n 30",
            "           null (control) *0.0667 [[]0.018, 0.21[]] n 30*",
            "  HTL-7 on toy_c: too small",
        ]
    )


@pytest.mark.parametrize(("model", "recorded", "word"), [("toy_a", 11, "yes"), ("toy_c", 10, "no")])
def test_a_number_at_the_edge_is_judged_as_it_is_recorded(repo, run, monkeypatch, model, recorded, word):
    """Another machine measures one hit more or less, within tolerance: the verdict is that of the snapshot."""
    repo.suite(test_rescue=RESCUE)
    monkeypatch.setenv("HITS", str(recorded))
    run("--model", model)
    before = repo.snapshots()
    for hits, expected in ((10, word), (11, word), (4, "LOST" if model == "toy_a" else "no")):
        monkeypatch.setenv("HITS", str(hits))
        result = run("--model", model, "--findings", "out.json")
        written = json.loads((repo.path / "out.json").read_text())["findings"]
        assert written[0]["models"][model]["verdict"] == expected, hits
        assert result.ret == (0 if hits > 4 else 1)
    assert repo.snapshots() == before


def test_a_worker_that_dies_is_an_error_and_the_rest_is_known(repo):
    repo.suite(test_rescue=RESCUE.replace("assert rescue.rate", "os._exit(9)\n        assert rescue.rate"))
    result = repo.run("-n", "2")
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        ["*patching rescues * ERROR * ERROR", "*HTL-7 on toy_a, toy_b: the worker process died"]
    )
    assert repo.rows("toy_a") == repo.rows("toy_b")  # what was recorded before is kept


def test_a_worker_that_is_not_replaced_leaves_not_run(repo):
    text = RESCUE.replace("return {", "lm.id == 'toy_b' and os._exit(9)\n        return {")
    repo.suite(test_rescue=text)
    result = repo.run("-n", "2", "--max-worker-restart", "0")
    result.stdout.fnmatch_lines(["*patching rescues * not run"])
    assert result.ret != 0


def test_nothing_eligible_is_neither_pass_nor_fail(repo, run):
    repo.suite(test_gated=GATED)
    result = run("-rs")
    result.assert_outcomes(passed=4, skipped=3, xfailed=1)
    result.stdout.fnmatch_lines(
        [
            "*gated claim  *not eligible * yes",
            "*gated claim that is known to fail *not eligible * no",
            "  gated claim, gated claim that is known to fail on toy_a: 0 of 40 prompts passed the gate",
        ]
    )
    assert repo.rows(name="gated") == {
        "not_eligible": {"value": "0 of 40 prompts passed the gate"},
        "gate": {"value": 0.0, "n": 40, "ci": [0.0, 0.0876216]},
    }
    result = run("--recorded")
    result.assert_outcomes(passed=1, skipped=2, xfailed=1)
    result.stdout.fnmatch_lines(["*gated claim  *not eligible * yes"])


def test_a_finding_can_need_a_larger_tier(repo):
    repo.suite(
        test_tier="""
        from assay.plugin import experiment, finding
        @experiment
        def wide(lm, tier): return {"n": tier.choose(smoke=4, quick=40, full=400)}
        @finding("intervals are narrow", tier="quick")
        def test_narrow(wide): assert wide.n >= 40
    """
    )
    result = repo.run("--model", "toy_a", "--tier", "smoke")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*intervals are narrow *not eligible*", "*needs --tier quick"])
    repo.run("--model", "toy_a", "--tier", "full").assert_outcomes(passed=1)


def test_not_replicated_at_one_tier_only(repo):
    repo.suite(
        test_tier="""
        from assay.plugin import experiment, finding, not_replicated
        @experiment
        def wide(lm, tier): return {"n": tier.choose(smoke=4, quick=40, full=400)}
        @finding("intervals are narrow")
        @not_replicated("toy_?", reason="too few", tier="smoke")
        def test_narrow(wide): assert wide.n >= 40
    """
    )
    repo.run("--tier", "smoke").assert_outcomes(xfailed=2)
    repo.run("--tier", "quick").assert_outcomes(passed=2)


def test_an_assertion_in_a_fixture_or_experiment_is_an_error_and_no_verdict(repo, run):
    repo.suite(
        test_broken="""
        import pytest
        from assay.plugin import experiment, finding, not_replicated

        @pytest.fixture
        def helper(model_spec): assert 1 == 2

        @experiment
        def measured(lm): assert 3 == 4

        @finding("rests on a fixture")
        @not_replicated("toy_a", reason="known")
        def test_fixture(helper): pass

        @finding("rests on an experiment")
        @not_replicated("toy_a", reason="known")
        def test_experiment(measured): pass
        """
    )
    result = run("--model", "toy_a")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*MeasurementError: experiment measured on toy_a failed an assertion*"])
    result.stdout.fnmatch_lines(["*rests on a fixture *ERROR*", "*rests on an experiment *ERROR*"])


def test_drift_of_metrics_is_not_hidden_by_a_known_failure(repo, monkeypatch):
    repo.suite(test_rescue=RESCUE)
    monkeypatch.setenv("HITS", "2")
    repo.run("--model", "toy_c").assert_outcomes(passed=1, xfailed=1)
    monkeypatch.setenv("LAYER", "18")
    repo.run("--model", "toy_c").assert_outcomes(failed=1, xfailed=1)


def test_ids_of_other_papers_are_free(repo):
    repo.suite(test_own="from assay.plugin import finding\n@finding('ours', id='OURS-1')\ndef test_it(lm): pass")
    result = repo.run("--model", "toy_a")
    result.stdout.fnmatch_lines(["  OURS-1  ours *yes*"])


def test_measure_and_control_can_be_named(repo):
    text = RESCUE.replace('id="HTL-7")', 'id="HTL-7", measure="layer", control="null")')
    repo.suite(test_rescue=text)
    result = repo.run("--model", "toy_a")
    result.stdout.fnmatch_lines(["*patching rescues *yes*", "*layer *17", "*null (control) *0.0667*"])
    result.stdout.no_fnmatch_line("*rate *0.8*")
    repo.suite(test_rescue=text.replace('measure="layer"', 'measure="nothing"'))
    result = repo.run("--model", "toy_a")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*LookupError: finding: no metric is called 'nothing'*"])


def test_a_first_measurement_is_new_and_its_no_comes_with_the_line_to_paste(repo, run, monkeypatch):
    """Nothing can be lost that was never recorded; the line that is printed makes the next run green."""
    text = RESCUE.replace('@not_replicated("toy_c", reason="too small")', "@rest")
    repo.suite(test_rescue=text.replace("    @rest\n", ""))
    monkeypatch.setenv("HITS", "2")
    first = run("--model", "toy_a")
    assert first.ret == 1
    first.stdout.fnmatch_lines(["*patching rescues *new no"])
    (line,) = [line.strip() for line in first.outlines if "@not_replicated(" in line]
    again = run("--model", "toy_a")
    again.stdout.fnmatch_lines(["*patching rescues *LOST"])
    assert not [line for line in again.outlines if "@not_replicated(" in line and line.startswith("    @")]
    repo.suite(test_rescue=text.replace("@rest", line))
    marked = run("--model", "toy_a")
    assert marked.ret == 0
    marked.stdout.fnmatch_lines(["*patching rescues *no", "*rate 0.0667*"])


def test_what_is_judged_from_records_is_not_new(repo):
    repo.suite(test_rescue=RESCUE)
    repo.run("--model", "toy_a")
    repo.run("--model", "toy_a", "--recorded").stdout.fnmatch_lines(["*patching rescues *yes"])
    assert not any("new yes" in line for line in repo.run("--model", "toy_a", "--recorded").outlines)


def test_a_fixture_may_say_that_a_model_is_not_eligible(repo, run):
    """Whatever raises it below an experiment: the reason is recorded, and no claim is judged."""
    repo.suite(
        test_chat="""
        import pytest
        from assay.errors import NoChatTemplate, NotEligible
        from assay.plugin import experiment, finding

        @pytest.fixture(scope="session")
        def answers(lm):
            raise NoChatTemplate(f"{lm.id} is a base model")

        @experiment
        def below(answers): return {"x": 1}

        @experiment
        def inside(lm): raise NotEligible("0 of 12 requests are refused")

        def test_below_metrics(below, metrics): assert metrics == below
        def test_inside_metrics(inside, metrics): assert metrics == inside

        @finding("it talks")
        def test_talks(below): assert below.x

        @finding("it refuses")
        def test_refuses(inside): assert inside.x
        """
    )
    result = run("--model", "toy_a")
    result.assert_outcomes(passed=2, skipped=2)
    result.stdout.fnmatch_lines(["*it talks *not eligible", "*toy_a is a base model", "*0 of 12 requests are refused"])
    assert repo.rows("toy_a", "inside")["not_eligible"]["value"] == "0 of 12 requests are refused"


def test_a_line_to_paste_always_has_a_reason_and_the_tier(repo):
    """Curves are no reading for a table, so there may be no number to give as the reason."""
    repo.suite(
        test_curve="""
        from assay.plugin import experiment, finding

        @experiment
        def curve(lm): return {"by_layer": [1.0, 2.0]}

        @finding("it falls")
        def test_falls(curve): assert curve.by_layer[0] > curve.by_layer[1]
        """
    )
    result = repo.run("--model", "toy_a", "--tier", "smoke")
    result.stdout.fnmatch_lines(['    @not_replicated("toy_a", tier="smoke", reason="say why")'])
