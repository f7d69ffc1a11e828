"""A file is converted once, and again when it or the converter is another; nothing else is ever taken for it."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_twin import Twin, write_gguf, write_twin

from assay.errors import CheckpointError
from assay.models.gguf import Description, checkpoint, convert, describe, digest, find, weights

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def twin(config: Callable[..., dict[str, Any]], tmp_path: Path) -> Twin:
    return write_twin(tmp_path / "twin", config("llama", rope_scaling=None, vocab_size=320), ("Q8_0", "F16"))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose bytes were read for a digest."""
    names: list[str] = []
    bar = digest.tqdm

    def count(**options: Any) -> Any:
        names.append(options["desc"])
        return bar(**options)

    monkeypatch.setattr(digest, "tqdm", count)
    return names


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def converted(cache: Path) -> set[str]:
    return {path.name for path in (cache / "checkpoints").iterdir() if path.name != ".locks"}


# --- what is in the folder --------------------------------------------------------------------------------


def test_the_record(twin: Twin, cache: Path):
    folder = checkpoint(twin.gguf, progress=False)
    record = json.loads((folder / "gguf.json").read_text())
    assert folder == cache / "checkpoints" / sha256(twin.gguf)[:16]
    assert {path.name: path.stat().st_size for path in folder.iterdir() if path.name != "gguf.json"} == record.pop(
        "files"
    )
    assert record == {
        "file": "tiny.gguf",
        "sha256": sha256(twin.gguf),
        "bytes": twin.gguf.stat().st_size,
        "shards": 1,
        "architecture": "llama",
        "name": "tiny llama",
        "quantised": {"F16": 11, "F32": 7, "Q8_0": 11},
        "converter": convert.CONVERTER,
    }


def test_description(twin: Twin, cache: Path):
    """From the header, without a trace in the cache."""
    assert describe(twin.gguf) == Description("llama", 3, 0.0)
    assert not cache.exists()
    folder = checkpoint(twin.gguf, progress=False)
    size = (folder / "model.safetensors").stat().st_size
    assert 0 < size - convert.outline_of(convert.read(twin.gguf)).nbytes < 8192  # but for the header


def test_pieces_change_nothing(twin: Twin, monkeypatch: pytest.MonkeyPatch):
    """A tensor read in many pieces, blocks in strips of other sizes: the same bytes."""
    whole = (checkpoint(twin.gguf, progress=False) / "model.safetensors").read_bytes()
    monkeypatch.setattr(weights, "PIECE", 200)
    monkeypatch.setattr(weights, "STRIP", 34 * 3)
    monkeypatch.setattr(convert, "CONVERTER", -1)
    assert (checkpoint(twin.gguf, progress=False) / "model.safetensors").read_bytes() == whole


def test_progress(twin: Twin, capsys: pytest.CaptureFixture[str]):
    checkpoint(twin.gguf, progress=False)
    assert capsys.readouterr() == ("", "")
    twin.gguf.touch()
    checkpoint(twin.gguf)
    assert "tiny.gguf: 100%" in capsys.readouterr().err


# --- once, and again --------------------------------------------------------------------------------------


def test_converted_once_and_hashed_once(twin: Twin, hashed: list[str], monkeypatch: pytest.MonkeyPatch):
    folder = checkpoint(twin.gguf, progress=False)
    assert hashed == ["tiny.gguf"]
    monkeypatch.setattr(convert, "_fill", lambda *_: pytest.fail("converted again"))
    assert checkpoint(twin.gguf, progress=False) == folder
    assert hashed == ["tiny.gguf"]
    moved = twin.gguf.rename(twin.gguf.with_name("moved.gguf"))
    assert checkpoint(moved, progress=False) == folder
    assert hashed == ["tiny.gguf", "moved.gguf"]


def test_a_changed_file_is_converted_anew(twin: Twin, hashed: list[str], cache: Path):
    """Even when its size and the time of its change are those of the old one."""
    folder, times = checkpoint(twin.gguf, progress=False), twin.gguf.stat()
    twin.tensors["output_norm.weight"][0][0] += 1
    write_gguf(twin.gguf, twin.metadata, twin.tensors)
    os.utime(twin.gguf, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert twin.gguf.stat().st_size == times.st_size
    other = checkpoint(twin.gguf, progress=False)
    assert other != folder
    assert hashed == ["tiny.gguf", "tiny.gguf"]
    assert converted(cache) == {folder.name, other.name}


def test_a_damaged_memory_of_digests(twin: Twin, hashed: list[str], cache: Path):
    folder = checkpoint(twin.gguf, progress=False)
    (remembered,) = (cache / "digests").iterdir()
    for text in ("", "[]", '{"files": 3}'):
        remembered.write_text(text)
        assert checkpoint(twin.gguf, progress=False) == folder
    assert len(hashed) == 4


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "gguf.json"]
)
def test_an_incomplete_folder_is_made_again(name: str, twin: Twin):
    folder = checkpoint(twin.gguf, progress=False)
    assert find(sha256(twin.gguf)) == folder
    whole = (folder / name).read_bytes()
    for damage in (lambda file: file.unlink(), lambda file: file.write_bytes(whole[:-3])):
        damage(folder / name)
        assert find(sha256(twin.gguf)) is None
        assert checkpoint(twin.gguf, progress=False) == folder
        assert (folder / name).read_bytes() == whole


