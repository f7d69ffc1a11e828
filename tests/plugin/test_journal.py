"""The journal: what an interrupted run has finished is taken over by `--resume`, and nothing stale ever is."""

import hashlib
from pathlib import Path

import pytest

import assay
from assay.plugin.results import identity
from assay.record.digest import digest

SUITE = """
    import os
    from assay.plugin import Metric, experiment
    from conftest import log
    import helper

    QUERIES = ["a", "b", "c", "d", "b"]

    @experiment
    def slow(lm, journal, tier):
        scale = int(os.environ.get("SCALE", "1"))

        def one(query):
            log("ASK " + query)
            if os.environ.get("STOP") == query:
                raise KeyboardInterrupt
            return {"score": helper.score(query) * scale / 3, "pair": (1, float("nan"))}

        rows = journal(one, QUERIES[: int(os.environ.get("N", "5"))], "asking")
        return {"mean": sum(row["score"] for row in rows) / len(rows), "n": len(rows), "pair": rows[0]["pair"]}

    def test_metrics(slow, metrics):
        assert metrics == slow
"""


@pytest.fixture
def cut_off(repo, monkeypatch):
    """A run that was interrupted while it asked "c"."""
    (repo.path / "suites").mkdir()
    (repo.path / "suites" / "helper.py").write_text("def score(query): return ord(query)")
    repo.suite(test_slow=SUITE)
    monkeypatch.setenv("STOP", "c")
    result = repo.run("--model", "toy_a")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert asked(repo) == "abc"
    monkeypatch.delenv("STOP")
    return repo


def asked(repo):
    return "".join(line.split()[1] for line in repo.log() if line.startswith("ASK"))


def journals(repo):
    return sorted((repo.path / ".assay" / "journal").rglob("*.journal"))


def test_resume_goes_on_and_gives_the_same_bytes(cut_off):
    assert len(journals(cut_off)) == 1
    cut_off.run("--model", "toy_a", "--resume").assert_outcomes(passed=1)
    assert asked(cut_off) == "cdb"  # the second "b" is an item of its own
    resumed = cut_off.file(name="slow").read_bytes()
    cut_off.file(name="slow").unlink()
    cut_off.run("--model", "toy_a").assert_outcomes(passed=1)
    assert asked(cut_off) == "abcdb"
    assert cut_off.file(name="slow").read_bytes() == resumed


def test_resume_under_xdist(cut_off):
    cut_off.run("--model", "toy_a", "--resume", "-n", "1").assert_outcomes(passed=1)
    assert asked(cut_off) == "cdb"


def test_without_resume_everything_is_asked_again(cut_off):
    cut_off.run("--model", "toy_a").assert_outcomes(passed=1)
    assert asked(cut_off) == "abcdb"


def test_a_completed_run_leaves_no_journal(cut_off):
    cut_off.run("--model", "toy_a", "--resume")
    assert journals(cut_off) == []


def test_a_failed_run_keeps_it(cut_off, monkeypatch):
    monkeypatch.setenv("CI", "1")
    cut_off.run("--model", "toy_a", "--resume").assert_outcomes(failed=1)
    assert len(journals(cut_off)) == 1
    monkeypatch.delenv("CI")
    asked(cut_off)
    cut_off.run("--model", "toy_a", "--resume").assert_outcomes(passed=1)
    assert asked(cut_off) == ""


def _edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


