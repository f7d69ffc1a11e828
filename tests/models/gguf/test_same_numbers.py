"""A converted GGUF file is the model that it was made of: same weights, same config, same logits, bit for bit."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from gguf_twin import Twin, write_gguf, write_twin
from mlx_lm.utils import _get_classes, load_model
from transformers import AutoConfig

from assay.errors import CheckpointError
from assay.models.gguf import checkpoint
from assay.models.load import load_checkpoint
from assay.models.registry import FAMILIES, ModelSpec

TOKENS = mx.array([[5, 300, 17, 44, 44, 2, 99, 250, 8, 9, 10, 11, 12, 13, 14, 60, 61, 62, 63, 5]])
"""Longer than every window of the tiny models."""
FAMILY_TYPES = ("Q8_0", "Q4_0", "F16", "Q5_1", "BF16", "Q4_1", "Q5_0", "F32")
WIDE_TYPES = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "IQ2_XXS", "IQ3_S", "TQ2_0", "MXFP4")
"""All but two have blocks of 256."""

# Keys that say nothing about the numbers, or that are the tokenizer's.
ELSEWHERE = {"architectures", "dtype", "torch_dtype", "transformers_version", "_name_or_path", "bos_token_id"}
ELSEWHERE |= {"eos_token_id", "pad_token_id", "chunk_size_feed_forward", "max_position_embeddings"}


pytestmark = pytest.mark.usefixtures("cache")


def logits(folder: Path) -> np.ndarray:
    return np.array(load_model(folder)[0](TOKENS).astype(mx.float32))


def assert_same(twin: Twin) -> dict[str, Any]:
    """Weights, what mlx-lm and transformers make of the config, and logits are equal. Returns our config."""
    folder = checkpoint(twin.gguf, progress=False)
    ours, theirs = (mx.load(str(each / "model.safetensors")) for each in (folder, twin.plain))
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (tensor.dtype, tensor.shape), name
        assert mx.array_equal(ours[name], tensor), name
    config, plain = (json.loads((each / "config.json").read_text()) for each in (folder, twin.plain))
    assert _get_classes(config)[1].from_dict(config) == _get_classes(plain)[1].from_dict(plain)
    assert published(folder) == published(twin.plain)
    np.testing.assert_array_equal(logits(folder), logits(twin.plain))
    return config


def published(folder: Path) -> dict[str, Any]:
    """What the publisher's code reads in config.json."""
    whole = AutoConfig.from_pretrained(folder).to_dict()
    return {key: value for key, value in whole.items() if key not in ELSEWHERE}


# What the tiny configs of the other tests have and a file cannot say, or say only with a tensor.
CHANGES: dict[str, dict[str, Any]] = {
    "llama": {"rope_scaling": None, "attention_bias": False, "mlp_bias": False},
    "gemma2": {"sliding_window": 8, "attn_logit_softcapping": 40.0, "final_logit_softcapping": 20.0},
    "phi3": {"sliding_window": 6, "partial_rotary_factor": 0.5},
    "mistral": {"sliding_window": None},
}
SAID: dict[str, dict[str, Any]] = {
    "gemma2": {"gemma2.attn_logit_softcapping": 40.0, "gemma2.final_logit_softcapping": 20.0},
    "phi3": {"phi3.rope.dimension_count": 8},
}


@pytest.fixture
def twin(config: Callable, tmp_path: Path) -> Callable[..., Twin]:
    """twin("llama", types, more, vocab_size=300): as `write_twin`, of a family's tiny config."""

    def make(family: str, types: Sequence[str] = ("F32",), more: dict[str, Any] | None = None, **changes: Any) -> Twin:
        return write_twin(
            tmp_path / "twin",
            config(family, **{**CHANGES.get(family, {}), **changes}),
            types,
            more={**SAID.get(family, {}), **(more or {})},
        )

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_family(family: str, twin: Callable[..., Twin], local: Callable[[Path], ModelSpec]):
    """Every family, in eight types at once, and it loads with all checks."""
    both = twin(family, FAMILY_TYPES)
    assert assert_same(both)["model_type"] == family
    loaded = load_checkpoint(local(checkpoint(both.gguf)))
    assert loaded.tokenizer.decode(loaded.tokenizer.encode("What is the largest city?")).endswith("largest city?")


