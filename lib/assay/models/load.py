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

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from jinja2 import TemplateError
from mlx.utils import tree_flatten
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.utils import _get_classes, load_model, load_tokenizer
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from assay.errors import CheckpointError, UnsupportedFamily, brief, of_tokenizers, unknown
from assay.models import chat
from assay.models.config import MALFORMED, Published, published
from assay.models.files import broken, read_json, weight_files
from assay.models.identity import Packings, converted, packings, revision, stated
from assay.models.registry import FAMILIES, ModelSpec, locate, remedy

log = logging.getLogger(__name__)

PRECOMPUTED = "rotary_emb.inv_freq"
"""Old checkpoints have frequencies among their weights; config.json has them too."""

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
    published: Published
    """What the publisher's model of this config computes."""
    revision: str
    """Commit of the Hugging Face snapshot, or 12 hex digits computed from the files."""
    packings: Packings
    """How each matrix is quantised."""
    converted: dict[str, Any] | None = None
    """Of a converted GGUF: its file, sha256, and how many tensors it has of each type."""

    @property
    def made_of(self) -> dict[str, Any]:
        """Recorded beside every number: the revision, the quantisation or the converted GGUF file, the date of a chat, and
        the keys of config.json that were ignored."""
        ignored = {"ignored_keys": ", ".join(self.published.ignored)} if self.published.ignored else {}
        made_of = self.converted or stated(self.packings)
        return {"revision": self.revision, **made_of, **chat.dated(self.tokenizer), **ignored}


def load_checkpoint(spec: ModelSpec, unknown_keys: str = "refuse") -> Checkpoint:
    """Loads `spec` from disk. unknown_keys: as in `assay.models.config.published`.

    Raises ModelNotCached, UnsupportedFamily (no adapter for this `model_type`) and CheckpointError (files
    missing, damaged, inconsistent, or such that mlx-lm would silently read them wrongly).
    """
    path, cure = locate(spec), remedy(spec)
    config = read_json(path / "config.json", cure)
    meant = check_config(spec, config, cure, unknown_keys)
    tensors = check_weights(path, cure)
    meant = unembedding(path, meant, tensors)
    model, merged = _load_model(path, meant, cure)
    check_tensors(path, model, tensors, meant)
    # Without this file transformers gives some families an empty tokenizer, which encodes any text to nothing.
    settings = read_json(path / "tokenizer_config.json", cure)
    with reading_tokenizer(path, cure):
        tokenizer = _load_tokenizer(path, settings, merged.get("eos_token_id"), cure)
        check_tokenizer(path, settings, tokenizer, meant.for_mlx_lm["vocab_size"], cure)
    return Checkpoint(model, tokenizer, config, path, meant, revision(path), packings(model), converted(path))


# --- checks before anything is loaded ---------------------------------------------------------------------


def check_config(spec: ModelSpec, config: dict, cure: str, unknown_keys: str) -> Published:
    """Checks the family (it is the registered one and has an adapter) and the config; returns what the model computes."""
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
        meant = published(config, unknown_keys)
        _get_classes(config)[1].from_dict({**config, **meant.for_mlx_lm})
    except CheckpointError as error:
        raise CheckpointError(f"{spec.source}: {error}") from error
    except MALFORMED as error:
        raise CheckpointError(f"config.json of {spec.source} does not describe a {family}: {_brief(error)}") from error
    return meant


def check_weights(path: Path, cure: str) -> dict[str, Path]:
    """The file of every tensor.

    Checks that every weight file is complete, and that no tensor is in two files: mlx-lm would keep the last.
    """
    names = {file: tensor_names(file, cure) for file in weight_files(path)}
    count = Counter(name for of_file in names.values() for name in of_file)
    if twice := next((name for name, n in count.items() if n > 1), None):
        files = ", ".join(file.name for file, of_file in names.items() if twice in of_file)
        raise CheckpointError(f"{path}: {twice} is in more than one file ({files}). Remove those left over")
    return {name: file for file, of_file in names.items() for name in of_file}


def tensor_names(file: Path, cure: str) -> list[str]:
    """The names of the tensors in a safetensors file. Raises CheckpointError if the file is damaged or truncated."""
    try:
        with safe_open(file, framework="numpy") as weights:
            return list(weights.keys())
    except (OSError, SafetensorError) as error:
        size = file.stat().st_size
        raise broken(f"{file} ({size} bytes) is not a whole safetensors file: {error}", cure) from error


def unembedding(path: Path, meant: Published, tensors: dict[str, Path]) -> Published:
    """`meant` with a tie as transformers makes it: only where the files hold no unembedding, or a copy of the embedding.

    Raises CheckpointError for an unembedding that is not tied and not in the files.
    """
    own = sorted(name for name in tensors if name.startswith("lm_head."))
    if meant.tied and any(_differs(tensors, name, name.replace("lm_head.", "model.embed_tokens.")) for name in own):
        return replace(meant, tied=False, for_mlx_lm={**meant.for_mlx_lm, "tie_word_embeddings": False})
    if not meant.tied and not own:
        raise CheckpointError(
            f"{path} has no lm_head.weight, and its config.json does not tie the unembedding to the embedding"
            " (tie_word_embeddings, which is false for this family where it is absent)"
        )
    return meant