def test_another_converter(twin: Twin, monkeypatch: pytest.MonkeyPatch):
    """What an older version wrote is not taken."""
    checkpoint(twin.gguf, progress=False)
    monkeypatch.setattr(convert, "CONVERTER", convert.CONVERTER + 1)
    assert find(sha256(twin.gguf)) is None
    assert (
        json.loads((checkpoint(twin.gguf, progress=False) / "gguf.json").read_text())["converter"] == convert.CONVERTER
    )


def test_find_wants_the_whole_digest(twin: Twin):
    checkpoint(twin.gguf, progress=False)
    digits = sha256(twin.gguf)
    assert find(digits) is not None
    assert find(digits[:16] + "0" * 48) is None
    assert find("0" * 64) is None


def test_a_file_that_changes_meanwhile(twin: Twin, cache: Path, monkeypatch: pytest.MonkeyPatch):
    write = convert.write

    def late(*args: Any, **options: Any) -> None:
        write(*args, **options)
        twin.gguf.touch()

    monkeypatch.setattr(convert, "write", late)
    with pytest.raises(CheckpointError, match="was changed while it was read"):
        checkpoint(twin.gguf, progress=False)
    assert converted(cache) == set()


def test_no_room(twin: Twin, cache: Path, monkeypatch: pytest.MonkeyPatch):
    usage = shutil.disk_usage(twin.gguf)._replace(free=100 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(CheckpointError, match=r"needs 0\.13 GiB in .* 0\.10 GiB free.*ASSAY_CACHE"):
        checkpoint(twin.gguf, progress=False)
    assert converted(cache) == set()


# --- several processes, and dead ones ---------------------------------------------------------------------

CHILD = """
import logging, sys
from pathlib import Path
from assay.models.gguf import checkpoint, weights

logging.basicConfig(level=logging.INFO, format="%(message)s")
weights.PIECE = int(sys.argv[2])
print("begins", flush=True)
print(checkpoint(Path(sys.argv[1]), progress=False), flush=True)
"""
SLOW = 256
"""Numbers a piece: the conversion then takes the better part of a second."""


def start(file: Path, piece: int = SLOW) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(file), str(piece)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def larger(config: Callable[..., dict[str, Any]], tmp_path: Path) -> Twin:
    return write_twin(
        tmp_path / "twin", config("llama", rope_scaling=None, vocab_size=2048, num_hidden_layers=6), ("Q8_0",)
    )


def test_two_processes_convert_once(larger: Twin, cache: Path):
    children = [start(larger.gguf), start(larger.gguf)]
    outputs = [child.communicate(timeout=120) for child in children]
    assert [child.returncode for child in children] == [0, 0], outputs
    assert {out.split()[-1] for out, _ in outputs} == {str(cache / "checkpoints" / sha256(larger.gguf)[:16])}
    assert sum(err.count("converting ") for _, err in outputs) == 1


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_killed_while_writing(share: float, larger: Twin, cache: Path):
    """kill -9 when so much of the weights is written: no checkpoint, and the same command makes a whole one."""
    size = sum(tensor.nbytes for tensor in convert.outline_of(convert.read(larger.gguf)).copies)
    with start(larger.gguf) as child:
        while child.poll() is None:
            if any(
                file.stat().st_size >= share * size for file in (cache / "checkpoints").glob(".*.partial/*.safetensors")
            ):
                break
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=120)
    assert child.returncode == -signal.SIGKILL
    assert find(sha256(larger.gguf)) is None
    assert list((cache / "checkpoints").glob(".*.partial"))
    assert_made_right(larger.gguf, cache)


@pytest.mark.skipif(not os.environ.get("ASSAY_THOROUGH"), reason="takes a minute: runs with ASSAY_THOROUGH=1")
def test_killed_at_twenty_moments(larger: Twin, cache: Path):
    """kill -9 from the first line to the last, between reading the header and giving the folder its name."""
    begun = time.perf_counter()
    with start(larger.gguf) as child:
        child.communicate(timeout=120)
    seconds = time.perf_counter() - begun
    found = []
    for moment in np.random.default_rng(0).uniform(0.3, 1, 20):
        shutil.rmtree(cache, ignore_errors=True)
        with start(larger.gguf) as child:
            time.sleep(moment * seconds)
            child.send_signal(signal.SIGKILL)
            child.communicate(timeout=120)
        found.append(find(sha256(larger.gguf)))
        assert_made_right(larger.gguf, cache)
    assert None in found


def assert_made_right(file: Path, cache: Path) -> None:
    """The same command, after what happened before: the whole checkpoint and nothing else, as in an empty cache."""
    folder = checkpoint(file, progress=False)
    assert find(sha256(file)) == folder
    assert converted(cache) == {sha256(file)[:16]}
    resumed = (folder / "model.safetensors").read_bytes()
    shutil.rmtree(cache)
    assert (checkpoint(file, progress=False) / "model.safetensors").read_bytes() == resumed
