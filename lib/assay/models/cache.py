"""The cache of downloaded and converted models. A folder appears in it complete or not at all.

    >>> target = Path("model").absolute()
    >>> with locked(target), make_folder(target, needed_bytes=2) as folder:     # waits for others that make `target`
    ...     made = (folder / "config.json").write_text("{}")
    >>> target.is_dir()
    True

- A **target** is a folder of the cache. It exists only when it is complete: it is built as a **partial** folder beside
  it (`.NAME.partial`), written through to the disk, and renamed.
- The **lock** of a target (`.locks/NAME.lock`) is held while the target is made. It is freed when its process ends, so a
  partial folder whose lock is free was left by a process that died: the next `make_folder` removes it.

Nothing here imports mlx.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from assay.errors import CheckpointError
from assay.models.disk import check_space

MOVE = "Set ASSAY_CACHE to a folder of another disk, or make room"


def cache_dir() -> Path:
    """The cache as the environment names it now: ASSAY_CACHE, or assay/ in XDG_CACHE_HOME, or ~/.cache/assay."""
    own, shared = os.environ.get("ASSAY_CACHE"), os.environ.get("XDG_CACHE_HOME")
    folder = Path(own) if own else Path(shared or "~/.cache") / "assay"
    return Path(os.path.abspath(folder.expanduser()))


def conversion_folder(sha256: str) -> Path:
    """The folder for the conversion of the GGUF file with this digest, by any version of assay; it need not exist."""
    return cache_dir() / "checkpoints" / sha256[:16]


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Waits until no other process makes `target`, then locks it. Raises CheckpointError without write access."""
    lock = _lock(target)
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def make_folder(target: Path, needed_bytes: int) -> Iterator[Path]:
    """An empty folder to write into, which becomes `target` when the block ends, and is removed if the block raises.

    Use it under `locked(target)`; an existing `target` is replaced. Raises CheckpointError before the block if the disk has
    less than `needed_bytes` free, and if a write fails.
    """
    partial = _partial(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(target)
        check_space(target.parent, needed_bytes, target.name)
        partial.mkdir()
        try:
            yield partial
            _write_through(partial)
            if target.exists():
                shutil.rmtree(target)
            partial.rename(target)
            _sync(target.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise _unwritable(target, error) from error


def _partial(target: Path) -> Path:
    return target.parent / f".{target.name}.partial"


def _lock(target: Path) -> FileLock:
    return FileLock(target.parent / ".locks" / f"{target.name}.lock")


def _remove_left_behind(target: Path) -> None:
    """Removes the partial folders beside `target` that no living process writes; the caller holds the lock of `target`."""
    for partial in target.parent.glob(".*.partial"):
        other = partial.with_name(partial.name.removeprefix(".").removesuffix(".partial"))
        if other == target:
            shutil.rmtree(partial)
            continue
        lock = _lock(other)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        shutil.rmtree(partial, ignore_errors=True)
        lock.release()


def _write_through(folder: Path) -> None:
    """Flushes every file in `folder` to the disk, before the folder is renamed."""
    for path in sorted(folder.rglob("*"), reverse=True):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(target: Path, error: OSError) -> CheckpointError:
    return CheckpointError(f"{target} could not be written: {error}. {MOVE}")
