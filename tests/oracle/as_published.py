"""config.json files with all the keys that well-known models have there, and tiny sizes: what people really load.

    AS_PUBLISHED["phi3-of-phi-4-mini"]["rope_scaling"]["type"]       # 'longrope'

Windows, lengths, bases of rotations and everything else that says how to compute are those of the models; sizes (`_TINY`), ids of
special tokens, and what goes with them (heads, factors of LongRoPE, the scale of Gemma) are not.
"""

from typing import Any

from families import VOCAB

_TINY = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": VOCAB,
}


def _file(family: str, kind: str, keys: int, **rest: Any) -> dict[str, Any]:
    """What nearly all files have. kind: the class in `architectures`; keys: the number of key-value heads."""
    return {
        "architectures": [f"{kind}ForCausalLM"], "model_type": family, "initializer_range": 0.02, "attention_dropout": 0.0,
        "use_cache": True, "torch_dtype": "bfloat16", "transformers_version": "4.46.0", **_TINY, "num_key_value_heads": keys,
        **rest,
    }  # fmt: skip


def _llama(keys: int, **rest: Any) -> dict[str, Any]:
    more = {"attention_bias": False, "hidden_act": "silu", "mlp_bias": False, "pretraining_tp": 1, "rms_norm_eps": 1e-5}
    return _file("llama", "Llama", keys, **more, **rest)


def _llama3_scaling(factor: float) -> dict[str, Any]:
    return {
        "factor": factor, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    }  # fmt: skip


def _mistral(**rest: Any) -> dict[str, Any]:
    more = {"hidden_act": "silu", "rms_norm_eps": 1e-5, "tie_word_embeddings": False}
    return _file("mistral", "Mistral", 2, **more, **rest)


def _qwen2(**rest: Any) -> dict[str, Any]:
    more = {"hidden_act": "silu", "rms_norm_eps": 1e-6, "use_sliding_window": False}
    return _file("qwen2", "Qwen2", 2, **more, **rest)


def _qwen3(**rest: Any) -> dict[str, Any]:
    more = {
        "attention_bias": False, "head_dim": 32, "hidden_act": "silu", "max_position_embeddings": 40960, "rms_norm_eps": 1e-6,
        "rope_scaling": None, "rope_theta": 1000000, "sliding_window": None, "use_sliding_window": False,
    }  # fmt: skip
    return _file("qwen3", "Qwen3", 2, **{**more, **rest})


def _gemma(family: str, kind: str, keys: int, **rest: Any) -> dict[str, Any]:
    more = {"attention_bias": False, "head_dim": 32, "hidden_activation": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6}
    return _file(family, kind, keys, **more, **rest)


def _phi(keys: int, **rest: Any) -> dict[str, Any]:
    more = {
        "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config", "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"},
        "attention_bias": False, "embd_pdrop": 0.0, "hidden_act": "silu", "original_max_position_embeddings": 4096,
        "resid_pdrop": 0.0, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    }  # fmt: skip
    return _file("phi3", "Phi3", keys, **more, **rest)


def _longrope(pairs: int) -> dict[str, Any]:
    """Factors that grow with the wavelength, as in the files, which have one for each of 48 pairs."""
    long, short = ([round(first + step * i * i, 3) for i in range(pairs)] for first, step in ((1.08, 0.9), (1.0, 0.02)))
    return {"long_factor": long, "short_factor": short, "type": "longrope"}


_PHI_3_LONG = {"max_position_embeddings": 131072, "sliding_window": 262144, "tie_word_embeddings": False}

