"""The header of a GGUF file: metadata as plain Python values, and the place of each tensor.

    header = read(Path("SmolLM2-135M-Instruct.Q4_1.gguf"))
    header.metadata["general.architecture"]
    header.tensors["token_embd.weight"].shape                   # rows first: [vocabulary, E]

The format, little-endian: "GGUF", version, how many tensors, how many keys; the keys, each with a type and a value; the
tensors, each with a name, dimensions (the innermost first), a type and an offset; then, aligned, the data.

`gguf.GGUFReader` fails on a damaged file with errors of numpy. This reader compares every count and length with the size of
the file before it uses them: damage ends in one sentence, and never in an endless loop or a full memory.
"""

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from assay.errors import CheckpointError
from assay.models.gguf.shards import shards

VERSIONS = (2, 3)
"""Versions of the format that can be read; in little-endian files the two are the same."""
MOST_ELEMENTS = 1 << 22
"""Most elements of an array; the largest vocabularies and merge lists have half a million."""
MOST_BYTES = 1 << 26
"""Most bytes of a string."""
LONGEST_NAME = 200
"""Most characters of a key or a tensor's name; llama.cpp allows 64 for a tensor's name."""

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Type number of a value -> its letter in `struct`."""
STRING, ARRAY, BOOL = 8, 9, 7


@dataclass(frozen=True)
class Tensor:
    """The type, shape and place of a tensor."""

    name: str
    type: str
    """ggml's name of the form: F32, Q4_K, ..."""
    shape: tuple[int, ...]
    """Outermost dimension first: (rows, columns)."""
    file: Path
    start: int
    """Position of its first byte in the file."""
    row_bytes: int
    """Bytes of one row, which is a whole number of blocks."""

    @property
    def rows(self) -> int:
        return math.prod(self.shape[:-1])

    @property
    def nbytes(self) -> int:
        return self.rows * self.row_bytes


@dataclass(frozen=True)
class Header:
    """Everything in a GGUF file (all its shards) but the data."""

    metadata: dict[str, Any]
    """str, int, float, bool, or a list of one of them, by key."""
    tensors: dict[str, Tensor]
    """In the order of the file."""
    files: tuple[Path, ...]
    """The file, or its shards in order."""


def read(file: Path) -> Header:
    """The header of `file`; of all shards when it is one of several.

    Raises CheckpointError for a file that is missing, damaged, of another version or byte order, or not whole.
    """
    files = shards(file)
    headers = [_read_one(part) for part in files]
    metadata, tensors = headers[0]
    if metadata.get("split.count", 1) not in (0, len(files)):
        raise CheckpointError(
            f"{file} is one of {metadata['split.count']} shards by its header, and not by its name: give the shards the"
            " names they were published under (...-00001-of-00003.gguf)"
        )
    for number, (more, others) in enumerate(headers[1:], start=1):
        where = files[number]
        if more.get("split.no") != number:
            raise CheckpointError(f"{where} should be shard {number + 1} and its header says {_place(more)}")
        if both := next((name for name in others if name in tensors), None):
            raise CheckpointError(f"{where}: {both} is also in another shard. Get the shards of one model")
        for key, value in more.items():
            if not key.startswith("split.") and metadata.setdefault(key, value) != value:
                raise CheckpointError(f"{where} has another {key} than {files[0].name}. Get the shards of one model")
        tensors |= others
    announced = metadata.get("split.tensors.count", len(tensors))
    if len(files) > 1 and announced != len(tensors):
        raise CheckpointError(f"the shards of {file} have {len(tensors)} tensors and should have {announced}")
    return Header(metadata, tensors, files)


def _place(metadata: dict[str, Any]) -> str:
    number = metadata.get("split.no")
    return f"shard {number + 1}" if isinstance(number, int) else "nothing of shards"


