"""A mistake in a suite is reported in one clear sentence, before anything is loaded, measured or recorded."""

import pytest
from repositories import RESCUE

ONE_NAME = "two things are called 'rescue', suites/*test_*.py:* and suites/*test_*.py:*, and both would be*rename one"
CLASH = "*test_it*: the parameter id 'toy_b' is also a model; give the parameter another id"


def marked(marks):
    arguments = {'@pytest.mark.parametrize("x", ["toy_b"])': "lm, x", "@finding('c')": "lm, subtests"}.get(marks, "lm")
    imports = "import pytest\nfrom assay.plugin import finding, not_replicated"
    return f"{imports}\n{marks}\ndef test_it({arguments}): pass"


def refused(result, message):
    """One line in all, from pytest itself and without a traceback."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.errlines if line.strip()]
    result.stderr.fnmatch_lines([f"ERROR: {message}"])
    assert "Traceback" not in result.stdout.str() + line
    result.stdout.no_fnmatch_line("*findings (tier*")


@pytest.mark.parametrize(
    ("suites", "snapshot", "message"),
    [
        ({"suites": {"test_one": RESCUE}, "suites/more": {"test_two": RESCUE}}, None, ONE_NAME),
        ({"suites": {"test_it": marked('@pytest.mark.parametrize("x", ["toy_b"])')}}, None, CLASH),
        (
            {"suites": {"test_it": marked('@not_replicated("toy_x", reason="r")')}},
            None,
            "*test_it*: not_replicated: unknown model 'toy_x'. Did you mean*",
        ),
        (
            {"suites": {"test_it": marked('@not_replicated("toy_a")')}},
            None,
            "*test_it*: not_replicated needs a reason: why does the claim fail there?",
        ),
        ({"suites": {"test_one": RESCUE}}, "{", "*toy_a/rescue.json, line 1: *Repair it by hand or with git*"),
    ],
    ids=["one name", "parameter and model", "unknown model", "no reason", "bad JSON"],
)
def test_one_clear_sentence(repo, run, suites, snapshot, message):
    for folder, modules in suites.items():
        repo.suite(folder=folder, **modules)
    if snapshot is not None:
        repo.file().parent.mkdir(parents=True)
        repo.file().write_text(snapshot)
    before = repo.snapshots()
    refused(run("--model", "toy_a"), message)
    assert repo.snapshots() == before
    assert repo.log() == []


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ('@not_replicated("toy_a", reason=" ")', "*test_it*: not_replicated needs a reason*"),
        ('@pytest.mark.not_replicated("toy_a")', "*test_it*: not_replicated needs a reason*"),
        ('@not_replicated(reason="r")', "*test_it*: not_replicated names no model"),
        ('@not_replicated("toy_a", reason="r", tier="huge")', "*test_it*: not_replicated has no tier 'huge'"),
        ('@finding("c", id="HTL-77")', "*test_it*: no experiment has the id 'HTL-77'. Did you mean HTL-7*"),
        ('@finding("c", tier="huge")', "*test_it*: finding has no tier 'huge'*"),
        ('@finding("")', "*test_it*: finding needs its claim, one sentence"),
        ("@pytest.mark.finding", "*test_it*: finding needs its claim, one sentence"),
        ("@finding('c')", "*test_it*: a finding is one claim, and cannot have subtests*"),
    ],
)
def test_wrong_marks(repo, marks, message):
    repo.suite(test_marks=marked(marks))
    refused(repo.run("--model", "toy_a"), message)
    assert repo.log() == []


def test_two_experiments_with_one_name_in_one_module(repo):
    """The second would silently replace the first; so it is refused where Python reads it, and pytest shows the line."""
    repo.suite(test_one=RESCUE + "\n    @experiment\n    def rescue(lm): return {}\n")
    result = repo.run("--model", "toy_a")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["E*DataError: test_one: two things are called 'rescue', and one is an experiment: rename one"]
    )
    assert not repo.snapshots()


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_two_modules_with_one_name(repo, mode):
    """Their tests would be recorded in one file. In pytest's default mode it refuses them itself."""
    text = "def test_x(lm, metrics): assert metrics == {'x': 1}"
    repo.suite(folder="suites/a", test_same=text)
    repo.suite(folder="suites/b", test_same=text)
    result = repo.run("--model", "toy_a", "--import-mode", mode)
    if mode == "prepend":
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["*import file mismatch*"])
    else:
        refused(result, "two things are called 'test_x', suites/a/test_same.py and suites/b/test_same.py, and both*")
    assert not repo.snapshots()


@pytest.mark.parametrize("spec", ["2*popen//chdir=/tmp", "ssh=nowhere", "socket=127.0.0.1:8889"])
def test_workers_elsewhere(repo, spec):
    """They would record in another folder; xdist itself ends with an internal error (#1081)."""
    repo.suite(test_rescue=RESCUE)
    refused(repo.run("--dist", "load", "--tx", spec), f"--tx {spec.removeprefix('2*')}: workers run in this folder*")


def test_workers_here_by_another_name(repo):
    repo.suite(test_rescue=RESCUE)
    result = repo.run("--dist", "load", "--tx", "2*popen")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*findings (tier quick)*", "*patching rescues *yes *yes"])
    assert len(repo.workers()) == 2


def test_a_distribution_without_workers_is_none(repo):
    repo.suite(test_rescue=RESCUE)
    result = repo.run("--dist", "load")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*findings (tier quick)*", "*patching rescues *yes *yes"])
