"""The true config.json of every registered model that is not built in, for random weights of the true shape.

    >>> SHAPES["qwen7b"]["hidden_size"]
    3584
    >>> cut(SHAPES["qwen7b"], 2)["num_hidden_layers"]
    2

Each has only the keys that decide shapes and arithmetic, with the values of the Hugging Face repository. One function per
family holds what its sizes share; the table below shows only what differs between them.
"""

from typing import Any

from assay.errors import LayerError

Config = dict[str, Any]


def _shape(family: str, class_name: str, sizes: tuple[int, ...], **rest: Any) -> Config:
    """sizes: layers, width, inner width of the MLP, query heads, key heads."""
    layers, hidden, mlp, heads, kv_heads = sizes
    return {
        "model_type": family,
        "architectures": [f"{class_name}ForCausalLM"],
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": mlp,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        **rest,
        "torch_dtype": "bfloat16",
    }


def _gemma2(*sizes: int, head_dim: int = 256, scalar: int = 256) -> Config:
    return _shape(
        "gemma2",
        "Gemma2",
        sizes,
        head_dim=head_dim,
        query_pre_attn_scalar=scalar,
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
        sliding_window=4096,
        hidden_activation="gelu_pytorch_tanh",
        rms_norm_eps=1e-6,
        rope_theta=10000.0,
        max_position_embeddings=8192,
        attention_bias=False,
        tie_word_embeddings=True,
        vocab_size=256000,
    )


def _gemma3(*sizes: int) -> Config:
    return _shape(
        "gemma3_text",
        "Gemma3",
        sizes,
        head_dim=256,
        query_pre_attn_scalar=256,
        sliding_window=512,
        sliding_window_pattern=6,
        hidden_activation="gelu_pytorch_tanh",
        rms_norm_eps=1e-6,
        rope_theta=1000000.0,
        rope_local_base_freq=10000.0,
        max_position_embeddings=32768,
        attention_bias=False,
        tie_word_embeddings=True,
        vocab_size=262144,
    )


def _llama3(*sizes: int, factor: float, tied: bool, head_dim: int = 128) -> Config:
    return _shape(
        "llama",
        "Llama",
        sizes,
        head_dim=head_dim,
        hidden_act="silu",
        rms_norm_eps=1e-5,
        rope_theta=500000.0,
        rope_scaling={
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        max_position_embeddings=131072,
        attention_bias=False,
        mlp_bias=False,
        tie_word_embeddings=tied,
        vocab_size=128256,
    )


def _smollm2(*sizes: int, theta: float = 100000.0) -> Config:
    return _shape(
        "llama",
        "Llama",
        sizes,
        hidden_act="silu",
        rms_norm_eps=1e-5,
        rope_theta=theta,
        max_position_embeddings=8192,
        attention_bias=False,
        mlp_bias=False,
        tie_word_embeddings=True,
        vocab_size=49152,
    )


def _qwen25(*sizes: int, max_window_layers: int) -> Config:
    return _shape(
        "qwen2",
        "Qwen2",
        sizes,
        hidden_act="silu",
        rms_norm_eps=1e-6,
        rope_theta=1000000.0,
        max_position_embeddings=32768,
        sliding_window=131072,
        use_sliding_window=False,
        max_window_layers=max_window_layers,
        tie_word_embeddings=False,
        vocab_size=152064,
    )


def _small_qwen25(*sizes: int) -> Config:
    """Qwen2.5 of 0.5B and 1.5B."""
    return _qwen25(*sizes, max_window_layers=21) | {
        "sliding_window": 32768,
        "tie_word_embeddings": True,
        "vocab_size": 151936,
    }


def _qwen3(*sizes: int) -> Config:
    return _shape(
        "qwen3",
        "Qwen3",
        sizes,
        head_dim=128,
        hidden_act="silu",
        rms_norm_eps=1e-6,
        rope_theta=1000000.0,
        max_position_embeddings=40960,
        use_sliding_window=False,
        max_window_layers=28,
        attention_bias=False,
        tie_word_embeddings=True,
        vocab_size=151936,
    )


_FLOAT32 = {"torch_dtype": "float32"}  # the type of a converted GGUF file

SHAPES: dict[str, Config] = {
    "gemma270m": _gemma3(18, 640, 2048, 4, 1) | _FLOAT32,
    "gemma3_270m": _gemma3(18, 640, 2048, 4, 1),
    "gemma3_1b": _gemma3(26, 1152, 6912, 4, 1),
    "gemma2b": _gemma2(26, 2304, 9216, 8, 4),
    "gemma9b": _gemma2(42, 3584, 14336, 16, 8),
    "gemma27b": _gemma2(46, 4608, 36864, 32, 16, head_dim=128, scalar=144),
    "smollm135m": _smollm2(30, 576, 1536, 9, 3) | _FLOAT32,
    "smollm360m": _smollm2(32, 960, 2560, 15, 5),
    "smollm17b": _smollm2(24, 2048, 8192, 32, 32, theta=130000.0),
    "llama1b": _llama3(16, 2048, 8192, 32, 8, factor=32.0, tied=True, head_dim=64),
    "llama3b": _llama3(28, 3072, 8192, 24, 8, factor=32.0, tied=True),
    "llama8b": _llama3(32, 4096, 14336, 32, 8, factor=8.0, tied=False),
    "qwencoder05b": _small_qwen25(24, 896, 4864, 14, 2) | _FLOAT32 | {"tie_word_embeddings": False},
    "qwen05b": _small_qwen25(24, 896, 4864, 14, 2),
    "qwen15b": _small_qwen25(28, 1536, 8960, 12, 2),
    "qwen3_06b": _qwen3(28, 1024, 3072, 16, 8),
    "qwen3_17b": _qwen3(28, 2048, 6144, 16, 8),
    "qwen7b": _qwen25(28, 3584, 18944, 28, 4, max_window_layers=28),
    "qwen14b": _qwen25(48, 5120, 13824, 40, 8, max_window_layers=70),
}
"""Configs by the model's id in the registry."""


def cut(config: Config, layers: int | None) -> Config:
    """`config` with its first `layers` blocks only; the whole config for None.

    Raises LayerError for more layers than there are, and for a gemma3_text without a full-attention layer, which mlx-lm needs.
    """

    depth: int = config["num_hidden_layers"]
    layers = depth if layers is None else layers
    least: int = config.get("sliding_window_pattern", 6) if config["model_type"] == "gemma3_text" else 1
    if not least <= layers <= depth:
        raise LayerError(f"cannot cut this {config['model_type']} to {layers} layers: use {least} to {depth}")
    result = {**config, "num_hidden_layers": layers}
    if "layer_types" in config:
        result["layer_types"] = config["layer_types"][:layers]
    return result
