"""The outline of a conversion, from headers alone: the config, and for every tensor its new name, shape and type.

    outline = outline_of(read(Path("SmolLM2-135M-Instruct.Q4_1.gguf")))
    outline.config["model_type"], len(outline.copies), outline.nbytes

`outline_of` checks that every tensor of the file is used, and that every tensor of the model is in the file, in the right
shape. So a file with an outline can be converted, if its data can be read.
"""

from dataclasses import dataclass
from typing import Any

from assay.errors import CheckpointError, UnsupportedFamily, unknown
from assay.models.gguf.architectures import ARCHITECTURES, Architecture, Slot
from assay.models.gguf.config import Config, Sizes, config, read_sizes
from assay.models.gguf.keys import Keys
from assay.models.gguf.read import Header, Tensor
from assay.models.gguf.rope import FREQS, LONG, SHORT
from assay.models.gguf.weights import Copy, dequantised, plain_type

EMBEDDING, UNEMBEDDING, FINAL_NORM = "token_embd.weight", "output.weight", "output_norm.weight"
TORCH_TYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class Outline:
    """The converted checkpoint of one file, before anything is written."""

    architecture: str
    config: Config
    """config.json without the tokenizer's ids."""
    copies: tuple[Copy, ...]
    header: Header

    @property
    def nbytes(self) -> int:
        """Bytes of the weights, in the converted files and in memory."""
        return sum(copy.nbytes for copy in self.copies)

    @property
    def types(self) -> dict[str, int]:
        """How many tensors the file has of each ggml type."""
        found = [tensor.type for tensor in self.header.tensors.values()]
        return {type: found.count(type) for type in sorted(set(found))}


def outline_of(header: Header) -> Outline:
    """The outline of the checkpoint that a file becomes.

    Raises UnsupportedFamily for an architecture without an entry, CheckpointError for everything else that is wrong.
    """
    file, tensors = header.files[0], header.tensors
    name = _architecture(header)
    architecture, keys = ARCHITECTURES[name], Keys(header.metadata, file)
    embedding = _tensor(keys, tensors, EMBEDDING)
    sizes = read_sizes(keys, embedding.shape[0], most_layers=len(tensors))
    tied = UNEMBEDDING not in tensors
    if architecture.always_tied and not tied:
        raise keys.error(f"it has {UNEMBEDDING}, and a {name} unembeds with its embedding")
    values = {each: dequantised(tensors[each]) for each in _rope_tensors(architecture) if each in tensors}
    result = config(keys, sizes, values, tied=tied)

    slots = {EMBEDDING: Slot("model.embed_tokens.weight", "VE"), FINAL_NORM: Slot("model.norm.weight", "E")}
    if not tied:
        slots[UNEMBEDDING] = Slot("lm_head.weight", "VE")
    layer = dict(architecture.layer)
    for key, option in architecture.options:
        there = any(f"blk.0.{each}" in tensors for each in option)
        if result["model_type"] == architecture.model_type:  # Mistral has no such key
            result[key] = there
            layer |= option if there else {}
    for i in range(sizes.layers):
        slots |= {f"blk.{i}.{ours}": Slot(f"model.layers.{i}.{name}", shape) for ours, (name, shape) in layer.items()}

    if homeless := next((each for each in tensors if each not in slots and each not in values), None):
        raise keys.error(f"it has a tensor {homeless}, which a {name} of {sizes.layers} layers has no place for")
    copies = [_copy(keys, _tensor(keys, tensors, ours), slot, architecture, sizes) for ours, slot in slots.items()]
    _check_tokens(keys, header.metadata, sizes)
    result["torch_dtype"] = TORCH_TYPES[next(copy.type for copy in copies if copy.tensor is embedding)]
    return Outline(name, result, tuple(copies), header)


def _architecture(header: Header) -> str:
    """`general.architecture`, after the checks of the other general keys."""
    file, metadata = header.files[0], header.metadata
    name = metadata.get("general.architecture")
    if not isinstance(name, str) or len(name) > 64:
        raise CheckpointError(f"{file} does not say which architecture it has (general.architecture)")
    if name not in ARCHITECTURES:
        raise unknown(UnsupportedFamily, f"architecture in {file}", name, ARCHITECTURES)
    if (type := metadata.get("general.type", "model")) != "model":
        raise CheckpointError(f"{file} is not a model but of the type {type!r}: give the model's own file")
    if (version := metadata.get("general.quantization_version", 2)) != 2:
        raise CheckpointError(f"{file} has blocks of the quantisation version {version}; only version 2 can be read")
    return name


def _rope_tensors(architecture: Architecture) -> tuple[str, ...]:
    names = {"tensor": (FREQS,), "longrope": (LONG, SHORT)}
    return tuple(name for kind in architecture.scaling for name in names.get(kind, ()))


def _tensor(keys: Keys, tensors: dict[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise keys.error(f"the tensor {name} is missing, and a {keys.architecture} needs it. Get the file again")
    return tensors[name]


def _copy(keys: Keys, tensor: Tensor, slot: Slot, architecture: Architecture, sizes: Sizes) -> Copy:
    shape = tuple(sizes.length(letter) for letter in slot.shape)
    if tensor.shape != shape:
        raise keys.error(f"{tensor.name} has the shape {tensor.shape}, and by the header it should have {shape}")
    ours = tensor.name.split(".", 2)[-1]
    less_one = architecture.norm_plus_one and tensor.name.endswith("norm.weight")
    heads = {"Q": sizes.H, "K": sizes.K}[slot.shape[0]] if ours in architecture.turned else None
    return Copy(tensor, slot.name, "F32" if less_one else plain_type(tensor), heads, less_one)


def _check_tokens(keys: Keys, metadata: dict[str, Any], sizes: Sizes) -> None:
    tokens = metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, list) and len(tokens) > sizes.V:
        raise keys.error(f"its tokenizer has {len(tokens)} tokens and its embedding {sizes.V} rows")
