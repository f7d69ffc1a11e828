"""A path given to an option of assay never becomes the root of a run: `pytest --model /models/qwen`."""

import os
import shutil
import tomllib
from pathlib import Path

import pytest
from repositories import QUIET, RESCUE

import pytest_assay
from assay.plugin import options

LIB = Path(pytest_assay.__file__).parent


@pytest.fixture
def away(repo, tmp_path) -> Path:
    """A model in a folder beside the repository, whose pytest.ini loads the plugin."""
    repo.ini("addopts = -p assay.plugin", "models = toy_a")
    repo.suite(test_rescue=RESCUE)
    return shutil.copytree(repo.path / "models" / "toy_b", tmp_path / "away")


def refused(flag, path):
    return f"ERROR: pytest takes {path} for a folder of tests, as it reads {flag} later: write {flag}={path}"


def test_flags_are_the_options_whose_value_may_be_a_path():
    takes_path = {flag for flag, one in options.OPTIONS.items() if one.get("metavar") in ("NAME", "FILE", "FILE.md")}
    assert set(pytest_assay.FLAGS) == takes_path


def test_alone_it_is_refused(repo, away, monkeypatch):
    """In a process that knows the file as users' do: by the entry point of the installed package."""
    [(name, module)] = tomllib.loads((LIB.parent / "pyproject.toml").read_text())["project"]["entry-points"][
        "pytest11"
    ].items()
    installed = repo.path / "site" / "mlx_assay_here-0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: mlx-assay-here\nVersion: 0\n")
    (installed / "entry_points.txt").write_text(f"[pytest11]\n{name} = {module}\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(installed.parent), str(LIB))))
    result = repo.pytester.runpytest_subprocess(*QUIET, "--model", away)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert refused("--model", away) in result.errlines
    repo.pytester.runpytest_subprocess(*QUIET, f"--model={away}").assert_outcomes(passed=2)
    assert (repo.path / "snapshots" / "away" / "rescue.json").exists()


def run(repo, *args):
    """In this process, which may know the file by its entry point, too."""
    args = ["-p", "no:assay_paths", *QUIET, "--collect-only", *map(str, args)]
    return repo.pytester.runpytest(*args, plugins=[pytest_assay])


@pytest.mark.parametrize(
    "args", [["--model={}"], ["suites", "--model", "{}"], ["--model", "models/toy_b"], ["--model", "toy_b"]]
)
def test_a_path_that_leads_nowhere_else_is_taken(args, repo, away):
    result = run(repo, *(arg.format(away) for arg in args))
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"rootdir: {repo.path}"])


@pytest.mark.parametrize("flag", ["--findings", "--catalogue"])
def test_a_file_that_exists(flag, repo, away):
    page = away / "page.md"
    assert run(repo, flag, page).ret == 0, "a file that is still to be written is no path to pytest"
    page.touch()
    result = run(repo, flag, page)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert refused(flag, page) in result.errlines


def test_a_model_in_another_project(repo, away):
    (away.parent / "pytest.ini").write_text("[pytest]\naddopts = -p assay.plugin\n")
    assert refused("--model", away) in run(repo, "--model", away, "suites").errlines
    assert run(repo, "suites", "--model", away).ret == 0, "pytest takes the first path with a pytest.ini"


def test_a_repository_without_assay_is_left_alone(repo, away):
    repo.ini()
    repo.pytester.makeconftest("def pytest_addoption(parser): parser.addoption('--model')")
    result = run(repo, "--model", away)
    assert "for a folder of tests" not in result.stderr.str()