@pytest.mark.parametrize("first", [0, 4, 8], ids=lambda first: WIDE_TYPES[first])
def test_wide_blocks(first: int, twin: Callable[..., Twin]):
    wide = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 1, "head_dim": 64, "vocab_size": 320}
    assert_same(twin("llama", WIDE_TYPES[first : first + 4], **wide))


@pytest.mark.parametrize(("family", "tied"), [("llama", False), ("mistral", True), ("qwen2", True), ("qwen3", False)])
def test_other_tie(family: str, tied: bool, twin: Callable[..., Twin]):
    assert assert_same(twin(family, tie_word_embeddings=tied))["tie_word_embeddings"] is tied


@pytest.mark.parametrize("biases", [("attention_bias",), ("mlp_bias",), ("attention_bias", "mlp_bias")])
def test_llama_biases(biases: tuple[str, ...], twin: Callable[..., Twin]):
    """Those of q and k are turned as the weights are."""
    config = assert_same(twin("llama", ("Q8_0",), **dict.fromkeys(biases, True)))
    assert {key for key in ("attention_bias", "mlp_bias") if config[key]} == set(biases)


# --- rotary embeddings ------------------------------------------------------------------------------------


def llama3_freqs(config: dict[str, Any]) -> np.ndarray:
    """rope_freqs.weight, as llama.cpp's converter computes it, frequency by frequency in float32."""
    rope, dims = config["rope_scaling"], config["head_dim"]
    low = rope["original_max_position_embeddings"] / rope["low_freq_factor"]
    high = rope["original_max_position_embeddings"] / rope["high_freq_factor"]
    result = []
    for freq in np.float32(1) / np.float32(config["rope_theta"]) ** (np.arange(0, dims, 2, dtype=np.float32) / dims):
        wavelength = np.float32(2 * math.pi) / freq
        smooth = rope["original_max_position_embeddings"] / wavelength - rope["low_freq_factor"]
        smooth /= rope["high_freq_factor"] - rope["low_freq_factor"]
        between = 1 / ((1 - smooth) / rope["factor"] + smooth)
        result.append(1 if wavelength < high else rope["factor"] if wavelength > low else between)
    return np.array(result, np.float32)


