"""Random weights of any shape, in memory or on disk, without ever holding the dense model.

    >>> config = {**assay.models.SHAPES["qwen3_06b"], "hidden_size": 64, "intermediate_size": 64, "vocab_size": 512}
    >>> model = random_model(config, layers=2)
    >>> model(mx.array([[1, 2, 3]])).shape
    (1, 3, 512)

`write_random` writes the same numbers as a checkpoint that `mlx_lm.load` opens, `hf_cache_layout` as a repository in the
Hugging Face cache. A quantised matrix is made of random words, and of scales that give its values the standard deviation
1 / sqrt(inputs), so that activations stay of the order of one. Norms and biases are random, so that leaving one out changes the
output. The numbers of a tensor depend only on the seed and the tensor's name: a model cut to two layers has the first two layers
of the whole model, on every machine.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.utils import _get_classes

from assay.errors import CheckpointError
from assay.models.files import INDEX, weight_files, write_json
from assay.models.shapes import Config, cut
from assay.models.tokenizer import write_tokenizer

SHARD_BYTES = 1 << 29
"""Size of a weight file, and so about the memory that writing a checkpoint takes."""


def random_model(
    config: Config, *, bits: int | None = 4, group_size: int = 64, seed: int = 0, layers: int | None = None
) -> nn.Module:
    """An mlx-lm model of this shape in memory; dense for `bits=None`. Peak memory is about its own size."""
    config = cut(config, layers)
    model = _blank(config)
    slots = _slots(model, config, bits, group_size)
    packed = {slot.module for slot in slots if slot.bits}
    if bits:  # lazy: the dense weights that are quantised here are never computed
        nn.quantize(model, group_size, bits, class_predicate=lambda name, _: name in packed)
    model.load_weights([tensor for slot in slots for tensor in _tensors(slot, seed)])
    model.eval()
    return model


def write_random(
    path: Path,
    config: Config,
    *,
    bits: int | None = 4,
    group_size: int = 64,
    seed: int = 0,
    layers: int | None = None,
    tokenizer: bool = True,
) -> Path:
    """Writes a checkpoint of this shape into `path`, file by file; returns `path`.

    The tokenizer is a small one in the family's style: ids from its size up to `vocab_size` have embeddings and no
    text. Raises CheckpointError when the folder already has weights: mlx-lm would read old and new together.
    """
    config = cut(config, layers)
    path.mkdir(parents=True, exist_ok=True)
    if weight_files(path):
        raise CheckpointError(f"{path} already holds weights: write into another folder")
    shards: list[list[Slot]] = [[]]
    for slot in _slots(_blank(config), config, bits, group_size):
        if shards[-1] and sum(s.nbytes for s in shards[-1]) + slot.nbytes > SHARD_BYTES:
            shards.append([])
        shards[-1].append(slot)
    where: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        whole = len(shards) == 1
        name = "model.safetensors" if whole else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        tensors = dict(tensor for slot in shard for tensor in _tensors(slot, seed))
        mx.save_safetensors(str(path / name), tensors, metadata={"format": "mlx"})
        where |= dict.fromkeys(tensors, name)
    total = sum(slot.nbytes for shard in shards for slot in shard)
    write_json(path / INDEX, {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))})
    if bits:
        quantization = {"group_size": group_size, "bits": bits, "mode": "affine"}
        config = {**config, "quantization": quantization, "quantization_config": quantization}
    if tokenizer:
        size = min(512, config["vocab_size"])
        config = {**config, **write_tokenizer(path, config["model_type"], vocab_size=size)}
    write_json(path / "config.json", config)
    return path


def hf_cache_layout(cache_dir: Path, repo: str, config: Config, **options: Any) -> Path:
    """Writes a random checkpoint as repository `repo` of the Hugging Face cache `cache_dir`; returns the snapshot's folder.

    `options` are those of `write_random`.
    """
    folder = cache_dir / f"models--{repo.replace('/', '--')}"
    commit = hashlib.sha1(json.dumps([repo, config, options], sort_keys=True).encode()).hexdigest()
    snapshot = write_random(folder / "snapshots" / commit, config, **options)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    return snapshot


# --- what to make -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slot:
    """One parameter of the dense model, and how it is to be stored."""

    name: str
    """Name in the safetensors file: model.layers.0.self_attn.q_proj.weight"""
    shape: tuple[int, ...]
    """Shape of the dense parameter."""
    dtype: mx.Dtype
    """Type of a dense parameter, or of scales and biases."""
    center: float
    """Mean of a vector's values."""
    bits: int | None
    """None: stored dense."""
    group_size: int

    @property
    def module(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def nbytes(self) -> int:
        size = math.prod(self.shape)
        if self.bits is None:
            return size * self.dtype.size
        return size * self.bits // 8 + 2 * size // self.group_size * self.dtype.size


def _blank(config: Config) -> nn.Module:
    """The model of mlx-lm with weights that are never computed: only their shapes are used."""
    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(config))
    if config["model_type"] == "gemma3_text":
        model.sanitize({})  # where a family ties the unembedding to the embedding
    return model


