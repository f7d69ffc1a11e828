"""Sizes on disk, and whether there is room."""

import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from assay.errors import CheckpointError
from assay.models import disk
from assay.models.disk import check_space, folder_bytes


def test_only_files_count():
    Path("a/b").mkdir(parents=True)
    Path("a/one").write_bytes(b"x" * 10)
    Path("a/b/two").write_bytes(b"x" * 5)
    Path("a/link").symlink_to("one")
    Path("a/loop").symlink_to("..")
    Path("a/gone").symlink_to("nothing")
    assert folder_bytes(Path("a")) == 15
    assert folder_bytes(Path("nowhere")) == 0


def test_a_folder_in_which_another_process_works():
    """pip makes and removes folders while the progress of its download is measured: that once ended the download."""
    Path("busy").mkdir()
    Path("busy/stays").write_bytes(b"x")
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            for i in range(50):
                os.makedirs(f"busy/{i}/deep")
                Path(f"busy/{i}/deep/file").touch()
            for i in range(50):
                shutil.rmtree(f"busy/{i}")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        assert {folder_bytes(Path("busy")) for _ in range(300)} == {1}
    finally:
        stop.set()
        thread.join()


def test_room(monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: SimpleNamespace(free=disk.MARGIN + 5))
    check_space(Path("not/yet/there"), 5, "x")
    check_space(Path("not/yet/there"), -5, "x")
    with pytest.raises(CheckpointError, match=r"^x needs 0\.06 GiB in not/yet/there, whose disk has 0\.06 GiB free"):
        check_space(Path("not/yet/there"), 6, "x")
