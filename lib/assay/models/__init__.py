"""Models: their names, their folders on disk, loading them, and random weights of any shape.

    >>> [spec.id for spec in resolve(["tiny", "qwen7b"])]
    ['gemma_tiny', 'llama_tiny', 'qwen_tiny', 'qwen7b']

- A **spec** (`ModelSpec`) is a name for one set of weights: short id, Hugging Face repository or folder, family, depth.
  `resolve` turns names into specs; an unknown name is an error that lists the known ones.
- A **checkpoint** is a folder with config.json, weights and tokenizer; `locate` finds the folder of a spec, offline.
  A loaded one (`Checkpoint`) holds mlx-lm's own model and its revision.
- A **built-in** is one of four small models that come with the package (three of them are `--model tiny`). They are
  testbeds with mechanisms planted in known places: they validate methods, and say nothing about large language models.

Names that need MLX are imported on first use, so that the pytest plugin starts without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from assay.models.registry import FAMILIES, REGISTRY, ModelSpec, is_cached, locate, resolve

if TYPE_CHECKING:
    from assay.models.load import Checkpoint, load_checkpoint
    from assay.models.random import hf_cache_layout, random_model, write_random
    from assay.models.shapes import SHAPES

_HOME = {
    "Checkpoint": "load",
    "load_checkpoint": "load",
    "hf_cache_layout": "random",
    "random_model": "random",
    "write_random": "random",
    "SHAPES": "shapes",
}

__all__ = [
    "FAMILIES",
    "REGISTRY",
    "SHAPES",
    "Checkpoint",
    "ModelSpec",
    "hf_cache_layout",
    "is_cached",
    "load_checkpoint",
    "locate",
    "random_model",
    "resolve",
    "write_random",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
