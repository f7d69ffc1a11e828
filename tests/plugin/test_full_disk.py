"""A disk that fills up during a run: an error that says so, and a snapshot with its old bytes or its new ones."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from disturbed import changed  # noqa: F401  # a fixture


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "assay-tests", str(folder)]
    if not sys.platform.startswith("linux") or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs (Linux, root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(ballast: Path, free: int) -> None:
    """Leaves `free` bytes on the disk of `ballast`."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"0" * 4096)
        except OSError:
            file.truncate(file.tell() - free)


@pytest.mark.parametrize("free", [0, 16 * 1024, 20 * 1024])
def test_a_disk_that_is_full(changed, disk, free):  # noqa: F811
    """The whole repository is on it. One page of 4 KiB goes to `.assay/.gitignore` and one to each journal, three to each
    snapshot: so the disk is full at once, or in the middle of the first snapshot, or of the second."""
    repo = changed.repo
    for name in ("conftest.py", "tox.ini", "suites", "models", "snapshots"):
        copy = shutil.copytree if (repo.path / name).is_dir() else shutil.copy
        copy(repo.path / name, disk / name)
        if name != "models":
            (shutil.rmtree if (repo.path / name).is_dir() else os.unlink)(repo.path / name)
            (repo.path / name).symlink_to(disk / name)  # so that `repo` looks at the copies
    (disk / "log").symlink_to(repo.path / "log")
    assert all(8192 < len(content) < 12288 for content in changed.new.values())
    fill(disk / "ballast", free)

    process = changed.start("-p", "no:cacheprovider", cwd=disk)
    output = process.communicate(timeout=600)[0].decode()
    assert process.returncode == pytest.ExitCode.TESTS_FAILED, output
    assert "OSError: [Errno 28] No space left on device" in output
    changed.each_is_old_or_new()
    assert (repo.snapshots() == changed.old) == (free < 20 * 1024)
    assert not list((disk / "snapshots").rglob(".*.tmp"))

    (disk / "ballast").unlink()
    process = changed.start("-p", "no:cacheprovider", "--resume", cwd=disk)
    output = process.communicate(timeout=600)[0].decode()
    assert process.returncode == 0, output
    assert repo.snapshots() == changed.new
    assert (disk / ".assay" / ".gitignore").read_text() == "*\n"


def test_a_limit_on_file_sizes(changed):  # noqa: F811
    """No file may grow beyond 1.5 kB: the journal fits, a snapshot does not, and its beginning is really written."""
    process = changed.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500)))
    output = process.communicate(timeout=600)[0].decode()
    assert process.returncode == pytest.ExitCode.TESTS_FAILED, output
    assert "OSError: [Errno 27] File too large" in output
    assert changed.repo.snapshots() == changed.old
    assert not list((changed.repo.path / "snapshots").rglob(".*.tmp"))
    changed.resumes_to_the_new_ones()
