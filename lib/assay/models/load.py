"""Loads a checkpoint from disk with mlx-lm, after checks that mlx-lm does not make.

    >>> [spec] = assay.models.resolve(["llama_tiny"])
    >>> checkpoint = load_checkpoint(spec)
    >>> tokens = checkpoint.tokenizer.encode("Hello")     # mlx-lm's TokenizerWrapper
    >>> logits = checkpoint.model(mx.array([tokens]))     # mlx-lm's model, unmodified
    >>> len(checkpoint.revision)                          # which weights: recorded beside every measured number
    12

Files that are missing, damaged or inconsistent end in one sentence of a CheckpointError or UnsupportedFamily that names
the file and says what to do. Nothing is downloaded: the folder comes from `assay.models.registry.locate`.
"""

import hashlib
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.nn as nn
from jinja2 import TemplateError
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.utils import _get_classes, load_model, load_tokenizer
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from assay.errors import CheckpointError, UnsupportedFamily, unknown
from assay.models.files import INDEX, broken, hub_repo, read_json, weight_files
from assay.models.registry import FAMILIES, ModelSpec, locate, remedy
from assay.models.rope import check_rope

log = logging.getLogger(__name__)

# What mlx-lm raises when config.json has a key too few or a value of another type, or weights have another shape.
MALFORMED = (AssertionError, AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError)

AS_IT_IS = "PreTrainedTokenizerFast"
"""The class of tokenizers that transformers takes from tokenizer.json without building them again."""

PROBE = "The tower in Zürich (1492) isn't  tall:\n\t東京 Ω!"
"""Text that shows a difference between two tokenizers: cases, digits, spaces, accents, other scripts."""


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model with its tokenizer, config and identity."""

    model: nn.Module
    """mlx-lm's model, weights in memory, in evaluation mode."""
    tokenizer: TokenizerWrapper
    config: dict[str, Any]
    """config.json as it was read."""
    path: Path
    revision: str
    """Commit of the Hugging Face snapshot, or 12 hex digits computed from the files."""
    bits: int | None
    """Bits per quantised weight; None for a dense model."""
    converted: dict[str, Any] | None = None
    """Of a converted GGUF: its file, sha256, and how many tensors it has of each type."""

    @property
    def made_of(self) -> dict[str, Any]:
        """The identity recorded beside every number: the revision, and the bits or the converted GGUF file."""
        return {"revision": self.revision, **(self.converted or {"bits": self.bits})}


def load_checkpoint(spec: ModelSpec) -> Checkpoint:
    """Loads `spec` from disk.

    Raises ModelNotCached, UnsupportedFamily (no adapter for this `model_type`) and CheckpointError (files
    missing, damaged, inconsistent, or such that mlx-lm would silently read them wrongly).
    """
    path, cure = locate(spec), remedy(spec)
    config = read_json(path / "config.json", cure)
    args = check_config(spec, config, cure)
    check_weights(path, cure)
    model, merged = _load_model(path, cure)
    # Without this file transformers gives some families an empty tokenizer, which encodes any text to nothing.
    settings = read_json(path / "tokenizer_config.json", cure)
    tokenizer = _load_tokenizer(path, settings, merged.get("eos_token_id"), cure)
    check_tokenizer(path, settings, tokenizer, args.vocab_size, cure)
    return Checkpoint(model, tokenizer, config, path, revision(spec, path), _bits(merged), _converted(path))


def revision(spec: ModelSpec, path: Path) -> str:
    """The identity of the weights: the snapshot's commit, or the digest of a converted GGUF file.

    For other folders a digest of config, index and weight files: of a built-in model the weights' bytes, else names and sizes.
    """
    if hub_repo(path):
        return path.name
    if converted := _converted(path):
        return converted["sha256"][:12]
    digest = hashlib.sha256((path / "config.json").read_bytes())
    for file in weight_files(path):
        digest.update(file.read_bytes() if spec.builtin else f"{file.name} {file.stat().st_size}".encode())
    if (path / INDEX).is_file():
        digest.update((path / INDEX).read_bytes())
    return digest.hexdigest()[:12]


def _converted(path: Path) -> dict[str, Any] | None:
    """The entries of `gguf.json` for a folder that was converted from a GGUF file; else None."""
    if not (path / "gguf.json").is_file():
        return None
    about = read_json(path / "gguf.json")
    return {key: about[key] for key in ("file", "sha256", "quantised")}


# --- checks before anything is loaded ---------------------------------------------------------------------


def check_config(spec: ModelSpec, config: dict, cure: str) -> Any:
    """Checks the family (it is the registered one and has an adapter) and the config; returns mlx-lm's ModelArgs."""
    family = config.get("model_type")
    if not isinstance(family, str):
        raise CheckpointError(f"config.json of {spec.source} has no model_type. {cure}")
    if family not in FAMILIES:
        raise unknown(UnsupportedFamily, f"family (model_type of {spec.source})", family, FAMILIES)
    if spec.family not in (None, family):
        raise CheckpointError(f"{spec.id} should be a {spec.family}, and its config.json says {family}. {cure}")
    if spec.layers not in (None, config.get("num_hidden_layers")):
        log.warning("%s has %s layers here, not %s", spec.id, config.get("num_hidden_layers"), spec.layers)
    try:
        args = _get_classes(config)[1].from_dict(config)
    except MALFORMED as error:
        raise CheckpointError(f"config.json of {spec.source} does not describe a {family}: {error}") from error
    check_rope(config, args)
    return args


