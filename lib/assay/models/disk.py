"""Disk space, used and free, and the digest of a file.

>>> written = Path("a.txt").write_bytes(b"abc")
>>> folder_bytes(Path.cwd()), sha256(Path("a.txt"))[:12]
(3, 'ba7816bf8f01')
>>> check_space(Path.cwd(), 1 << 60, "a model")
Traceback (most recent call last):
assay.errors.CheckpointError: a model needs 1073741824.06 GiB in ..., whose disk has ... GiB free: make room, or set ...
"""

import contextlib
import hashlib
import os
import shutil
import stat
from pathlib import Path

from assay.errors import CheckpointError

MARGIN = 64 << 20
"""Bytes to stay free besides those needed: file systems reserve some, and other processes write too."""


def check_space(folder: Path, needed: int, what: str) -> None:
    """Raises CheckpointError unless the disk of `folder`, which need not exist yet, has `needed` bytes free."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if needed > 0 and free < needed + MARGIN:
        raise CheckpointError(
            f"{what} needs {_gib(needed + MARGIN)} in {folder}, whose disk has {_gib(free)} free: make room,"
            " or set ASSAY_CACHE (models from packages, conversions) and HF_HUB_CACHE (the hub) to another disk"
        )


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder, without links; 0 for a missing folder.

    Another process may create and remove files there meanwhile, as a download does.
    """
    size = 0
    for place, _, names in os.walk(folder):  # skips a folder that was removed
        for name in names:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found = os.lstat(os.path.join(place, name))
                size += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return size


def sha256(file: Path) -> str:
    """The digest of a file's bytes, 64 hex digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
