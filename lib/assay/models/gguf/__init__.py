"""Reads GGUF files, and converts each of them once to an ordinary checkpoint folder in assay's cache.

    folder = checkpoint(Path("SmolLM2-135M-Instruct.Q4_1.gguf"))   # converts, or finds what was converted before
    find(sha256)                                                   # the same folder by the digest of the file, or None
    describe(Path("SmolLM2-135M-Instruct.Q4_1.gguf"))              # family, depth and size, from the header alone

- A **GGUF file** is llama.cpp's format: metadata (`llama.block_count`: 30, the tokenizer's tokens, ...), the names, shapes
  and types of the tensors, then their data. A large model is several **shards** (`-00001-of-00003.gguf`).
- A **quantised** tensor is stored in blocks of small integers with common scales (Q4_K, ...). It is converted to its exact
  values in float32; tensors in F16, BF16 and F32 keep their type. Nothing is rounded.
- A **converted checkpoint** is a folder as Hugging Face has it: config.json, model.safetensors, tokenizer.json,
  tokenizer_config.json. `gguf.json` beside them names the GGUF file.

An unknown tensor, number or rope scaling is an error, and never dropped. Nothing here imports
mlx; the package `gguf`, for the block formats, is imported when tensors are read.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.models.gguf.convert import Description, checkpoint, describe, find

__all__ = ["Description", "checkpoint", "describe", "find"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("assay.models.gguf.convert"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