def _slots(model: nn.Module, config: Config, bits: int | None, group_size: int) -> list[Slot]:
    """Every parameter, in the model's own order; matrices are packed where their width allows, as mlx-lm does."""
    modules: dict[str, Any] = dict(model.named_modules()) if bits else {}
    packable = {
        name
        for name, module in modules.items()
        if hasattr(module, "to_quantized") and module.weight.shape[-1] % group_size == 0
    }
    if bits and not packable:
        raise CheckpointError(f"no matrix of this {config['model_type']} has a width divisible by {group_size}")
    dtype = getattr(mx, config.get("torch_dtype") or "float32")
    gemma = config["model_type"].startswith("gemma")  # whose norms multiply by 1 + weight
    slots = []
    parameters: Any = tree_flatten(model.parameters())
    for name, parameter in parameters:
        module, _, leaf = name.rpartition(".")
        packed = leaf == "weight" and module in packable
        center = 1.0 if leaf == "weight" and not gemma else 0.0
        slots.append(Slot(name, parameter.shape, dtype, center, bits if packed else None, group_size))
    return slots


# --- the numbers ------------------------------------------------------------------------------------------


def _tensors(slot: Slot, seed: int) -> Iterator[tuple[str, mx.array]]:
    """The arrays that store one parameter, as (name, array)."""
    if len(slot.shape) == 1:
        values = slot.center + 0.1 * _uniform(seed, slot.name, slot.shape)
        yield slot.name, mx.array(values).astype(slot.dtype)
        return
    rows, columns = slot.shape
    std = 1 / math.sqrt(columns)
    if slot.bits is None:
        values = _uniform(seed, slot.name, slot.shape)
        values *= std * math.sqrt(3)
        yield slot.name, mx.array(values).astype(slot.dtype)
        return
    levels = 2**slot.bits
    yield slot.name, mx.array(_words(seed, slot.name, (rows, columns * slot.bits // 32)))
    # A group's values are scale * (0 ... levels - 1) + bias, centred; the scales differ between groups.
    spread = 1 + 0.25 * _uniform(seed, f"{slot.module}.scales", (rows, columns // slot.group_size))
    scales = mx.array(spread * (std * math.sqrt(12 / (levels**2 - 1)))).astype(slot.dtype)
    yield f"{slot.module}.scales", scales
    yield f"{slot.module}.biases", (scales * (-(levels - 1) / 2)).astype(slot.dtype)


def _words(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform 32-bit words. The raw stream of PCG64 is the one that numpy promises never to change."""
    key = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:16], "little")
    count = math.prod(shape)
    raw = np.random.PCG64(key).random_raw((count + 1) // 2)
    return raw.view(np.uint32)[:count].reshape(shape)


def _uniform(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform float32 values in [-1, 1]."""
    values = _words(seed, name, shape).astype(np.float32)
    values /= 2**31
    values -= 1
    return values