CHANGES = {
    "suite": lambda repo: _edit(repo.path / "suites" / "test_slow.py", "/ 3", "/ 4"),
    "helper": lambda repo: _edit(repo.path / "suites" / "helper.py", "ord(query)", "ord(query) + 1"),
    "conftest": lambda repo: _edit(repo.path / "conftest.py", '"bits": 4', '"bits": 4 '),
    "weights": lambda repo: (repo.path / "models" / "toy_a" / "model.safetensors").write_bytes(b"1"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_journal_of_other_code_or_weights_is_not_used(cut_off, change):
    CHANGES[change](cut_off)
    cut_off.run("--model", "toy_a", "--resume").assert_outcomes(passed=1)
    assert asked(cut_off) == "abcdb"


@pytest.mark.parametrize(
    ("variable", "value", "args"),
    [("REVISION", "r2", []), ("SCALE", "2", []), ("STOP", "", ["--tier", "full"])],
    ids=["model revision", "closed-over value", "tier"],
)
def test_a_journal_of_another_model_value_or_tier_is_not_used(cut_off, monkeypatch, variable, value, args):
    monkeypatch.setenv(variable, value)
    cut_off.run("--model", "toy_a", "--resume", *args).assert_outcomes(passed=1)
    assert asked(cut_off) == "abcdb"


def test_another_model_does_not_use_it(cut_off):
    cut_off.run("--model", "toy_b", "--resume").assert_outcomes(passed=1)
    assert asked(cut_off) == "abcdb"


def test_more_prompts_use_what_is_there(cut_off, monkeypatch):
    monkeypatch.setenv("N", "4")
    cut_off.run("--model", "toy_a", "--resume").assert_outcomes(passed=1)
    assert asked(cut_off) == "cd"


@pytest.mark.parametrize("damage", ["cut", "flip", "header", "empty", "foreign"])
def test_a_damaged_journal_loses_only_what_is_damaged(cut_off, damage):
    (path,) = journals(cut_off)
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    assert len(lines) == 3  # what it depends on, and two finished items
    damaged = {
        "cut": content[:-7],
        "flip": b"".join([*lines[:2], lines[2].replace(b"32.", b"33.")]),
        "header": b"{" + content,
        "empty": b"",
        "foreign": bytes(range(256)) * 40,
    }[damage]
    assert damaged != content
    path.write_bytes(damaged)
    cut_off.run("--model", "toy_a", "--resume").assert_outcomes(passed=1)
    assert asked(cut_off) == ("bcdb" if damage in ("cut", "flip") else "abcdb")
    assert cut_off.rows(name="slow")["n"]["value"] == 5


def test_a_replaced_worker_goes_on_without_being_asked(cut_off):
    path = cut_off.path / "suites" / "test_slow.py"
    _edit(path, "raise KeyboardInterrupt", 'os.path.exists("died") or (open("died", "w"), os.kill(os.getpid(), 9))')
    _edit(path, "def test_metrics(slow", "def test_first(slow): pass\n\ndef test_metrics(slow")
    cut_off.pytester._monkeypatch.setenv("STOP", "d")
    result = cut_off.run("--model", "toy_a", "-n", "1")
    result.assert_outcomes(passed=1, failed=1)  # test_first died with the worker
    assert asked(cut_off) == "abcd" + "db"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lm, journal, tier):", "lm, journal, tier):\n        o = object()", "*o is a object, and it cannot be seen*"),
        ('"pair": (1,', '"pair": (lm,', "*what was measured must be JSON*"),
        ('QUERIES = ["a"', "QUERIES = [object()", "*an item is a object*"),
    ],
)
def test_what_cannot_be_told_apart_is_an_error(repo, old, new, message):
    text = (
        SUITE.replace(old, new).replace("import helper", "class helper: score = len").replace('ASK " + query', 'ASK x"')
    )
    if "o = object" in new:
        text = text.replace("helper.score(query)", "len(str(o))")
    repo.suite(test_slow=text)
    result = repo.run("--model", "toy_a")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"E*DataError: {message}"])


def test_outside_of_an_experiment_it_is_an_error(repo):
    repo.suite(test_wrong="def test_it(journal): journal(len, ['a'])")
    result = repo.run("--model", "toy_a")
    result.stdout.fnmatch_lines(["E*DataError: journal: it belongs to an experiment*"])


def test_scratch_files_are_hidden_from_git(cut_off):
    assert (cut_off.path / ".assay" / ".gitignore").read_text() == "*\n"


def test_all_of_assay_is_hashed(tmp_path):
    """Every room, the prompt sets too: a journal of other code is not used."""
    root = Path(assay.__file__).parent
    seen = set(identity._sources(root))
    assert {root / "forward" / "layers.py", root / "methods" / "lens.py", root / "data" / "tasks.json"} <= seen
    hashed = [hashlib.sha256(file.read_bytes()).hexdigest() for file in identity._sources(root)]
    assert identity._assay() == digest(hashed)
