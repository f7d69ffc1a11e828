"""`assay diff` on three prepared histories: a verdict flips, a number drifts inside its tolerance, weights change."""

import subprocess
from pathlib import Path

import pytest

from assay.cli import main
from assay.record import files

ROW = {"value": 0.9, "n": 36, "ci": [0.8, 0.96], "tol": 0.05}
BEFORE = {
    "patching@quick": {"rescued": ROW, "grid": {"value": [[0.1, 0.2], [0.3, 0.4]], "tol": 0.1}, "n": {"value": 36}},
    "_verdicts": {"patching@quick test_rescues": "yes", "patching@quick test_grid": "no"},
    "_made_by": {"patching@quick": {"mlx": "0.32.4", "revision": "5f2c91ab03de"}},
}


@pytest.fixture
def history(tmp_path, monkeypatch):
    """A repository whose only commit holds `BEFORE`; a function that changes what lies in the working tree."""
    monkeypatch.chdir(tmp_path)
    path = Path("snapshots/toy/patching.json")
    files.write(path, BEFORE)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["git", "init", "-q"], ["git", "add", "."], [*git, "commit", "-q", "-m", "results"]):
        subprocess.run(command, check=True)

    def change(rows=(), verdicts=(), made_by=(), name="patching"):
        entry = f"{name}@quick"
        files.write(
            path.with_stem(name),
            {
                entry: BEFORE["patching@quick"] | dict(rows),
                "_verdicts": BEFORE["_verdicts"] | dict(verdicts),
                "_made_by": {entry: BEFORE["_made_by"]["patching@quick"] | dict(made_by)},
            },
        )

    return change


def said(capsys, *args):
    status = main(["diff", *args])
    return status, capsys.readouterr().out.splitlines()


def test_nothing_changed(history, capsys):
    assert said(capsys) == (0, ["nothing changed in 3 metrics"])


def test_a_verdict_flips(history, capsys):
    history({"rescued": ROW | {"value": 0.5, "ci": [0.35, 0.65]}}, {"patching@quick test_rescues": "undecided"})
    assert said(capsys) == (
        1,
        [
            "1 verdict changed",
            "  toy  patching@quick  test_rescues  yes -> undecided",
            "1 metric moved by more than its tolerance",
            "  toy  patching@quick  rescued  0.9 [0.8, 0.96] n 36 -> 0.5 [0.35, 0.65] n 36",
            "2 metrics unchanged",
        ],
    )


def test_a_number_drifts_inside_its_tolerance(history, capsys):
    history({"rescued": ROW | {"value": 0.92}})
    assert said(capsys) == (0, ["1 metric moved within tolerance; 2 metrics unchanged"])


def test_the_weights_changed(history, capsys):
    history(
        {"grid": {"value": [[0.1, 0.5], [0.3, 0.4]], "tol": 0.1}}, made_by={"revision": "78e05bd879a9", "mlx": "0.33.0"}
    )
    status, text = said(capsys)
    assert status == 0
    assert text == [
        "measured with revision 5f2c91ab03de -> 78e05bd879a9, in 1 experiment",
        "measured with mlx 0.32.4 -> 0.33.0, in 1 experiment",
        "1 metric moved by more than its tolerance",
        "  toy  patching@quick  grid  1 of 4 values, first [0][1]: 0.2 -> 0.5",
        "2 metrics unchanged",
    ]


def test_new_and_gone_and_between_two_revisions(history, capsys):
    history(name="steering")
    Path("snapshots/toy/patching.json").unlink()
    status, text = said(capsys)
    assert status == 1  # verdicts went with it
    assert text[3:] == [
        "1 experiment new",
        "  toy  steering@quick    - -> 3 metrics",
        "1 experiment gone",
        "  toy  patching@quick    3 metrics -> -",
        "2 verdicts recorded for the first time",
    ]
    assert said(capsys, "HEAD", "HEAD") == (0, ["nothing changed in 3 metrics"])


def test_the_page_begins_with_what_changed(history, tmp_path):
    history({"rescued": ROW | {"value": 0.5, "ci": [0.35, 0.65]}}, {"patching@quick test_rescues": "undecided"})
    assert main(["report", "--against", "HEAD", "--out", "out"]) == 0
    text = Path("out/index.html").read_text(encoding="utf-8")
    assert "<h2>Since HEAD</h2>" in text
    assert "<td>test_rescues</td><td>yes</td><td>undecided</td>" in text
    assert "0.5 [0.35, 0.65] n 36" in text
    assert main(["report", "--against", "nonsense", "--out", "other"]) == 2
    assert not Path("other").exists()


def test_markdown_is_tables(history, capsys):
    history(verdicts={"patching@quick test_rescues": "no"})
    assert "| toy | patching@quick | test_rescues | yes | no |" in said(capsys, "--markdown")[1]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nonsense"], "git knows no revision 'nonsense'"),
        (["HEAD", "--snapshots", "nowhere"], "there is no folder nowhere"),
    ],
)
def test_what_is_not_there(history, capsys, args, message):
    assert main(["diff", *args]) == 2
    assert message in capsys.readouterr().err


def test_outside_of_git(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files.write(Path("snapshots/toy/patching.json"), BEFORE)
    assert main(["diff"]) == 2
    assert "git knows no revision 'HEAD'" in capsys.readouterr().err
