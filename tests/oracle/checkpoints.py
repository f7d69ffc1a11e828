"""Checkpoint folders: config.json, weights of `weights` under the publisher's names, and a tokenizer.

    write(folder, VARIANTS["phi3-window"], shapes)           # a folder that transformers and assay.load both open
    write(folder, config, shapes, {"lm_head.weight": None})  # without one tensor

The names and shapes of the tensors are transformers' own (`publisher.shapes`, committed for the references).
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from families import VOCAB, Config
from safetensors.numpy import save_file
from weights import values

from assay.models.tokenizer import write_tokenizer

Shapes = Mapping[str, tuple[int, ...]]


@functools.cache
def tokenizer(family: str) -> tuple[dict[str, bytes], Config]:
    """The files of a family's tokenizer, and the ids of special tokens for config.json."""
    with TemporaryDirectory() as folder:
        ids = write_tokenizer(Path(folder), family, vocab_size=VOCAB)
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}, ids


def tensors(config: Config, shapes: Shapes) -> dict[str, np.ndarray]:
    """The weights of a config by their names in the file."""
    gemma = config["model_type"].startswith("gemma")
    return {name: values(name, tuple(shape), gemma) for name, shape in shapes.items()}


def write(folder: Path, config: Config, shapes: Shapes, changes: Mapping[str, np.ndarray | None] | None = None) -> Path:
    """Writes the checkpoint into `folder` and returns it. changes: tensors that are other ones, or None for those left out."""
    files, ids = tokenizer(config["model_type"])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "config.json").write_text(json.dumps({**config, **ids}, indent=2))
    weights: dict[str, np.ndarray | None] = {**tensors(config, shapes), **(changes or {})}
    kept = {name: tensor for name, tensor in weights.items() if tensor is not None}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
