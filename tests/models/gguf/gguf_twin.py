"""Tiny models written twice: as a GGUF file, and as the plain checkpoint that holds the same numbers.

    twin = write_twin(folder, config, types=("Q4_K", "F16"))
    twin.gguf, twin.plain           # a file, and a folder that mlx-lm opens

Written from what llama.cpp's converter does (names, the turned rows of q and k, norms plus one), in the direction of that
converter: nothing here is shared with the code that is tested. The numbers of a quantised tensor are what `gguf` reads from
its blocks.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import mlx.core as mx
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from assay.models.random import write_random

ARCHITECTURES = {"gemma3_text": "gemma3", "mistral": "llama"}
"""Where llama.cpp has another name than the publisher."""

TENSORS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.qkv_proj": "attn_qkv",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
GEMMA_NORMS = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}

NUMBERS = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta",
    "attention.sliding_window": "sliding_window",
    "attention.sliding_window_pattern": "sliding_window_pattern",
    "attention.key_length": "head_dim",
    "attention.value_length": "head_dim",
}

SCALES = {
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ4_NL": (0,),
    "IQ4_XS": (0,),
    "IQ2_XXS": (0,),
    "IQ3_S": (0,),
    "TQ2_0": (64,),
}
"""Where the float16 scales of a block lie, in the types that `gguf` reads and cannot write."""


@dataclass(frozen=True)
class Twin:
    """Both forms of one model."""

    gguf: Path
    plain: Path
    metadata: dict[str, Any]
    tensors: dict[str, tuple[np.ndarray, str]]
    """As they are in the file: name -> bytes or numbers, type."""


def write_twin(
    folder: Path, config: dict[str, Any], types: Sequence[str] = ("F32",), *, more: dict[str, Any] | None = None
) -> Twin:
    """Matrices get the `types` in turn, vectors are float32. `more`: other keys, or None to leave one out."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = write_random(folder / "plain", config, bits=None)
    numbers: dict[str, Any] = dict(mx.load(str(plain / "model.safetensors")))
    tensors: dict[str, tuple[np.ndarray, str]] = {}
    truth: dict[str, mx.array] = {}
    matrices = 0
    for name in sorted(numbers, key=lambda each: ("norm" in each, each)):
        values = np.array(numbers[name])
        ours = _file_name(name, config)
        turn = _turn(name, config)
        if values.ndim == 1:
            plus = config["model_type"].startswith("gemma") and "norm" in name
            stored = (values + np.float32(plus))[slice(None) if turn is None else turn]
            tensors[ours] = (stored, "F32")
            truth[name] = mx.array(values if not plus else stored - np.float32(1))
            continue
        type = types[matrices % len(types)]
        matrices += 1
        data, meant = quantise(values if turn is None else values[turn], type, seed=matrices)
        back = meant if turn is None else np.empty_like(meant)
        if turn is not None:
            back[turn] = meant
        tensors[ours] = (data, type)
        truth[name] = mx.array(back).astype({"F16": mx.float16, "BF16": mx.bfloat16}.get(type, mx.float32))
    mx.save_safetensors(str(plain / "model.safetensors"), truth, metadata={"format": "mlx"})
    metadata = {**keys(config), **tokenizer_keys(plain), **(more or {})}
    metadata = {key: value for key, value in metadata.items() if value is not None}
    return Twin(write_gguf(folder / "tiny.gguf", metadata, tensors), plain, metadata, tensors)


def _file_name(name: str, config: dict[str, Any]) -> str:
    stem, _, leaf = name.rpartition(".")
    if stem in WHOLE:
        return f"{WHOLE[stem]}.{leaf}"
    _, _, layer, rest = stem.split(".", 3)
    table = TENSORS | (GEMMA_NORMS if config["model_type"].startswith("gemma") else {})
    return f"blk.{layer}.{table[rest]}.{leaf}"


def _turn(name: str, config: dict[str, Any]) -> np.ndarray | None:
    """For each row of q or k in a file of llama's, the row of the publisher's that it is: two halves, interleaved."""
    if ARCHITECTURES.get(config["model_type"], config["model_type"]) != "llama":
        return None
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}.get(name.split(".")[-2])
    if heads is None:
        return None
    width = config["head_dim"]
    rows = []
    for head in range(config[heads]):
        for pair in range(width // 2):
            rows += [head * width + pair, head * width + width // 2 + pair]
    return np.array(rows)


def quantise(values: np.ndarray, type: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of `values` in a type, and the numbers they stand for. Types of `SCALES` get random numbers instead."""
    kind = GGMLQuantizationType[type]
    if type in SCALES or type == "MXFP4":
        block, size = GGML_QUANT_SIZES[kind]
        data = np.random.default_rng(seed).integers(0, 256, (values.size // block, size), dtype=np.uint8)
        for place in SCALES.get(type, ()):
            data[:, place : place + 2] = np.array([0.002 if "K" in type else 0.005], "<f2").view(np.uint8)
        if type == "MXFP4":
            data[:, 0] = 122 + data[:, 0] % 3
        data = data.reshape(values.shape[0], -1)
    else:
        data = gguf.quants.quantize(values, kind)
    return data, np.array(gguf.quants.dequantize(data, kind), np.float32).reshape(values.shape)


def keys(config: dict[str, Any]) -> dict[str, Any]:
    """The metadata of a model with this config, but for its tokenizer."""
    architecture = ARCHITECTURES.get(config["model_type"], config["model_type"])
    result: dict[str, Any] = {"general.architecture": architecture, "general.name": f"tiny {config['model_type']}"}
    for ours, theirs in NUMBERS.items():
        if config.get(theirs) is not None:
            result[f"{architecture}.{ours}"] = config[theirs]
    return result


def tokenizer_keys(plain: Path) -> dict[str, Any]:
    """The metadata of the byte-level tokenizer in a checkpoint."""
    model = json.loads((plain / "tokenizer.json").read_text())
    settings = json.loads((plain / "tokenizer_config.json").read_text())
    vocabulary = sorted(model["model"]["vocab"], key=model["model"]["vocab"].get)
    special = {token["content"] for token in model["added_tokens"]}
    rule = "qwen2" if settings["tokenizer_class"] == "Qwen2Tokenizer" else "llama-bpe"
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["model"]["merges"]]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": rule,
        "tokenizer.ggml.tokens": vocabulary,
        "tokenizer.ggml.token_type": [3 if token in special else 1 for token in vocabulary],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": vocabulary.index(settings["bos_token"]) if settings["bos_token"] else None,
        "tokenizer.ggml.eos_token_id": vocabulary.index(settings["eos_token"]),
        "tokenizer.ggml.padding_token_id": vocabulary.index(settings["pad_token"]),
        "tokenizer.ggml.add_bos_token": settings["bos_token"] is not None,
        "tokenizer.chat_template": settings["chat_template"],
    }


def write_gguf(
    file: Path, metadata: dict[str, Any], tensors: dict[str, tuple[np.ndarray, str]], *, alignment: int = 32
) -> Path:
    """A GGUF file with these keys and tensors, written by the `gguf` package."""
    writer = gguf.GGUFWriter(file, metadata.get("general.architecture", "none"))
    for key, value in metadata.items():
        if key == "general.architecture":
            continue  # the writer has put it in
        _add(writer, key, value)
    if alignment != 32:
        writer.add_custom_alignment(alignment)
    for name, (data, type) in tensors.items():
        kind = GGMLQuantizationType[type]
        plain = type in ("F32", "F16")
        writer.add_tensor(name, np.ascontiguousarray(data), raw_dtype=None if plain else kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)
