"""Which model this is: the revision of its files, and how its weights are quantised. Both are recorded beside every number.

    >>> folder = assay.models.REGISTRY["llama_tiny"].path
    >>> revision(folder) == revision(folder), len(revision(folder))
    (True, 12)
    >>> model = nn.Sequential(nn.QuantizedLinear(64, 8, bits=6), nn.QuantizedLinear(64, 8, group_size=32, mode="mxfp4"))
    >>> stated(packings(model))
    {'quantised': {'4 bits, group 32, mxfp4': 'layers 1', '6 bits, group 64, affine': 'layers 0'}}

- The **revision** of a snapshot of the Hugging Face cache is its commit, and of a converted GGUF file the file's digest. Of
  any other folder, built-in models too, it is a digest of what decides numbers: config.json, the bytes of the weights, the
  tokenizer and the chat template. Two folders with one revision are the same model, wherever they lie.
- The **packing** of a matrix is the bits of a weight, how many weights share a scale (group), and the mode (affine, mxfp4,
  ...); None for a dense matrix. Checkpoints may have several (`mlx_lm.convert --quant-predicate mixed_3_6`).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mlx.nn as nn

from assay.errors import CheckpointError
from assay.models.files import hub_repo, read_json, weight_files
from assay.models.gguf.digest import digest

UNREAD = ("_name_or_path", "transformers_version")
"""Entries of config.json that say where a file comes from, and decide no number."""

BESIDE = (
    "generation_config.json", "hf_quant_config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
"""Files beside config.json and the weights that decide numbers, those that there are."""

BIG = 1 << 24
"""Bytes from which a file's digest is kept on disk (`assay.models.gguf.digest`) and not computed at every load."""


def revision(path: Path) -> str:
    """The commit of a snapshot (40 hex digits), or 12 hex digits. Raises CheckpointError for files that cannot be read."""
    if hub_repo(path):
        return path.name
    if made := converted(path):
        return made["sha256"][:12]
    config = {key: value for key, value in read_json(path / "config.json").items() if key not in UNREAD}
    total = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for file in (*weight_files(path), *(path / name for name in BESIDE)):
        if file.is_file():
            total.update(f"\n{file.name} {_digest(file)}".encode())
    return total.hexdigest()[:12]


def _digest(file: Path) -> str:
    try:
        if (size := file.stat().st_size) >= BIG:
            return digest((file,), progress=size > 1 << 30)
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error


def converted(path: Path) -> dict[str, Any] | None:
    """The entries of `gguf.json` for a folder that was converted from a GGUF file; else None. Raises CheckpointError."""
    if not (path / "gguf.json").is_file():
        return None
    about = read_json(path / "gguf.json")
    if not isinstance(about.get("sha256"), str) or not {"file", "quantised"} <= about.keys():
        raise CheckpointError(
            f"{path / 'gguf.json'} does not say of which GGUF file this is the conversion: convert it again"
        )
    return {key: about[key] for key in ("file", "sha256", "quantised")}


# --- quantisation -----------------------------------------------------------------------------------------


class Packing(NamedTuple):
    """How one matrix is quantised."""

    bits: int
    group: int
    mode: str

    def __str__(self) -> str:
        return f"{self.bits} bits, group {self.group}, {self.mode}"


Packings = Mapping[str, Packing | None]
"""The packing of each matrix by its path, "model.layers.0.mlp.up_proj"; None: dense."""

USUAL = (64, "affine")
"""Group and mode of most checkpoints: where all matrices have them, only the bits are recorded."""


def packings(model: nn.Module) -> dict[str, Packing | None]:
    """The packing of every linear layer and embedding of a model."""
    found: dict[str, Packing | None] = {}
    modules: list[tuple[str, Any]] = model.named_modules()
    for path, module in sorted(modules, key=lambda pair: pair[0]):
        if hasattr(module, "bits"):
            found[path] = Packing(module.bits, module.group_size, getattr(module, "mode", "affine"))
        elif isinstance(module, nn.Linear | nn.Embedding):
            found[path] = None
    return found


def stated(found: Packings) -> dict[str, Any]:
    """The packings as they are recorded: {"bits": 4} if all are affine with group 64, {"bits": None} if none is quantised.

    Else {"quantised": {packing: matrices}}; a kind of matrix without numbers has this packing in all layers.
    """
    kinds = set(found.values())
    one = next(iter(kinds)) if len(kinds) == 1 else None
    if kinds <= {None}:
        return {"bits": None}
    if one is not None and one[1:] == USUAL:
        return {"bits": one.bits}
    layers: dict[str, list[int]] = {}
    for kind, number in map(_split, found):
        layers.setdefault(kind, []).extend(number)
    return {
        "quantised": {str(packing or "dense"): _listed(found, packing, layers) for packing in sorted(kinds, key=str)}
    }


def _listed(found: Packings, packing: Packing | None, layers: Mapping[str, Sequence[int]]) -> str:
    """The matrices of one packing: "lm_head; mlp.down_proj 0-3,6; mlp.up_proj"."""
    own: dict[str, list[int]] = {}
    for path in (path for path, other in found.items() if other == packing):
        kind, number = _split(path)
        own.setdefault(kind, []).extend(number)
    names = [
        kind if sorted(own[kind]) == sorted(layers[kind]) else f"{kind} {_runs(own[kind])}" for kind in sorted(own)
    ]
    return "; ".join(names)


def _split(path: str) -> tuple[str, list[int]]:
    """("mlp.up_proj", [3]) for model.layers.3.mlp.up_proj; ("embed_tokens", []) for model.embed_tokens."""
    parts = path.removeprefix("model.").split(".")
    at = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    if at is None:
        return ".".join(parts), []
    return ".".join(parts[at + 1 :] or parts[:at]), [int(parts[at])]


def _runs(numbers: Sequence[int]) -> str:
    """0-3,6 for 0, 1, 2, 3, 6."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
