"""`pytest`, without a path, collects this whole repository."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_two_test_modules_have_one_name():
    """pytest imports them by it: of two, the second would be an error."""
    names = Counter(path.name for folder in ("tests", "suites") for path in (ROOT / folder).rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def experiments(path):
    """The names of a module's functions under `@experiment`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            marks = [one.func if isinstance(one, ast.Call) else one for one in node.decorator_list]
            if any(isinstance(one, ast.Name) and one.id == "experiment" for one in marks):
                yield node.name


def test_no_two_experiments_of_the_suites_have_one_name():
    """Their snapshot files are called by it, and a run of one folder does not see the other's."""
    names = Counter(name for path in (ROOT / "suites").rglob("*.py") for name in experiments(path))
    assert len(names) > 100
    assert [name for name, count in names.items() if count > 1] == []


def test_the_audit_of_all_recorded_results_finds_nothing_stale():
    command = [sys.executable, "-m", "pytest", "--snapshots", "audit", "-q", "-p", "no:cacheprovider"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 stale" in run.stdout
