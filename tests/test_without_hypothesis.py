"""Without the `dev` extra: pytest starts, and the tests of this folder say what they need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def run(tmp_path):
    """Runs pytest in this repository, in a process that has no hypothesis."""
    (tmp_path / "hypothesis.py").write_text("raise ModuleNotFoundError('No module named hypothesis')")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", "-p", "no:cacheprovider"]
    return lambda *args: subprocess.run(
        [*command, *args], cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )


def test_help(run):
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--model=NAME" in done.stdout


def test_a_sentence_in_place_of_the_tests(run):
    done = run("tests/test_stats.py")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "need hypothesis: pip install -e '.[dev]'" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
