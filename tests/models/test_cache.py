"""A folder of the cache is there whole or not at all, whoever is killed while making it."""

import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from assay.errors import CheckpointError
from assay.models.cache import cache_dir, locked, make_folder

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "model"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name != ".locks"}


def fill(target: Path, error: BaseException | None = None) -> None:
    """Makes `target` with a file in it, or fails halfway."""
    with locked(target), make_folder(target, 10) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("text")
        assert not (target / "sub").exists()
        if error:
            raise error


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"ASSAY_CACHE": "/a", "XDG_CACHE_HOME": "/x"}, "/a"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/assay"),
        ({"ASSAY_CACHE": "", "XDG_CACHE_HOME": ""}, "/home/me/.cache/assay"),
        ({"ASSAY_CACHE": "~/models"}, "/home/me/models"),
    ],
)
def test_cache_dir_is_that_of_the_environment(
    environment: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
):
    for name in ("ASSAY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_dir() == Path(folder)


def test_a_folder_appears_when_it_is_complete(target: Path):
    fill(target)
    assert (target / "sub" / "file").read_text() == "text"
    assert names(target.parent) == {"model"}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("broken"), CheckpointError("no such rule")])
def test_a_failure_leaves_nothing(error: BaseException, target: Path):
    with pytest.raises(type(error)):
        fill(target, error)
    assert names(target.parent) == set()
    fill(target)  # the lock is free again
    assert names(target.parent) == {"model"}


def test_what_was_there_stays_until_the_new_is_complete(target: Path):
    target.mkdir(parents=True)
    (target / "old").write_text("old")
    with pytest.raises(ValueError, match="broken"):
        fill(target, ValueError("broken"))
    assert names(target) == {"old"}
    fill(target)
    assert names(target) == {"sub"}


def test_folders_of_dead_processes_are_removed(target: Path):
    """Of this target and of others; not that of a process that lives: it holds its lock."""
    for name in ("model", "dead", "alive"):
        (target.parent / f".{name}.partial").mkdir(parents=True)
        (target.parent / f".{name}.partial" / "file").write_text("half")
    with locked(target.with_name("alive")):
        fill(target)
        assert names(target.parent) == {"model", ".alive.partial"}
    assert names(target) == {"sub"}


def test_no_room(target: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(8 << 30, 6 << 30, 2 << 30))
    with (
        locked(target),
        pytest.raises(CheckpointError, match=r"needs 3\.06 GiB in .* 2\.00 GiB free.*ASSAY_CACHE"),
        make_folder(target, 3 << 30),
    ):
        pytest.fail("there is no room for it")
    assert names(target.parent) == set()
    fill(target)


def test_a_full_disk_is_an_error_of_ours(target: Path):
    """The disk may fill up after the check."""
    with pytest.raises(CheckpointError, match=r"No space left.*ASSAY_CACHE"):
        fill(target, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert names(target.parent) == set()


def test_a_cache_that_is_no_folder(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"could not be written.*ASSAY_CACHE"):
        fill(tmp_path / "file" / "model")