AS_PUBLISHED: dict[str, dict[str, Any]] = {
    "llama-of-llama-2": _llama(
        4, _name_or_path="meta-llama/Llama-2-7b-hf", max_position_embeddings=4096, rope_scaling=None, tie_word_embeddings=False,
    ),
    "llama-of-llama-3": _llama(
        2, max_position_embeddings=8192, rope_scaling=None, rope_theta=500000.0, tie_word_embeddings=False,
    ),
    "llama-of-llama-3.1": _llama(
        2, max_position_embeddings=131072, rope_scaling=_llama3_scaling(8.0), rope_theta=500000.0, tie_word_embeddings=False,
    ),
    "llama-of-llama-3.2": _llama(
        2, head_dim=16, max_position_embeddings=131072, rope_scaling=_llama3_scaling(32.0), rope_theta=500000.0,
        tie_word_embeddings=True,
    ),
    "llama-of-smollm2": _llama(
        2, is_llama_config=True, max_position_embeddings=8192, rope_interleaved=False, rope_scaling=None, rope_theta=100000,
        tie_word_embeddings=True, **{"transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}}},
    ),
    "mistral-of-7b-v0.1": _mistral(max_position_embeddings=32768, rope_theta=10000.0, sliding_window=4096),
    "mistral-of-7b-v0.3": _mistral(max_position_embeddings=32768, rope_theta=1000000.0, sliding_window=None),
    "mistral-of-nemo": _mistral(head_dim=32, max_position_embeddings=131072, rope_theta=1000000.0, sliding_window=None),
    "qwen2-of-qwen2.5-small": _qwen2(
        max_position_embeddings=32768, max_window_layers=21, rope_theta=1000000.0, sliding_window=32768, tie_word_embeddings=True,
    ),
    "qwen2-of-qwen2.5-7b": _qwen2(
        max_position_embeddings=131072, max_window_layers=28, rope_theta=1000000.0, sliding_window=131072,
        tie_word_embeddings=False, use_mrope=False,
    ),
    "qwen2-of-qwen2.5-with-yarn": _qwen2(
        max_position_embeddings=32768, max_window_layers=28, rope_theta=1000000.0, sliding_window=131072,
        tie_word_embeddings=False, rope_scaling={"factor": 4.0, "original_max_position_embeddings": 32768, "type": "yarn"},
    ),
    "qwen3-of-qwen3-small": _qwen3(max_window_layers=28, tie_word_embeddings=True),
    "qwen3-of-qwen3-8b-with-yarn": _qwen3(
        max_window_layers=36, tie_word_embeddings=False,
        rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
    ),
    "gemma2-of-gemma-2": _gemma(
        "gemma2", "Gemma2", 2, attn_logit_softcapping=50.0, cache_implementation="hybrid", final_logit_softcapping=30.0,
        hidden_act="gelu_pytorch_tanh", max_position_embeddings=8192, query_pre_attn_scalar=32, rope_theta=10000.0,
        sliding_window=4096,
    ),
    "gemma3_text-of-gemma-3-1b": _gemma(
        "gemma3_text", "Gemma3", 1, attn_logit_softcapping=None, cache_implementation="hybrid", final_logit_softcapping=None,
        max_position_embeddings=32768, query_pre_attn_scalar=32, rope_local_base_freq=10000, rope_scaling=None,
        rope_theta=1000000, sliding_window=512, sliding_window_pattern=6,
    ) | {"num_hidden_layers": 6},
    "gemma3_text-of-gemma-3-270m": _gemma(
        "gemma3_text", "Gemma3", 1, _sliding_window_pattern=6, attn_logit_softcapping=None, final_logit_softcapping=None,
        layer_types=["sliding_attention"] * 5 + ["full_attention"], max_position_embeddings=32768, query_pre_attn_scalar=32,
        rope_local_base_freq=10000.0, rope_scaling=None, rope_theta=1000000.0, sliding_window=512,
        use_bidirectional_attention=False,
    ) | {"num_hidden_layers": 6},
    "phi3-of-phi-3-mini": _phi(
        4, _name_or_path="Phi-3-mini-4k-instruct", max_position_embeddings=4096, rope_scaling=None, sliding_window=2047,
        tie_word_embeddings=False,
    ),
    "phi3-of-phi-3.5-mini": _phi(4, _name_or_path="Phi-3.5-mini-instruct", rope_scaling=_longrope(8), **_PHI_3_LONG),
    "phi3-of-phi-4": _phi(
        1, max_position_embeddings=16384, rope_scaling=None, sliding_window=None, tie_word_embeddings=False,
    ) | {"original_max_position_embeddings": 16384, "rope_theta": 250000},
    "phi3-of-phi-4-mini": _phi(
        2, full_attn_mod=1, interpolate_factor=1, lm_head_bias=False, mlp_bias=False, partial_rotary_factor=0.75,
        rope_scaling=_longrope(6), **_PHI_3_LONG,
    ) | {"tie_word_embeddings": True},
}  # fmt: skip
