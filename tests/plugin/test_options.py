"""Every option and ini setting, as another repository uses it, in one process and with workers: one row each.

A row is a run, the outcome that it must have, and for some a run before it. The file of each feature tests the details of
its options, and what they refuse.
"""

from dataclasses import dataclass, field

import pytest
from repositories import RESCUE

from assay.plugin import options

SHAPE = "def test_name(model_spec): assert model_spec.id == 'qwen7b_random'"

OWN_DATA = "def test_pairs(lm, datasets): assert datasets['antonym'].pairs == (('hot', 'cold'),)"

LOOP = """
    import time
    from assay.plugin import experiment

    @experiment
    def slow(lm, progress):
        return {"n": sum(1 for _ in progress(range(4), "looping") if time.sleep(0.1) is None)}

    def test_n(slow): assert slow.n == 4
"""

BROKEN_ONCE = """
    from pathlib import Path
    from assay.plugin import experiment
    from conftest import log

    @experiment
    def slow(lm, journal):
        def one(query):
            log(f"ASK {query} {lm.id}")
            broken = Path("broken-" + lm.id)
            if query == "b" and not broken.exists():
                broken.touch()
                raise OSError("broken")
            return query

        return {"said": journal(one, ["a", "b", "c"], "asking")}

    def test_metrics(slow, metrics): assert metrics == slow
"""


@dataclass(frozen=True)
class Row:
    args: str
    outcomes: dict[str, int]
    suite: str = RESCUE
    ini: str = "models = toy_a toy_b"
    env: dict[str, str] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    """File -> its text."""
    before: str | None = None
    """Arguments of a run before it, without `env`."""
    log: str = "LOAD toy_a, LOAD toy_b"
    """What the models and the experiment wrote, in any order."""
    workers: int = 2
    """How many of them, with `-n 2`, had something to do."""
    lines: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    """File -> a text in it."""


ALL = {"passed": 4}
ROWS = {
    "--model": [
        Row("--model toy_b,toy_c", {"passed": 3, "xfailed": 1}, env={"HITS_toy_c": "2"}, log="LOAD toy_b, LOAD toy_c"),
    ],
    "--weights": [Row("--weights random --model qwen7b", {"passed": 1}, suite=SHAPE, log="")],
    "--dataset": [
        Row("--dataset antonym=mine.json", {"passed": 2}, suite=OWN_DATA,
            given={"mine.json": '[{"input": "hot", "output": "cold"}]'}),
    ],
    "--tier": [Row("--tier smoke", ALL, files={"snapshots/toy_a/rescue.json": '"rescue@smoke"'})],
    "--snapshots": [
        Row("--snapshots auto", ALL, files={"snapshots/toy_a/rescue.json": '"rescue@quick"'}),
        Row("--snapshots auto", {"passed": 2, "failed": 2}, env={"CI": "true"}, lines=("*does not exist!*",)),
        Row("--snapshots new", ALL, env={"CI": "true"}, files={"snapshots/toy_b/rescue.json": '"rescue@quick"'}),
        Row("--snapshots none", {"passed": 2, "failed": 2}, lines=("*does not exist!*",)),
        Row("--snapshots audit", {}, before="", log="", lines=("0 stale",)),
    ],
    "--snapshot-update": [
        Row("--snapshot-update", ALL, before="", env={"LAYER": "18"}, files={"snapshots/toy_b/rescue.json": "18"}),
    ],
    "--recorded": [
        Row("--recorded", {"passed": 2}, before="", log="", lines=("*recorded findings*", "*rescues *yes *yes")),
    ],
    "--resume": [
        Row("--resume", {"passed": 2}, suite=BROKEN_ONCE, before="", log="LOAD toy_a, LOAD toy_b, ASK b toy_a, "
            "ASK c toy_a, ASK b toy_b, ASK c toy_b"),
        Row("", {"passed": 2}, suite=BROKEN_ONCE, before="", log="LOAD toy_a, LOAD toy_b, ASK a toy_a, "
            "ASK b toy_a, ASK c toy_a, ASK a toy_b, ASK b toy_b, ASK c toy_b"),
    ],
    "--null": [
        Row("--null", {"skipped": 2}, lines=("  has no null world: patching rescues",), log=""),
    ],
    "--progress-every": [
        Row("--progress-every 0.01 --model toy_a", {"passed": 1}, suite=LOOP, log="LOAD toy_a", workers=1,
            lines=("*slow on toy_a: looping 2/4, 0:0* left",)),
    ],
    "--memory-budget": [
        Row("--memory-budget 2.5", ALL, workers=1),
        Row("--memory-budget 3", ALL, workers=2),
    ],
    "--findings": [
        Row("--findings out.json", ALL, files={"out.json": '"claim": "patching rescues"'}),
        Row("--findings out.md", ALL, files={"out.md": "| HTL-7 | patching rescues | **new yes**<br>rate 0.8 [0.63, 0.9]"}),
    ],
    "--catalogue": [Row("--catalogue page.md", ALL, files={"page.md": "(`suites/test_it.py::test_rescues`) | new yes |"})],
    "models": [Row("", {"passed": 2}, ini="models = toy_b", log="LOAD toy_b", workers=1)],
    "metrics_dir": [Row("", ALL, ini="models = toy_a toy_b\nmetrics_dir = kept/metrics",
                        files={"kept/metrics/toy_a/rescue.json": '"rescue@quick"'})],
}  # fmt: skip


def test_every_option_has_a_row():
    assert options.OPTIONS.keys() | options.INI.keys() <= ROWS.keys()


CASES = [pytest.param(row, id=f"{name} {at}") for name, rows in ROWS.items() for at, row in enumerate(rows)]


@pytest.mark.parametrize("row", CASES)
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["here", "xdist"])
def test_option(repo, monkeypatch, row, workers):
    repo.ini(row.ini)
    repo.suite(test_it=row.suite)
    for file, text in row.given.items():
        (repo.path / file).write_text(text)
    if row.before is not None:
        repo.run(*row.before.split(), *workers)
        repo.log()
    for variable, value in row.env.items():
        monkeypatch.setenv(variable, value)
    result = repo.run(*row.args.split(), *workers)
    if row.outcomes:
        result.assert_outcomes(**row.outcomes)
    result.stdout.fnmatch_lines(row.lines)
    for file, text in row.files.items():
        assert text in (repo.path / file).read_text()
    if row.log:
        assert len(repo.workers()) == (row.workers if workers else 1)
    logged = [line for line in repo.log() if line.startswith(("LOAD", "ASK"))]
    assert sorted(logged) == sorted(row.log.split(", ") if row.log else [])