@pytest.mark.parametrize(
    ("factor", "original", "theta", "width"),
    [(8.0, 8192, 500000.0, 128), (32.0, 8192, 500000.0, 64), (8.0, 1024, 10000.0, 16), (4.0, 2048, 1e6, 32)],
)
def test_llama3_rope(factor: float, original: int, theta: float, width: int, twin: Callable[..., Twin]):
    """The four numbers come back from the tensor: those of Llama 3.1 and 3.2, and others."""
    rope = {"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    rope["original_max_position_embeddings"] = original
    both = twin("llama", head_dim=width, rope_theta=theta, rope_scaling=rope, num_hidden_layers=1)
    freqs = llama3_freqs({"rope_scaling": rope, "head_dim": width, "rope_theta": theta})
    write_gguf(both.gguf, both.metadata, both.tensors | {"rope_freqs.weight": (freqs, "F32")})
    assert assert_same(both)["rope_scaling"] == rope


def test_no_llama3_rope_in_a_tensor_of_ones(twin: Callable[..., Twin]):
    both = twin("llama", num_hidden_layers=1)
    write_gguf(both.gguf, both.metadata, both.tensors | {"rope_freqs.weight": (np.ones(8, np.float32), "F32")})
    assert assert_same(both)["rope_scaling"] is None


def test_other_freqs_are_refused(twin: Callable[..., Twin]):
    """One divisor off by a thousandth is no rope scaling of Llama 3's, and not a number to round away."""
    rope = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    both = twin("llama", num_hidden_layers=1)
    freqs = llama3_freqs({"rope_scaling": rope, "head_dim": 16, "rope_theta": 10000.0})
    freqs[0] *= np.float32(1.001)
    write_gguf(both.gguf, both.metadata, both.tensors | {"rope_freqs.weight": (freqs, "F32")})
    with pytest.raises(CheckpointError, match=r"rope_freqs\.weight is not what any of Llama 3's"):
        checkpoint(both.gguf)


@pytest.mark.parametrize(
    ("family", "rope", "said"),
    [
        ("llama", {"rope_type": "linear", "factor": 4.0}, {"type": "linear", "factor": 4.0}),
        ("llama", {"rope_type": "linear", "factor": 4.0}, {"factor": 4.0}),
        ("gemma3_text", {"rope_type": "linear", "factor": 8.0}, {"type": "linear", "factor": 8.0}),
        (
            "qwen2",
            {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024},
            {"type": "yarn", "factor": 4.0, "original_context_length": 1024},
        ),
        (
            "qwen3",
            {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 2048, "beta_fast": 16.0},
            {"type": "yarn", "factor": 2.0, "original_context_length": 2048, "yarn_beta_fast": 16.0},
        ),
    ],
)
def test_rope_keys(family: str, rope: dict[str, Any], said: dict[str, Any], twin: Callable[..., Twin]):
    architecture = "gemma3" if family == "gemma3_text" else family
    more = {f"{architecture}.rope.scaling.{key}": value for key, value in said.items()}
    assert assert_same(twin(family, more=more, rope_scaling=rope))["rope_scaling"] == rope


def test_phi3_longrope(twin: Callable[..., Twin]):
    long, short = np.linspace(1, 40, 8).astype(np.float32), np.linspace(1, 2, 8).astype(np.float32)
    scale = math.sqrt(1 + math.log(4) / math.log(1024))
    both = twin(
        "phi3",
        more={
            "phi3.rope.dimension_count": 16,
            "phi3.rope.scaling.original_context_length": 1024,
            "phi3.rope.scaling.attn_factor": scale,
        },
        partial_rotary_factor=1.0,
        original_max_position_embeddings=1024,
        rope_scaling={"type": "longrope", "long_factor": shortest(long), "short_factor": shortest(short)},
    )
    factors = {"rope_factors_long.weight": (long, "F32"), "rope_factors_short.weight": (short, "F32")}
    write_gguf(both.gguf, both.metadata, both.tensors | factors)
    assert assert_same(both)["rope_scaling"]["type"] == "longrope"

    both.metadata["phi3.rope.scaling.attn_factor"] = 1.0
    write_gguf(both.gguf, both.metadata, both.tensors | factors)
    with pytest.raises(CheckpointError, match=r"attn_factor is 1.0, and mlx-lm would use 1\.09"):
        checkpoint(both.gguf)


def shortest(values: np.ndarray) -> list[float]:
    return [float(str(value)) for value in values]


# --- windows ----------------------------------------------------------------------------------------------


def test_gemma3_defaults(twin: Callable[..., Twin]):
    """A file has neither the pattern nor the local base: every sixth layer is global, and the others have 10000."""
    said = {"gemma3.attention.sliding_window_pattern": None}
    config = assert_same(twin("gemma3_text", more=said, num_hidden_layers=6, sliding_window_pattern=6))
    assert (config["sliding_window_pattern"], config["rope_local_base_freq"]) == (6, 10000.0)


def test_gemma3_without_windows(twin: Callable[..., Twin]):
    both = twin("gemma3_text", sliding_window_pattern=1, more={"gemma3.attention.sliding_window": None})
    folder = checkpoint(both.gguf)
    np.testing.assert_array_equal(logits(folder), logits(both.plain))
    assert set(published(folder)["layer_types"]) == {"full_attention"}


@pytest.mark.parametrize(("family", "layers", "scalar"), [("gemma2", 46, 16), ("gemma3_text", 62, 16)])
def test_27b_scales_queries_by_another_width(family: str, layers: int, scalar: int, twin: Callable[..., Twin]):
    small = {"num_hidden_layers": layers, "hidden_size": 64, "intermediate_size": 32}
    period = {"sliding_window_pattern": 6} if family == "gemma3_text" else {}
    more = {"gemma3.attention.sliding_window_pattern": None, "gemma3.rope.freq_base_swa": 10000.0} if period else {}
    both = twin(family, more=more, query_pre_attn_scalar=scalar, **period, **small)
    assert assert_same(both)["query_pre_attn_scalar"] == scalar


@pytest.mark.parametrize(
    ("name", "window", "family"),
    [("Mistral 7B Instruct v0.3", None, "mistral"), ("Zephyr", 6, "mistral"), ("Vicuna 7B", None, "llama")],
)
def test_mistral_by_name_or_window(name: str, window: int | None, family: str, twin: Callable[..., Twin]):
    """llama.cpp writes Mistral as llama."""
    both = twin("mistral", more={"general.name": name, "llama.attention.sliding_window": window}, sliding_window=window)
    config = json.loads((checkpoint(both.gguf) / "config.json").read_text())
    assert (config["model_type"], config.get("sliding_window")) == (family, window)
    np.testing.assert_array_equal(logits(checkpoint(both.gguf)), logits(both.plain))