def _read_one(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Metadata and tensors of one file."""
    try:
        with file.open("rb") as stream:
            cursor = _Cursor(file, stream, os.fstat(stream.fileno()).st_size)
            tensor_count, key_count = _preamble(cursor)
            metadata = _metadata(cursor, key_count)
            return metadata, _tensors(cursor, tensor_count, _alignment(cursor, metadata))
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error


class _Cursor:
    """Reads forward through a file, and never beyond its end."""

    def __init__(self, file: Path, stream: BinaryIO, size: int):
        self.file, self.stream, self.size, self.at = file, stream, size, 0

    def damaged(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self.file} is damaged: {what}. Get the file again")

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        data = self.stream.read(count) if count <= self.size - self.at else b""
        if len(data) != count:
            raise self.damaged(f"it ends after {self.size} bytes, within its header")
        self.at += count
        return data

    def number(self, letter: str) -> Any:
        return struct.unpack(f"<{letter}", self.take(struct.calcsize(letter)))[0]

    def count(self, what: str, least_bytes: int, most: int) -> int:
        """A count of items of `least_bytes` or more each. Raises CheckpointError if the file cannot hold so many."""
        count = self.number("Q")
        if count > min(most, (self.size - self.at) // least_bytes):
            raise self.damaged(f"it claims {count} {what} at byte {self.at - 8}")
        return count

    def string(self) -> str:
        data = self.take(self.count("bytes of text", 1, MOST_BYTES))
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self.damaged(f"a text before byte {self.at} is not UTF-8") from error

    def name(self) -> str:
        """A key or the name of a tensor, checked to be fit for messages."""
        text = self.string()
        if len(text) > LONGEST_NAME or not text.isprintable():
            raise self.damaged(f"the name before byte {self.at} is no name ({len(text)} characters)")
        return text


def _preamble(cursor: _Cursor) -> tuple[int, int]:
    """Checks magic and version; returns the number of tensors and the number of keys."""
    if cursor.size < 8 or (magic := cursor.take(4)) != b"GGUF":
        raise CheckpointError(f"{cursor.file} is not a GGUF file: it does not begin with the letters GGUF")
    version = cursor.number("I")
    if version not in VERSIONS and not version & 0xFFFF:
        raise CheckpointError(f"{cursor.file} is a big-endian GGUF file ({magic!r}): get the little-endian one")
    if version not in VERSIONS:
        known = " and ".join(map(str, VERSIONS))
        raise CheckpointError(f"{cursor.file} is a GGUF file of version {version}; versions {known} can be read")
    tensors = cursor.count("tensors", least_bytes=8 + 4 + 8 + 4 + 8, most=1 << 20)
    return tensors, cursor.count("keys", least_bytes=8 + 4 + 1, most=1 << 20)


def _metadata(cursor: _Cursor, count: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for _ in range(count):
        key = cursor.name()
        if key in metadata:
            raise cursor.damaged(f"{key} is there twice")
        metadata[key] = _value(cursor, key)
    return metadata


def _value(cursor: _Cursor, key: str) -> Any:
    kind = cursor.number("I")
    if kind == STRING:
        return cursor.string()
    if kind in SCALARS:
        return _scalars(cursor, key, kind, 1)[0]
    if kind != ARRAY:
        raise cursor.damaged(f"{key} has a value of the unknown type {kind}")
    inner = cursor.number("I")
    if inner == STRING:
        return _texts(cursor, key, cursor.count(f"texts in {key}", 8, MOST_ELEMENTS))
    if inner not in SCALARS:
        raise cursor.damaged(f"{key} is a list of values of the unknown type {inner}")
    return _scalars(
        cursor, key, inner, cursor.count(f"values in {key}", struct.calcsize(SCALARS[inner]), MOST_ELEMENTS)
    )


def _scalars(cursor: _Cursor, key: str, kind: int, count: int) -> list[Any]:
    data = cursor.take(count * struct.calcsize(SCALARS[kind]))
    if kind == BOOL and not set(data) <= {0, 1}:
        raise cursor.damaged(f"{key} is neither true nor false")
    return list(struct.unpack(f"<{count}{SCALARS[kind]}", data))


def _texts(cursor: _Cursor, key: str, count: int) -> list[str]:
    """The same as `count` calls of `cursor.string()`, but faster: a vocabulary has up to a million strings."""
    read, length_of, left = cursor.stream.read, struct.Struct("<Q").unpack, cursor.size - cursor.at
    texts: list[str] = []
    try:
        for _ in range(count):
            (length,) = length_of(read(8))
            left -= 8 + length
            if left < 0 or length > MOST_BYTES:
                raise cursor.damaged(f"a text in {key} claims {length} bytes")
            texts.append(read(length).decode())
    except struct.error as error:
        raise cursor.damaged(f"it ends after {cursor.size} bytes, within {key}") from error
    except UnicodeDecodeError as error:
        raise cursor.damaged(f"{key} has a text that is not UTF-8") from error
    cursor.at = cursor.size - left
    return texts


def _alignment(cursor: _Cursor, metadata: dict[str, Any]) -> int:
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20 or alignment % 8:
        raise cursor.damaged(f"general.alignment is {alignment!r}, and should be a multiple of 8")
    return alignment


def _tensors(cursor: _Cursor, count: int, alignment: int) -> dict[str, Tensor]:
    listed = []
    for _ in range(count):
        name = cursor.name()
        dimensions = cursor.number("I")
        if not 1 <= dimensions <= 4:
            raise cursor.damaged(f"{name} has {dimensions} dimensions")
        shape = tuple(reversed([cursor.number("Q") for _ in range(dimensions)]))
        listed.append((name, shape, cursor.number("I"), cursor.number("Q")))
    data = -(-cursor.at // alignment) * alignment
    tensors: dict[str, Tensor] = {}
    for name, shape, kind, offset in listed:
        type, row_bytes = _row(cursor, name, kind, shape[-1])
        tensor = Tensor(name, type, shape, cursor.file, data + offset, row_bytes)
        if name in tensors:
            raise cursor.damaged(f"{name} is there twice")
        if not tensor.nbytes or offset % alignment:
            raise cursor.damaged(f"{name} has the shape {shape} at offset {offset}")
        if tensor.start + tensor.nbytes > cursor.size:
            raise cursor.damaged(f"{name} ends at byte {tensor.start + tensor.nbytes}, and the file at {cursor.size}")
        tensors[name] = tensor
    expected = data
    for tensor in sorted(tensors.values(), key=lambda tensor: tensor.start):  # as llama.cpp demands: no gap, no overlap
        if tensor.start != expected:
            raise cursor.damaged(f"{tensor.name} lies at byte {tensor.start}, and should at {expected}")
        expected = -(-(tensor.start + tensor.nbytes) // alignment) * alignment
    return tensors


def _row(cursor: _Cursor, name: str, kind: int, columns: int) -> tuple[str, int]:
    """The name of the tensor type numbered `kind`, and the bytes of a row of `columns` numbers."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        type = GGMLQuantizationType(kind)
        block, size = GGML_QUANT_SIZES[type]
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{cursor.file}: {name} is of the tensor type numbered {kind}, which the installed `gguf` package does not"
            " know: get the file in another quantisation, or a newer `gguf`"
        ) from error
    if columns % block:
        raise cursor.damaged(f"a row of {name} has {columns} numbers, and a block of {type.name} has {block}")
    return type.name, columns // block * size
