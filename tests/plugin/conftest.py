"""The fixtures `repo`, a throw-away repository (repositories.py), and `run`, one run of pytest in it.

`run` is a run in this process (`here`) or with two workers (`xdist`).
"""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from repositories import Repo


@pytest.fixture(scope="session", autouse=True)
def quick_collections() -> Iterator[None]:
    """The plugin collects garbage behind every model: what is there before these tests need not be searched each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def repo(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Repo:
    """A repository with three toy models and no suites; not under CI, and with an empty Hugging Face cache."""
    for variable in ("CI", "BUILD_NUMBER", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("COLUMNS", "200")  # wide enough for three models side by side, wherever these tests run
    # Workers compile this plugin once for all tests, and not into the checkout.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.getbasetemp() / "pycache"))
    return Repo(pytester)


@pytest.fixture(params=[(), ("-n", "2")], ids=["here", "xdist"])
def run(request: pytest.FixtureRequest, repo: Repo):
    """One pytest run in the repository, with and without workers."""
    return lambda *args: repo.run(*request.param, *args)
