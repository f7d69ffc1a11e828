"""The files of a checkpoint folder: checks that none is missing, and reads and writes JSON.

    >>> folder = assay.models.REGISTRY["llama_tiny"].path
    >>> read_json(folder / "config.json")["num_hidden_layers"]
    8
    >>> [file.name for file in weight_files(folder)]
    ['model.safetensors']

Nothing here imports mlx. Every error is a CheckpointError that names the file and ends with the remedy.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.errors import CheckpointError

SHARD = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")
INDEX = "model.safetensors.index.json"


def broken(problem: str, remedy: str) -> CheckpointError:
    """The error for damaged files: what is wrong, and what to do."""
    return CheckpointError(f"{problem}. {remedy}" if remedy else problem)


def read_json(file: Path, remedy: str = "") -> dict:
    """The JSON object in `file`. Raises CheckpointError if the file is missing or holds anything else."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise broken(f"there is no {file.name} in {file.parent}", remedy) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise broken(f"{file} is not JSON ({error})", remedy) from error
    if not isinstance(value, dict):
        raise broken(f"{file} holds a {type(value).__name__}, not an object", remedy)
    return value


def write_json(file: Path, value: Mapping[str, Any]) -> None:
    """Writes an object as indented JSON, as Hugging Face's own files are. ValueError for infinities and NaN."""
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def weight_files(folder: Path) -> list[Path]:
    """The files from which mlx-lm reads weights, sorted by name, without broken links."""
    return sorted(file for file in folder.glob("model*.safetensors") if file.is_file())


def hub_repo(folder: Path) -> str | None:
    """The name of the repository whose snapshot `folder` is (`models--org--name/snapshots/<commit>`), or None."""
    base = folder.parent.parent.name
    is_snapshot = folder.parent.name == "snapshots" and base.startswith("models--")
    return base.rpartition("--")[2] if is_snapshot else None


def check_complete(folder: Path, remedy: str = "") -> None:
    """Raises CheckpointError unless config.json and every weight file named by the index or numbered exist."""
    read_json(folder / "config.json", remedy)
    present = {file.name for file in weight_files(folder)}
    announced = set(present)
    if (folder / INDEX).is_file():
        weight_map = read_json(folder / INDEX, remedy).get("weight_map")
        if not isinstance(weight_map, dict):
            raise broken(f"{folder / INDEX} has no weight_map", remedy)
        announced |= {str(name) for name in weight_map.values()}
    for name in present:
        if shard := SHARD.fullmatch(name):
            announced |= {f"model-{i:05d}-of-{shard[2]}.safetensors" for i in range(1, int(shard[2]) + 1)}
    if missing := sorted(announced - present):
        some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        count = f"{len(missing)} of {len(announced)} weight files"
        raise broken(f"{count} missing in {folder}: {some}", remedy)
    if not present:
        raise broken(f"there are no weights (model*.safetensors) in {folder}", remedy)
