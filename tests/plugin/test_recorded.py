"""`--recorded`: findings judged from the committed snapshots, without models and without MLX."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from repositories import QUIET, RESCUE

RECORDED: dict[str, bytes] = {}
"""Measured once."""


@pytest.fixture
def recorded(repo):
    repo.suite(test_rescue=RESCUE, test_direct="def test_direct(lm): pass")
    if not RECORDED:
        repo.run()
        repo.log()
        RECORDED.update(repo.snapshots())
    repo.put(RECORDED)
    return repo


def test_nothing_is_loaded_or_measured(recorded, run):
    result = run("--recorded")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["*recorded findings (tier quick)*", "*patching rescues *yes *yes*", "*rate *0.8 [[]0.63*"]
    )
    assert recorded.log() == []


def test_a_changed_value_flips_the_finding(recorded, run):
    file = recorded.file("toy_b")
    file.write_text(
        file.read_text().replace('"value": 0.8, "n": 30, "ci": [0.626943,', '"value": 0.1, "n": 30, "ci": [0.01,')
    )
    result = run("--recorded")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*patching rescues *yes *LOST*"])


def test_a_known_failure_that_breaks_is_shown_with_its_traceback(repo, monkeypatch):
    repo.suite(test_rescue=RESCUE)
    monkeypatch.setenv("HITS", "2")
    repo.run("--model", "toy_c")
    result = repo.run("--recorded", "-rx")
    result.assert_outcomes(xfailed=1)
    result.stdout.no_fnmatch_line("*rescue.rate.low*")
    result = repo.run("--recorded", "-rx", "--xfail-tb")
    result.stdout.fnmatch_lines(["*assert rescue.rate.low > rescue.null.high"])
    repo.suite(test_rescue=RESCUE.replace("assert rescue.rate", "raise OSError('broken'); assert rescue.rate"))
    result = repo.run("--recorded")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([">*raise OSError('broken')*", "*patching rescues *ERROR"])


def test_it_judges_every_recorded_model_by_default_and_needs_no_weights(recorded):
    recorded.run("--model", "toy_c").assert_outcomes(passed=2, failed=1)
    for model in ("toy_a", "toy_b", "toy_c"):
        for file in (recorded.path / "models" / model).iterdir():
            file.unlink()
    result = recorded.run("--recorded")
    result.stdout.fnmatch_lines(["*toy_a *toy_b *toy_c*", "*patching rescues *yes *yes *NOW YES*"])


def test_what_is_not_recorded_is_not_run(recorded):
    result = recorded.run("--recorded", "--model", "toy_a,llama8b")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(
        ["*patching rescues *yes *not run*", "  HTL-7 on llama8b: nothing recorded for rescue at tier quick"]
    )
    result = recorded.run("--recorded", "--tier", "full", "--model", "toy_a")
    result.stdout.fnmatch_lines(["  HTL-7 on toy_a: nothing recorded for rescue at tier full"])


def test_a_finding_that_needs_the_model_itself_is_not_run(repo):
    text = "from assay.plugin import finding\n@finding('by hand')\ndef test_it(lm): pass"
    repo.suite(test_it=text)
    result = repo.run("--recorded", "--model", "toy_a")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*by hand *not run*", "*needs the loaded model, and --recorded loads none"])


PROBE = (
    "import sys, pytest; rc = pytest.main(); print('mlx' in sys.modules, 'transformers' in sys.modules); sys.exit(rc)"
)


def processor_time(folder, *args):
    """Seconds that a run in a process of its own takes: time on the clock says more about who else uses the machine."""
    start = os.times()
    done = subprocess.run([sys.executable, "-c", PROBE, *QUIET, "-q", "-p", "no:cacheprovider", *args],
                          cwd=folder, capture_output=True, text=True, check=False)  # fmt: skip
    end = os.times()
    assert done.returncode in (0, 1), done.stdout + done.stderr
    taken = end.children_user + end.children_system - start.children_user - start.children_system
    return taken, done.stdout.splitlines()


def test_it_takes_less_than_a_second_and_imports_no_mlx(recorded):
    """In the suites of this repository, over what pytest takes for one empty test; with more findings, 5 ms for each."""
    empty = recorded.path / "empty"
    empty.mkdir()
    (empty / "pytest.ini").write_text("[pytest]")
    (empty / "test_empty.py").write_text("def test_it(): pass")
    over = []
    for _ in range(3):  # others share this machine
        least, _ = processor_time(empty)
        taken, output = processor_time(Path(__file__).parents[2], "suites", "--recorded")
        over.append(taken - least)
        if over[-1] < 1.0:
            break
    assert output[-1] == "False False"  # no mlx, no transformers
    judged = sum(map(int, re.findall(r"(\d+) (?:passed|xfailed|failed|skipped)", output[-2])))
    assert judged > 50
    assert min(over) < max(1.0, judged * 0.005)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda text: text.replace('"layer": {"value": 17}', '"layer": {"value": 17,}'),
            "*toy_a/rescue.json, line 5: *",
        ),
        (lambda text: text.replace("0.8,", "NaN,"), '*toy_a/rescue.json: NaN is not JSON; write it as "nan"*'),
        (lambda text: text.replace('"layer"', '"null"'), "*rescue.json: 'null' is there twice*"),
        (lambda text: text.replace('{"value": 17}', "17"), "*'rescue@quick': 'layer' is not a metric*"),
        (lambda text: text.replace('"value": 17', '"value": 17, "toll": 1'), "*'layer' has an unknown field 'toll'*"),
        (lambda text: "[]", "*rescue.json: not a JSON object of entries*"),
        (lambda text: "<<<<<<< HEAD\n" + text, "*rescue.json, line 1: *"),
    ],
)
@pytest.mark.parametrize("mode", [(), ("--recorded",), ("--snapshots", "audit")], ids=["live", "recorded", "audit"])
def test_a_damaged_snapshot_is_one_sentence_before_anything_runs(recorded, mode, damage, message):
    file = recorded.file()
    file.write_text(damage(file.read_text()))
    before = recorded.snapshots()
    result = recorded.run(*mode)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}Repair it by hand or with git*"])
    assert recorded.snapshots() == before
    assert recorded.log() == []


def test_a_damaged_snapshot_under_xdist(recorded):
    recorded.file().write_text("{")
    result = recorded.run("-n", "2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *toy_a/rescue.json, line 1*"])
