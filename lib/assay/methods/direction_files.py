"""Directions on disk: safetensors files with provenance, and control vectors for other tools.

    >>> direction = Direction(np.ones(8, np.float32), layer=4, position=-1, stream_norm=1.0, provenance={"model": "toy"})
    >>> load_direction(save_direction(direction, "refusal.safetensors")).provenance["model"]
    'toy'
    >>> export_control_vector(direction, "refusal.gguf", model_hint="llama").name
    'refusal.gguf'

A direction is saved as one safetensors file with the tensor `direction` [E]; layer, position, site, stream norm and provenance
(which model it belongs to) are metadata.

The export is a *control vector* in GGUF, the format of llama.cpp (`--control-vector-scaled refusal.gguf 1.0`), repeng and
EasySteer: one-dimensional float32 tensors `direction.N`. llama.cpp adds `direction.N` to resid_post of layer N, counted from 0,
at every position, and cannot express layer 0. So a direction for resid_pre of layer l is `direction.(l-1)`. The format has no
ablation.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from assay.errors import DataError
from assay.methods.directions import Direction

FORMAT = "assay.direction.1"


def save_direction(direction: Direction, file: str | Path) -> Path:
    """Write a direction, its place and its provenance as safetensors -> the file."""
    metadata = {
        "format": FORMAT,
        "site": direction.site,
        "layer": str(direction.layer),
        "position": str(direction.position),
        "stream_norm": repr(direction.stream_norm),
        "provenance": json.dumps(dict(direction.provenance), sort_keys=True),
    }
    mx.save_safetensors(str(file), {"direction": mx.array(direction.vector, mx.float32)}, metadata)
    return Path(file)


def load_direction(file: str | Path, *, width: int | None = None) -> Direction:
    """The direction in a file. Raises DataError for a file without one, or if its width is not that of the model (`width`)."""
    if not Path(file).is_file():
        raise DataError(f"there is no file {file}")
    try:
        loaded: Any = mx.load(str(file), format="safetensors", return_metadata=True)
    except RuntimeError as error:
        raise DataError(f"{file} is not a safetensors file: {error}") from error
    arrays, metadata = loaded
    if metadata.get("format") != FORMAT or "direction" not in arrays:
        raise DataError(f"{file} is not a direction saved by assay (its tensors: {', '.join(sorted(arrays))})")
    vector = np.array(arrays["direction"].astype(mx.float32))
    if width is not None and vector.shape != (width,):
        raise DataError(
            f"the direction in {file} has width {vector.shape[0]}, the model {width}: it is another model's"
        )
    place = int(metadata["layer"]), int(metadata["position"]), float(metadata["stream_norm"])
    return Direction(vector, *place, metadata["site"], json.loads(metadata["provenance"]))


def control_vector(direction: Direction) -> Mapping[str, mx.array]:
    """`direction.N` by llama.cpp's counting: llama.cpp adds it to the output of layer N, counted from 0.

    Raises DataError for a direction that this format cannot express.
    """
    leaves = {"resid_pre": direction.layer - 1, "resid_post": direction.layer}
    if direction.site not in leaves:
        raise DataError(f"a control vector is added between layers, and {direction.site!r} lies inside one")
    if (layer := leaves[direction.site]) < 1:
        raise DataError(
            f"a control vector cannot be added to {direction.site} of layer {direction.layer}: the format begins with "
            "the output of layer 1 (counted from 0)"
        )
    return {f"direction.{layer}": mx.array(direction.vector, mx.float32)}


def export_control_vector(direction: Direction, file: str | Path, *, model_hint: str) -> Path:
    """Write a control vector in GGUF -> the file. model_hint: the family, as llama.cpp calls it ("llama", "qwen2"...)."""
    tensors = control_vector(direction)
    metadata: dict[str, mx.array | str | list[str]] = {
        "general.architecture": "controlvector",
        "controlvector.model_hint": model_hint,
        "controlvector.layer_count": mx.array(len(tensors), mx.int32),
    }
    mx.save_gguf(str(file), dict(tensors), metadata)
    return Path(file)
