"""Copies tensors from a GGUF file into one safetensors file, a piece at a time.

    write(copies, folder / "model.safetensors", progress=True)

A safetensors file is 8 bytes with the length of a header, the header (JSON: name -> type, shape, bytes from and to), the
data. The header is known before the first tensor is read, so only one piece of one tensor is in memory at a time; the
`safetensors` package would want all tensors at once.

Block-quantised tensors become their exact values in float32; F16, BF16 and F32 keep their bytes.
"""

import json
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

from assay.errors import CheckpointError
from assay.models.gguf.read import Tensor

PLAIN = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
"""Types that are copied unchanged; numpy has no BF16, so its bytes are moved as uint16."""
PIECE = 1 << 22
"""Numbers dequantised at a time: 16 MiB of float32."""
STRIP = 8192
"""Bytes of blocks passed to `gguf` as one row: it works on 16 rows at a time, which then fit in a processor's cache."""


@dataclass(frozen=True)
class Copy:
    """One tensor to be copied."""

    tensor: Tensor
    name: str
    """The tensor's name in the converted checkpoint."""
    type: str
    """F32, F16 or BF16."""
    heads: int | None = None
    """Number of heads that the rows hold, if these are in llama.cpp's rotary order; else None."""
    less_one: bool = False
    """Whether the file stores 1 + weight."""

    @property
    def nbytes(self) -> int:
        return math.prod(self.tensor.shape) * PLAIN[self.type].itemsize


def plain_type(tensor: Tensor) -> str:
    """The type of `tensor` after conversion. Raises CheckpointError for a type that `gguf` cannot dequantise."""
    if tensor.type in PLAIN:
        return tensor.type
    if not _can_dequantise(tensor.type):
        raise CheckpointError(
            f"{tensor.file}: {tensor.name} is of the type {tensor.type}, which the installed `gguf` package cannot"
            " dequantise: get the file in another quantisation"
        )
    return "F32"


@cache
def _can_dequantise(type: str) -> bool:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import dequantize

    kind = GGMLQuantizationType[type]
    try:
        dequantize(np.zeros((1, GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
    except NotImplementedError:
        return False
    return True


def dequantised(tensor: Tensor) -> np.ndarray:
    """All numbers of a small tensor as float32, in its shape."""
    plain = plain_type(tensor)
    pieces = [_float32(piece, plain) for piece in _pieces(tensor, plain)]
    return np.concatenate(pieces).reshape(tensor.shape)


def write(copies: Sequence[Copy], target: Path, *, progress: bool) -> None:
    """Writes all `copies` into the new file `target`.

    Raises CheckpointError when the source ends too early or has numbers that are not finite.
    """
    # Wide types first: then each tensor begins at a multiple of its own width.
    ordered = sorted(copies, key=lambda copy: -PLAIN[copy.type].itemsize)
    total = sum(copy.nbytes for copy in ordered)
    with (
        target.open("xb") as out,
        tqdm(total=total, unit="B", unit_scale=True, desc=target.parent.name, disable=not progress) as bar,
    ):
        out.write(_header(ordered))
        for copy in ordered:
            for piece in _converted(copy):
                out.write(piece.data)
                bar.update(piece.nbytes)


def _header(copies: Sequence[Copy]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "mlx"}}
    start = 0
    for copy in copies:
        end = start + copy.nbytes
        entries[copy.name] = {"dtype": copy.type, "shape": list(copy.tensor.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _converted(copy: Copy) -> Iterator[np.ndarray]:
    """The numbers of a tensor as they are to be written, in pieces."""
    source = plain_type(copy.tensor)
    pieces = _pieces(copy.tensor, source)
    if copy.heads is not None:  # the whole tensor: rows move between pieces
        yield _turn_back(np.concatenate(list(pieces)).reshape(copy.tensor.shape), copy.heads)
    elif copy.less_one:
        for piece in pieces:
            yield _float32(piece, source) - np.float32(1)
    else:
        yield from pieces


def _turn_back(weight: np.ndarray, heads: int) -> np.ndarray:
    """[heads * D, ...] from llama.cpp's order of a head's rows to the publisher's."""
    pairs = weight.reshape(heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(weight.shape)


def _pieces(tensor: Tensor, plain: str) -> Iterator[np.ndarray]:
    """The numbers of a tensor in the type `plain`, flat, a few rows at a time."""
    step = max(1, PIECE // tensor.shape[-1])
    try:
        with tensor.file.open("rb") as stream:
            stream.seek(tensor.start)
            for first in range(0, tensor.rows, step):
                count = min(step, tensor.rows - first) * tensor.row_bytes
                data = np.fromfile(stream, np.uint8, count)
                if data.size != count:
                    raise CheckpointError(f"{tensor.file} ended within {tensor.name}: it was changed while being read")
                piece = data.view(PLAIN[plain]) if tensor.type in PLAIN else _blocks(tensor, data)
                _check_finite(tensor, piece, plain)
                yield piece
    except OSError as error:
        raise CheckpointError(f"{tensor.name} cannot be read from {tensor.file}: {error}") from error


def _blocks(tensor: Tensor, data: np.ndarray) -> np.ndarray:
    """The float32 numbers of whole blocks of the type of `tensor`, flat."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import dequantize

    type = GGMLQuantizationType[tensor.type]
    size = GGML_QUANT_SIZES[type][1]
    strip = max(1, STRIP // size) * size
    whole = data.size // strip * strip
    parts = [data[:whole].reshape(-1, strip), data[whole:].reshape(-1, size)]
    return np.concatenate([dequantize(part, type).ravel() for part in parts if part.size])


def _float32(piece: np.ndarray, plain: str) -> np.ndarray:
    if plain == "BF16":  # the upper half of a float32
        return (piece.astype(np.uint32) << 16).view(np.float32)
    return piece.astype(np.float32)


def _check_finite(tensor: Tensor, piece: np.ndarray, plain: str) -> None:
    """Raises CheckpointError for infinities and NaN, which a damaged scale or exponent gives."""
    fine = np.all((piece & 0x7F80) != 0x7F80) if plain == "BF16" else np.all(np.isfinite(piece))
    if not fine:
        raise CheckpointError(f"{tensor.file}: {tensor.name} has numbers that are not finite. Get the file again")
