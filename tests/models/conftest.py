"""Small checkpoints of every family, an empty Hugging Face cache, and a guard that nothing here goes online."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.models.registry import FAMILIES, ModelSpec

COMMON = {
    "num_hidden_layers": 3,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "vocab_size": 1024,
    "rope_theta": 10000.0,
    "max_position_embeddings": 4096,
}
# What makes each family itself: heads wider than hidden / heads, untied heads, windows, scaling.
OWN: dict[str, dict[str, Any]] = {
    "gemma2": {"head_dim": 32, "query_pre_attn_scalar": 32, "tie_word_embeddings": True},
    "llama": {
        "head_dim": 16,
        "tie_word_embeddings": True,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 1024,
        },
    },
    "qwen2": {"tie_word_embeddings": False},
    "qwen3": {"head_dim": 32, "tie_word_embeddings": True},
    "gemma3_text": {
        "head_dim": 32,
        "query_pre_attn_scalar": 32,
        "sliding_window": 8,
        "sliding_window_pattern": 3,
        "rope_local_base_freq": 10000.0,
    },
    "mistral": {"head_dim": 16, "tie_word_embeddings": False},
    "phi3": {"tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2},
}
assert set(OWN) == set(FAMILIES), "a small config of each family is in OWN"


@pytest.fixture
def config() -> Callable[..., dict[str, Any]]:
    """config("llama", vocab_size=300): a small config of a family."""

    def make(family: str, **changes: Any) -> dict[str, Any]:
        return {"model_type": family, **COMMON, **OWN[family], **changes}

    return make


@pytest.fixture
def rewrite() -> Callable[..., None]:
    """rewrite(file, key=value, other=None): changes entries of a JSON file; None removes them."""

    def change(file: Path, **changes: Any) -> None:
        value = {**json.loads(file.read_text()), **changes}
        file.write_text(json.dumps({key: entry for key, entry in value.items() if entry is not None}))

    return change


@pytest.fixture
def local() -> Callable[[Path], ModelSpec]:
    """The spec of a folder, whatever is in it."""
    return lambda path: ModelSpec("local", "", None, None, None, path=path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache, which the environment points to."""
    for name in ("HF_HOME", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of assay's own, which the environment points to."""
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails a test that looks for the network, even when the library swallows the refusal."""
    calls: list[object] = []

    def refuse(*args: object, **_: object) -> None:
        calls.append(args)
        raise OSError("no network in these tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert not calls, f"the network was asked for: {calls}"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run in a folder of their own: relative paths mean nothing else."""
    here = tmp_path / "cwd"
    here.mkdir()
    monkeypatch.chdir(here)
    assert not os.listdir()
