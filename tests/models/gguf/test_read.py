"""The header of a GGUF file: what it says, in one file or in shards; a damaged one is one sentence, and never a hang."""

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_twin import Twin, write_gguf, write_twin

from assay.errors import AssayError, CheckpointError
from assay.models.gguf import checkpoint, describe
from assay.models.gguf.read import read

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def twin(config: Callable[..., dict[str, Any]], tmp_path: Path) -> Twin:
    small = {"rope_scaling": None, "num_hidden_layers": 2, "vocab_size": 320}
    return write_twin(tmp_path / "twin", config("llama", **small), ("Q8_0", "F16"))


def damage(file: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        describe(file)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- what it says -----------------------------------------------------------------------------------------


def test_values_of_every_type(tmp_path: Path):
    metadata = {
        "general.architecture": "llama",
        "a.text": "Zürich\n東京",
        "a.flag": True,
        "a.whole": 4_000_000_000,
        "a.real": 0.5,
        "a.texts": ["", "ä", "<|eot|>"],
        "a.numbers": [3, -1, 2],
        "a.reals": [0.25, -1.0],
        "a.flags": [True, False],
    }
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    header = read(write_gguf(tmp_path / "a.gguf", metadata, {"w": (weight, "F32"), "v": (weight[0], "F32")}))
    assert header.metadata == metadata
    assert [type(value) for value in header.metadata.values()] == [type(value) for value in metadata.values()]
    tensors = header.tensors
    assert {name: (tensor.shape, tensor.type) for name, tensor in tensors.items()} == {
        "w": ((2, 3), "F32"),
        "v": ((3,), "F32"),
    }
    raw = header.files[0].read_bytes()
    assert raw[tensors["w"].start :][: tensors["w"].nbytes] == weight.tobytes()


def test_version_2_is_read_as_3(twin: Twin):
    raw = twin.gguf.read_bytes()
    assert struct.unpack("<I", raw[4:8]) == (3,)
    before = checkpoint(twin.gguf, progress=False)
    twin.gguf.write_bytes(raw[:4] + struct.pack("<I", 2) + raw[8:])
    after = checkpoint(twin.gguf, progress=False)
    assert before != after  # other bytes, another digest
    assert (before / "model.safetensors").read_bytes() == (after / "model.safetensors").read_bytes()


@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_alignment(alignment: int, twin: Twin):
    before = checkpoint(twin.gguf, progress=False)
    write_gguf(twin.gguf, twin.metadata, twin.tensors, alignment=alignment)
    assert all(tensor.start % alignment == 0 for tensor in read(twin.gguf).tensors.values())
    after = checkpoint(twin.gguf, progress=False)
    assert (before / "model.safetensors").read_bytes() == (after / "model.safetensors").read_bytes()


# --- shards -----------------------------------------------------------------------------------------------


def split(twin: Twin, folder: Path, count: int = 3) -> list[Path]:
    """The model in shards, as llama.cpp splits: everything said in the first, tensors in turn."""
    folder.mkdir()
    files = []
    for number in range(count):
        own = {"split.no": number, "split.count": count, "split.tensors.count": len(twin.tensors)}
        metadata = {**(twin.metadata if number == 0 else {"general.architecture": "llama"}), **own}
        part = dict(list(twin.tensors.items())[number::count])
        files.append(write_gguf(folder / f"m-{number + 1:05d}-of-{count:05d}.gguf", metadata, part))
    return files


def test_shards_are_one_model(twin: Twin, tmp_path: Path):
    whole = checkpoint(twin.gguf, progress=False)
    files = split(twin, tmp_path / "shards")
    folders = {checkpoint(file, progress=False) for file in files}  # whichever is named
    assert len(folders) == 1
    in_whole, in_shards = (read(file).tensors.keys() for file in (twin.gguf, files[0]))
    assert in_whole == in_shards
    assert (whole / "config.json").read_bytes() == (folders.pop() / "config.json").read_bytes()


def test_a_missing_shard_is_named(twin: Twin, tmp_path: Path):
    files = split(twin, tmp_path / "shards")
    files[1].unlink()
    for file in (files[0], files[2]):
        assert "1 of 3 shards missing" in damage(file)
        assert "m-00002-of-00003.gguf" in damage(file)


def test_shards_of_two_models(twin: Twin, tmp_path: Path):
    files = split(twin, tmp_path / "shards")
    files[1].write_bytes(files[2].read_bytes())
    assert "should be shard 2 and its header says shard 3" in damage(files[0])


def test_a_renamed_shard(twin: Twin, tmp_path: Path):
    files = split(twin, tmp_path / "shards")
    assert "is one of 3 shards by its header, and not by its name" in damage(files[0].rename(tmp_path / "model.gguf"))


def test_a_shard_too_few(twin: Twin, tmp_path: Path):
    twin.tensors["more"] = twin.tensors["output_norm.weight"]
    files = split(twin, tmp_path / "shards")
    del twin.tensors["more"]
    split(twin, tmp_path / "others")
    files[0].write_bytes((tmp_path / "others" / files[0].name).read_bytes())
    assert "tensors and should have" in damage(files[0])


# --- damage -----------------------------------------------------------------------------------------------


def put(at: int, form: str, value: int) -> Callable[[bytes], bytes]:
    new = struct.pack(form, value)
    return lambda raw: raw[:at] + new + raw[at + len(new) :]


def swap(raw: bytes) -> bytes:
    """As a big-endian machine would have written the first numbers."""
    return raw[:4] + raw[4:8][::-1] + raw[8:16][::-1] + raw[16:24][::-1] + raw[24:]


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda raw: b"", "is not a GGUF file"),
    "magic": (put(0, "<I", 0), "is not a GGUF file"),
    "swapped": (swap, "is a big-endian GGUF file"),
    "version 1": (put(4, "<I", 1), "is a GGUF file of version 1; versions 2 and 3 can be read"),
    "version 4": (put(4, "<I", 4), "is a GGUF file of version 4"),
    "tensors": (put(8, "<Q", 1 << 40), "claims 1099511627776 tensors at byte 8"),
    "keys": (put(16, "<Q", 1 << 63), "claims 9223372036854775808 keys at byte 16"),
    "fewer keys": (put(16, "<Q", 3), "is damaged"),
    "length of a key": (put(24, "<Q", 1 << 62), "claims 4611686018427387904 bytes of text at byte 24"),
    "a key's text": (put(32, "<I", 0xFFFFFFFF), "a text before byte 52 is not UTF-8"),
    "cut in the keys": (lambda raw: raw[:300], "is damaged"),
    "cut in the data": (lambda raw: raw[:-5000], "and the file at"),
    "shifted": (lambda raw: raw[:5000] + b"\0" + raw[5000:-1], "is damaged"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage(case: str, twin: Twin, cache: Path):
    change, message = DAMAGE[case]
    twin.gguf.write_bytes(change(twin.gguf.read_bytes()))
    assert message in damage(twin.gguf)
    with pytest.raises(CheckpointError):
        checkpoint(twin.gguf, progress=False)
    assert not (cache / "checkpoints").exists()


def test_tensors_in_the_wrong_place(twin: Twin):
    """One offset that is another tensor's: both would be read, and one of them wrong."""
    header = read(twin.gguf)
    raw = bytearray(twin.gguf.read_bytes())
    start = min(tensor.start for tensor in header.tensors.values())
    one, two = (header.tensors[f"blk.{i}.attn_q.weight"] for i in range(2))
    name = b"blk.1.attn_q.weight"
    at = raw.index(name) + len(name) + 4 + 2 * 8 + 4
    assert struct.unpack_from("<Q", raw, at) == (two.start - start,)
    struct.pack_into("<Q", raw, at, one.start - start)
    twin.gguf.write_bytes(raw)
    assert "blk.1.attn_q.weight lies at byte" in damage(twin.gguf)


def test_any_damaged_byte_is_an_error_of_ours_or_none(twin: Twin):
    """Flipped bits, other bytes and cuts anywhere in the header; conversion too, where the header is still one."""
    whole = twin.gguf.read_bytes()
    end = min(tensor.start for tensor in read(twin.gguf).tensors.values())
    chance = random.Random(7)
    messages = []
    for number in range(400):
        at = chance.choice([chance.randrange(end), chance.randrange(900), chance.randrange(end - 1500, end)])
        raw = bytearray(whole)
        raw[at] = chance.choice([raw[at] ^ 1 << chance.randrange(8), chance.randrange(256), 0, 255])
        twin.gguf.write_bytes(raw if number % 10 else raw[:at])
        try:
            describe(twin.gguf)
            if number % 8 == 0:
                checkpoint(twin.gguf, progress=False)
        except AssayError as error:
            messages.append(str(error))
    assert 150 < len(messages) < 400  # the others only change a name, a token, or another number that may be so
    assert not any("\n" in message for message in messages)
