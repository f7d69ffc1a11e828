"""The SHA-256 of a file's bytes, computed once: a file of the same name, size and times is not read again.

    digest((Path("SmolLM2-135M-Instruct.Q4_1.gguf"),), progress=True)     # 64 hex digits, as `sha256sum` says

The digest of shards is that of their bytes one after the other. Known digests lie in `cache_dir()/digests`, one small file
per model; without it, or with a damaged one, the model is read again.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from assay.errors import CheckpointError
from assay.models.cache import cache_dir

PIECE = 1 << 22

TICK = 20_000_000
"""Nanoseconds in which a file can be written twice without new times: Linux takes them from its timer, of up to 10 ms."""

Marks = list[list[str | int]]
"""For each file: path, size, time of the last change of its content and of its inode, in nanoseconds."""


def digest(files: Sequence[Path], *, progress: bool) -> str:
    """SHA-256 as 64 hex digits. Raises CheckpointError if the files cannot be read, or change meanwhile."""
    if known := remembered(files):
        return known
    before = _settled(files)
    total = hashlib.sha256()
    size = sum(mark[1] for mark in before if isinstance(mark[1], int))
    with tqdm(total=size, unit="B", unit_scale=True, desc=files[0].name, disable=not progress) as bar:
        for file in files:
            try:
                with file.open("rb") as stream:
                    while piece := stream.read(PIECE):
                        total.update(piece)
                        bar.update(len(piece))
            except OSError as error:
                raise CheckpointError(f"{file} cannot be read: {error}") from error
    check_unchanged(files, before)
    _remember(files, before, total.hexdigest())
    return total.hexdigest()


def remembered(files: Sequence[Path]) -> str | None:
    """The stored digest of the files, or None if there is none or their marks have changed."""
    try:
        entry = json.loads(_place(files).read_text(encoding="utf-8"))
        return entry["sha256"] if entry["files"] == marks(files) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_unchanged(files: Sequence[Path], before: Marks) -> None:
    """Raises CheckpointError if the files have other marks than `before`."""
    if marks(files) != before:
        raise CheckpointError(f"{files[0]} was changed while it was read: wait until its download or copy has ended")


def marks(files: Sequence[Path]) -> Marks:
    """Path, size and times of each file: other marks mean that a file was changed."""
    try:
        found = [(os.path.abspath(file), file.stat()) for file in files]
    except OSError as error:
        raise CheckpointError(f"{files[0]} cannot be read: {error}") from error
    return [[path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns] for path, stat in found]


def _settled(files: Sequence[Path]) -> Marks:
    """The marks, once a later change of a file must change them."""
    found = marks(files)
    age = time.time_ns() - max(int(at) for _, _, *times in found for at in times)
    if 0 <= age < TICK:
        time.sleep((TICK - age) / 1e9)
        return marks(files)
    return found


def _place(files: Sequence[Path]) -> Path:
    name = hashlib.sha256(os.path.abspath(files[0]).encode()).hexdigest()[:16]
    return cache_dir() / "digests" / f"{name}.json"


def _remember(files: Sequence[Path], before: Marks, sha256: str) -> None:
    """Stores the digest. A failure is ignored, since the stored digest only saves time."""
    place = _place(files)
    temporary = place.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"files": before, "sha256": sha256}) + "\n", encoding="utf-8")
        temporary.replace(place)
