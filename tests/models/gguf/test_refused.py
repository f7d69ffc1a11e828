"""What a file says and cannot be honoured is one sentence of an error, and nothing is left in the cache."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_twin import Twin, write_gguf, write_twin

from assay.errors import AssayError, CheckpointError, UnsupportedFamily
from assay.models.gguf import checkpoint, describe

Change = Callable[[Twin], None]


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def twin(config: Callable[..., dict[str, Any]], tmp_path: Path) -> Twin:
    return write_twin(tmp_path / "twin", config("llama", rope_scaling=None, num_hidden_layers=2, vocab_size=320))


def refused(twin: Twin, file: Path | None = None) -> str:
    """The message with which a model is refused, by conversion and by description alike."""
    file = file or write_gguf(twin.gguf, twin.metadata, twin.tensors)
    with pytest.raises(CheckpointError) as error:
        checkpoint(file, progress=False)
    with pytest.raises(CheckpointError) as same:
        describe(file)
    assert str(same.value) == str(error.value)
    assert "\n" not in str(error.value)
    assert str(file) in str(error.value)
    return str(error.value)


def test_nothing_is_left(twin: Twin, cache: Path):
    twin.metadata["tokenizer.ggml.pre"] = "a rule of nobody's"
    with pytest.raises(CheckpointError, match="a rule of nobody's"):
        checkpoint(write_gguf(twin.gguf, twin.metadata, twin.tensors), progress=False)
    assert [path.name for path in (cache / "checkpoints").iterdir()] == [".locks"]


# --- keys -------------------------------------------------------------------------------------------------

KEYS: dict[str, tuple[str, Any, str]] = {
    "experts": ("expert_count", 8, "llama.expert_count is 8, which this package cannot honour"),
    "logit scale": ("logit_scale", 0.5, "llama.logit_scale is 0.5, which this package cannot honour"),
    "attention scale": ("attention.scale", 0.25, "llama.attention.scale is 0.25, which"),
    "not causal": ("attention.causal", False, "llama.attention.causal is False, which"),
    "a new one": ("attention.sparkle", 3, r"llama.attention.sparkle (3) is not known to this package"),
    "softcap": ("final_logit_softcapping", 30.0, "llama.final_logit_softcapping is 30.0, which"),
    "rope type": ("rope.scaling.type", "dynamic", "its rope scaling is 'dynamic', and for llama only"),
    "yarn's temperature": ("rope.scaling.attn_factor", 1.2, "llama.rope.scaling.attn_factor is 1.2, which"),
    "yarn's other temperature": ("rope.scaling.yarn_attn_factor", 1.0, "yarn_attn_factor (1.0) is not known"),
    "partial rotation": ("rope.dimension_count", 8, "8 of 16 dimensions of a head rotate"),
    "other values": ("attention.value_length", 8, "llama.attention.value_length is 8, and should be 16"),
    "no layers": ("block_count", 0, "llama.block_count is 0, and should be one number from 1 up"),
    "too many layers": ("block_count", 1 << 30, "layers by its header, and tensors for fewer"),
    "one layer more": ("block_count", 3, "the tensor blk.2.attn_norm.weight is missing"),
    "one layer less": ("block_count", 1, "it has a tensor blk.1."),
    "heads of each layer": ("attention.head_count", [4, 2], "llama.attention.head_count is [4, 2]"),
    "heads that do not fit": ("attention.head_count_kv", 3, "4 query heads cannot share 3 key heads"),
    "wider": ("embedding_length", 128, "token_embd.weight has the shape (320, 64), and by the header"),
    "nan": ("attention.layer_norm_rms_epsilon", float("nan"), "epsilon is nan, and should be a finite number"),
    "text for a number": ("rope.freq_base", "10000", "llama.rope.freq_base is '10000'"),
}


@pytest.mark.parametrize("case", KEYS)
def test_keys(case: str, twin: Twin):
    key, value, message = KEYS[case]
    twin.metadata[f"llama.{key}"] = value
    assert message in refused(twin)


NEEDED = ("block_count", "embedding_length", "attention.head_count", "context_length", "feed_forward_length")


@pytest.mark.parametrize("key", [*NEEDED, "attention.layer_norm_rms_epsilon"])
def test_missing_keys(key: str, twin: Twin):
    del twin.metadata[f"llama.{key}"]
    assert f"llama.{key} is missing" in refused(twin)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("llama.expert_count", 0),
        ("llama.vocab_size", 12345),
        ("llama.attention.causal", True),
        ("llama.attention.head_count", [4, 4]),
        ("llama.rope.scaling.type", "none"),
        ("llama.tensor_data_layout", "Meta AI original pth"),
        ("general.quantization_version", 2),
        ("quantize.imatrix.entries_count", 7),
    ],
)
def test_harmless_keys(key: str, value: Any, twin: Twin):
    before = describe(twin.gguf)
    twin.metadata[key] = value
    assert describe(write_gguf(twin.gguf, twin.metadata, twin.tensors)) == before


# --- tensors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["blk.1.attn_k.weight", "token_embd.weight", "output_norm.weight"])
def test_missing_tensor(name: str, twin: Twin):
    del twin.tensors[name]
    assert f"the tensor {name} is missing" in refused(twin)


@pytest.mark.parametrize(
    "name", ["blk.0.ffn_gate_exps.weight", "blk.2.attn_q.weight", "output.bias", "v.patch_embd.weight"]
)
def test_strange_tensor(name: str, twin: Twin):
    twin.tensors[name] = (np.ones((4, 32), np.float32), "F32")
    assert f"it has a tensor {name}, which a llama of 2 layers has no place for" in refused(twin)


def test_half_of_the_biases(twin: Twin):
    twin.tensors["blk.0.attn_q.bias"] = (np.ones(64, np.float32), "F32")
    assert "the tensor blk.0.attn_k.bias is missing" in refused(twin)


def test_shape(twin: Twin):
    twin.tensors["blk.1.attn_k.weight"] = twin.tensors["blk.1.attn_q.weight"]
    assert "blk.1.attn_k.weight has the shape (64, 64), and by the header it should have (32, 64)" in refused(twin)


def test_types_that_gguf_cannot_read(twin: Twin):
    twin.tensors["blk.1.attn_k.weight"] = (np.zeros((32, 2 * 40), np.uint8), "Q8_1")
    assert "blk.1.attn_k.weight is of the type Q8_1, which the installed `gguf` package cannot dequantise" in refused(
        twin
    )


def test_not_finite(twin: Twin):
    """Found only when the data is read."""
    twin.tensors["blk.1.attn_k.weight"][0][3, 4] = np.inf
    with pytest.raises(CheckpointError, match=r"blk\.1\.attn_k\.weight has numbers that are not finite"):
        checkpoint(write_gguf(twin.gguf, twin.metadata, twin.tensors), progress=False)


def test_more_tokens_than_rows(twin: Twin):
    twin.metadata["tokenizer.ggml.tokens"] = [f"t{i}" for i in range(321)]
    assert "its tokenizer has 321 tokens and its embedding 320 rows" in refused(twin)


# --- what kind of file ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "guess"), [("qwen3moe", "qwen3"), ("qwen", "qwen2"), ("mamba", None)])
def test_architecture(name: str, guess: str | None, twin: Twin):
    twin.metadata["general.architecture"] = name
    file = write_gguf(twin.gguf, twin.metadata, twin.tensors)
    with pytest.raises(UnsupportedFamily, match=f"{name}.*Known: llama, qwen2") as error:
        checkpoint(file)
    assert guess is None or guess in str(error.value).split("Known")[0]


def test_not_a_model(twin: Twin):
    twin.metadata["general.type"] = "adapter"
    assert "is not a model but of the type 'adapter'" in refused(twin)


def test_rope_scaling_that_mlx_has_not(config: Callable[..., dict[str, Any]], tmp_path: Path):
    """Gemma 2 of mlx-lm knows no scaling, and would run without."""
    twin = write_twin(tmp_path / "gemma", config("gemma2", sliding_window=8, num_hidden_layers=2))
    twin.metadata.update({"gemma2.rope.scaling.type": "linear", "gemma2.rope.scaling.factor": 2.0})
    assert "its rope scaling is 'linear', and for gemma2 only these can be run: none" in refused(twin)


def test_gemma_patterns(config: Callable[..., dict[str, Any]], tmp_path: Path):
    twin = write_twin(tmp_path / "gemma", config("gemma3_text"))
    key = "gemma3.attention.sliding_window_pattern"
    twin.metadata[key] = [True, True, False]
    assert describe(write_gguf(twin.gguf, twin.metadata, twin.tensors)).layers == 3
    twin.metadata[key] = [True, False, False]
    assert "its layers have windows in no regular pattern" in refused(twin)


def test_any_error_is_ours(twin: Twin):
    assert issubclass(UnsupportedFamily, AssayError)
    assert "there is no file" in refused(twin, twin.gguf.with_name("absent.gguf"))
    assert "there is no file" in refused(twin, twin.gguf.parent)