def check_weights(path: Path, cure: str) -> None:
    """Checks that every weight file is complete, and that no tensor is in two files: mlx-lm would keep the last."""
    names = {file: tensor_names(file, cure) for file in weight_files(path)}
    count = Counter(name for of_file in names.values() for name in of_file)
    if twice := next((name for name, n in count.items() if n > 1), None):
        files = ", ".join(file.name for file, of_file in names.items() if twice in of_file)
        raise CheckpointError(f"{path}: {twice} is in more than one file ({files}). Remove those left over")


def tensor_names(file: Path, cure: str) -> list[str]:
    """The names of the tensors in a safetensors file. Raises CheckpointError if the file is damaged or truncated."""
    try:
        with safe_open(file, framework="numpy") as weights:
            return list(weights.keys())
    except (OSError, SafetensorError) as error:
        size = file.stat().st_size
        raise broken(f"{file} ({size} bytes) is not a whole safetensors file: {error}", cure) from error


# --- loading ----------------------------------------------------------------------------------------------


def _load_model(path: Path, cure: str) -> tuple[nn.Module, dict]:
    """The model, and the config as mlx-lm completed it: quantisation, and the ids that end a generation."""
    try:
        model, merged = load_model(path)
    except RuntimeError as error:  # from mlx itself: unreadable tensors
        raise CheckpointError(f"mlx cannot read the weights in {path}: {_brief(error)}. {cure}") from error
    except MALFORMED as error:
        raise CheckpointError(f"the weights in {path} do not fit its config.json: {_brief(error)}. {cure}") from error
    # mlx-lm infers the width of every tensor from its shape, whatever config.json says.
    found = {module.bits for module in model.modules() if hasattr(module, "bits")}
    if (stated := _bits(merged)) not in (found or {None}):
        raise CheckpointError(
            f"config.json in {path} says {stated or 'no'} bits and the weights have {found or 'none'}. {cure}"
        )
    return model, merged


def _bits(config: dict) -> int | None:
    return (config.get("quantization") or {}).get("bits")


def _brief(error: Exception) -> str:
    """First line of a message of mlx, with three of the names that follow it."""
    head, _, rest = str(error).strip().partition("\n")
    names = [name.strip(" .,") for name in rest.split("\n") if name.strip(" .,")]
    return " ".join([head.strip(" .,"), ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")]).strip()


def _load_tokenizer(path: Path, settings: dict, eos: int | list[int] | None, cure: str) -> TokenizerWrapper:
    whole = path / "tokenizer.json"
    if not whole.is_file() and not (path / "tokenizer.model").is_file() and not (path / "vocab.json").is_file():
        raise CheckpointError(f"there is no tokenizer.json in {path}. {cure}")
    try:
        tokenizer = _open_tokenizer(path, settings, eos)
    except Exception as error:  # the Rust tokenizers raise plain Exception
        if type(error) is not Exception and not isinstance(error, (ImportError, OSError, *MALFORMED)):
            raise
        if whole.is_file() and not {"type", "vocab"} <= (read_json(whole, cure).get("model") or {}).keys():
            raise CheckpointError(f"{whole} does not describe a tokenizer. {cure}") from error
        raise CheckpointError(f"the tokenizer in {path} cannot be read: {_brief(error)}. {cure}") from error
    if tokenizer.has_chat_template:
        try:
            tokenizer.apply_chat_template([{"role": "user", "content": PROBE}], add_generation_prompt=True)
        except TemplateError as error:
            raise CheckpointError(f"the chat template in {path} is broken: {error}. {cure}") from error
    return tokenizer


def _open_tokenizer(path: Path, settings: dict, eos: int | list[int] | None) -> TokenizerWrapper:
    """The tokenizer, as mlx-lm opens it; without its streaming detokenizer and chat template where neither is needed.

    For those, mlx-lm reads tokenizer.json twice more, which takes seconds for a vocabulary of 262,144.
    """
    if settings.get("tokenizer_class") != AS_IT_IS or "chat_template_type" in settings:
        return load_tokenizer(path, eos_token_ids=eos)
    ids = [eos] if isinstance(eos, int) else eos
    return TokenizerWrapper(PreTrainedTokenizerFast.from_pretrained(path), eos_token_ids=ids)


def check_tokenizer(path: Path, settings: dict, tokenizer: TokenizerWrapper, rows: int, cure: str) -> None:
    """Raises CheckpointError unless the tokenizer fits the weights; warns if it differs from the folder's tokenizer.json.

    settings: the content of tokenizer_config.json; rows: the number of rows of the embedding.
    """
    # mlx reads beyond the end of the embedding without complaint. Tokens added later (images) may lie there.
    if tokenizer.vocab_size > rows:
        raise CheckpointError(
            f"the tokenizer in {path} has {tokenizer.vocab_size} tokens, the model {rows} embeddings. {cure}"
        )
    ids = tokenizer.encode(PROBE, add_special_tokens=False)
    if not ids:
        raise CheckpointError(f"the tokenizer in {path} encodes text to nothing. {cure}")
    # transformers rebuilds the tokenizer of some families from its vocabulary, with splitting rules of its own.
    if settings.get("tokenizer_class") != AS_IT_IS and (path / "tokenizer.json").is_file():
        plain = Tokenizer.from_file(str(path / "tokenizer.json")).encode(PROBE, add_special_tokens=False).ids
        if ids != plain:
            log.warning("transformers splits text otherwise than tokenizer.json in %s: %s, %s", path, ids, plain)