def _differs(tensors: dict[str, Path], name: str, twin: str) -> bool:
    if twin not in tensors:
        return True
    a, b = (mx.load(str(tensors[each]))[each] for each in (name, twin))  # type: ignore[index]
    return a.shape != b.shape or not mx.array_equal(a, b)


def check_tensors(path: Path, model: nn.Module, tensors: dict[str, Path], meant: Published) -> None:
    """Raises CheckpointError for a tensor that the model does not use. mlx-lm itself refuses tensors that are missing."""
    parameters: Any = tree_flatten(model.parameters())
    used = {name for name, _ in parameters}
    spare = [name for name in tensors if name not in used and not name.endswith(PRECOMPUTED)]
    if unused := sorted(name for name in spare if not (meant.tied and name.startswith("lm_head."))):
        raise CheckpointError(
            f"{path}: mlx-lm's {meant.family} does not use {len(unused)} tensors of the files ({', '.join(unused[:3])}):"
            " it would not be the published model"
        )


# --- loading ----------------------------------------------------------------------------------------------


def _load_model(path: Path, meant: Published, cure: str) -> tuple[nn.Module, dict]:
    """The model, and the config as mlx-lm completed it: quantisation, and the ids that end a generation."""
    classes: Any = _without_unembedding if meant.tied else _get_classes
    try:
        model, merged = load_model(path, model_config=meant.for_mlx_lm, get_model_classes=classes)
        vars(model).pop("sanitize", None)  # that of `_without_unembedding`
    except RuntimeError as error:  # from mlx itself: unreadable tensors
        raise CheckpointError(f"mlx cannot read the weights in {path}: {_brief(error)}. {cure}") from error
    except MALFORMED as error:
        raise CheckpointError(f"the weights in {path} do not fit its config.json: {_brief(error)}. {cure}") from error
    # mlx-lm takes the packing of a matrix from config.json if it is named there, else from the shape of its tensors.
    announced, found = merged.get("quantization") or {}, packings(model)
    bits = {packing.bits for packing in found.values() if packing}
    if not any(path in announced for path in found) and announced.get("bits") not in (bits or {None}):
        raise CheckpointError(
            f"config.json in {path} says {announced.get('bits') or 'no'} bits and the weights have {bits or 'none'}. {cure}"
        )
    return model, merged


def _without_unembedding(config: dict) -> tuple[Any, type]:
    """mlx-lm's classes for a tied model: a copy of the embedding among the weights is left out, in every family."""
    made, args_class = _get_classes(config)

    def tied(args: Any) -> nn.Module:
        model = made(args)
        clean = getattr(model, "sanitize", lambda weights: weights)
        model.sanitize = lambda weights: clean({k: v for k, v in weights.items() if not k.startswith("lm_head.")})
        return model

    return tied, args_class


def _brief(error: Exception) -> str:
    """First line of a message of mlx, with three of the names that follow it."""
    head, _, rest = str(error).strip().partition("\n")
    names = [name.strip(" .,") for name in rest.split("\n") if name.strip(" .,")]
    return " ".join([head.strip(" .,"), ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")]).strip()


@contextmanager
def reading_tokenizer(path: Path, cure: str) -> Iterator[None]:
    """Turns what transformers and tokenizers raise for a folder's tokenizer into CheckpointError."""
    try:
        yield
    except BaseException as error:
        if not of_tokenizers(error) and not isinstance(error, (ImportError, OSError, *MALFORMED)):
            raise
        whole = path / "tokenizer.json"
        about = read_json(whole, cure).get("model") if whole.is_file() else {"type": "", "vocab": {}}
        if not isinstance(about, dict) or not {"type", "vocab"} <= about.keys():
            raise CheckpointError(f"{whole} does not describe a tokenizer. {cure}") from error
        raise CheckpointError(f"the tokenizer in {path} cannot be read: {brief(error)}. {cure}") from error


def _load_tokenizer(path: Path, settings: dict, eos: int | list[int] | None, cure: str) -> TokenizerWrapper:
    whole = path / "tokenizer.json"
    if not whole.is_file() and not (path / "tokenizer.model").is_file() and not (path / "vocab.json").is_file():
        raise CheckpointError(f"there is no tokenizer.json in {path}. {cure}")
    tokenizer = _open_tokenizer(path, settings, eos)
    if tokenizer.has_chat_template:
        try:
            tokenizer.apply_chat_template([{"role": "user", "content": PROBE}], add_generation_prompt=True)
        except (TemplateError, *MALFORMED) as error:
            raise CheckpointError(f"the chat template in {path} is broken: {brief(error)}. {cure}") from error
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
