"""The files of a checkpoint folder: which must be there, and how to read the JSON ones.

Nothing here imports mlx. Every complaint is a CheckpointError that names the file and ends with the remedy.
"""

import json
import re
import struct
from pathlib import Path

from assay.errors import CheckpointError

SHARD = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")
INDEX = "model.safetensors.index.json"


def _broken(problem: str, remedy: str) -> CheckpointError:
    return CheckpointError(f"{problem}. {remedy}" if remedy else problem)


def read_json(file: Path, remedy: str = "") -> dict:
    """The JSON object in `file`, exactly as written."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _broken(f"there is no {file.name} in {file.parent}", remedy) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _broken(f"{file} is not JSON ({error})", remedy) from error
    if not isinstance(value, dict):
        raise _broken(f"{file} holds a {type(value).__name__}, not an object", remedy)
    return value


def weight_files(folder: Path) -> list[Path]:
    """The files that mlx-lm reads weights from, by name; a link whose target is gone does not count."""
    return sorted(file for file in folder.glob("model*.safetensors") if file.is_file())


def hub_repo(folder: Path) -> str | None:
    """The name of the repository whose snapshot `folder` is (`models--org--name/snapshots/<commit>`), or None."""
    base = folder.parent.parent.name
    is_snapshot = folder.parent.name == "snapshots" and base.startswith("models--")
    return base.rpartition("--")[2] if is_snapshot else None


def tensor_names(file: Path, remedy: str = "") -> list[str]:
    """The tensors that a safetensors file holds, from its header; CheckpointError when the file is damaged.

    The format: 8 bytes with the length of the header, the header (JSON), the data. Cheap at any file size.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = struct.unpack("<Q", stream.read(8))[0] if size >= 8 else 0
        raw = stream.read(length) if 0 < length <= size - 8 else b""
    try:
        header = json.loads(raw)
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        whole = 8 + length + max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise _broken(f"{file} is not a safetensors file, or only the start of one ({size} bytes)", remedy) from error
    if size != whole:
        raise _broken(f"{file} has {size} bytes and should have {whole}", remedy)
    return list(tensors)


def check_complete(folder: Path, remedy: str = "") -> None:
    """CheckpointError unless the config and every weight file that index or file names announce are there."""
    read_json(folder / "config.json", remedy)
    present = {file.name for file in weight_files(folder)}
    announced = set(present)
    if (folder / INDEX).is_file():
        weight_map = read_json(folder / INDEX, remedy).get("weight_map")
        if not isinstance(weight_map, dict):
            raise _broken(f"{folder / INDEX} has no weight_map", remedy)
        announced |= {str(name) for name in weight_map.values()}
    for name in present:
        if shard := SHARD.fullmatch(name):
            announced |= {f"model-{i:05d}-of-{shard[2]}.safetensors" for i in range(1, int(shard[2]) + 1)}
    if missing := sorted(announced - present):
        some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        count = f"{len(missing)} of {len(announced)} weight files"
        raise _broken(f"{count} missing in {folder}: {some}", remedy)
    if not present:
        raise _broken(f"there are no weights (model*.safetensors) in {folder}", remedy)
