"""config.json from the metadata of a GGUF file: every key that mlx-lm and the publisher (transformers) use.

    >>> numbers = {"block_count": 30, "embedding_length": 576, "attention.head_count": 9, "feed_forward_length": 1536}
    >>> keys = Keys({"general.architecture": "llama", **{f"llama.{k}": n for k, n in numbers.items()}}, "m.gguf")
    >>> sizes = read_sizes(keys, rows=49152, most_layers=30)
    >>> sizes.D, sizes.length("Q")
    (64, 576)

`config` makes the dictionary from the sizes and the other keys.

A key that a file leaves out takes the value that the architecture fixes, or the default of both llama.cpp and the publisher:
- gemma2, gemma3: queries are scaled by the head width; in the 27B models (46 and 62 layers) by width / heads;
- gemma3: every sixth layer is global, the others rotate with base 10000; without a window all layers are global;
- phi3: early files of the 4k models have no window; it is 2047.

**Mistral.** llama.cpp writes Mistral as `llama`. The two are one and the same computation, but for the sliding window of
Mistral-7B v0.1, which llama.cpp leaves out: it is put back where the file has that model's shape (`MISTRAL_V01`), since
the publisher's model has it. `model_type` is "mistral" for these, for files that state a window, and where the file's
name for the model has the word Mistral in it; "llama" for all others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.models.gguf.architectures import ARCHITECTURES
from assay.models.gguf.keys import Keys
from assay.models.gguf.rope import scaling

Config = dict[str, Any]

MISTRAL_V01 = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "max_position_embeddings": 32768,
    "rope_theta": 10000.0,
}
"""No other model has these values: Llama-3-8B and Mistral-7B v0.2 have another rotary base."""
MISTRAL_V01_WINDOW = 4096
PHI3_4K, PHI3_4K_WINDOW = 4096, 2047
GEMMA_27B = {"gemma2": 46, "gemma3": 62}
"""Layers of the sizes whose queries are scaled by width / heads."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of a model, by the letters of `assay.models.gguf.architectures`."""

    layers: int
    E: int
    F: int
    H: int
    K: int
    D: int
    V: int

    def length(self, letter: str) -> int:
        """The size of the dimension with this letter, also of a derived one (Q, K, G, P)."""
        derived = {"Q": self.H * self.D, "K": self.K * self.D, "P": (self.H + 2 * self.K) * self.D, "G": 2 * self.F}
        return derived[letter] if letter in derived else getattr(self, letter)


def read_sizes(keys: Keys, rows: int, most_layers: int) -> Sizes:
    """The model's sizes. `rows`: rows of the embedding; `most_layers`: the most layers that the file can hold."""
    layers = keys.integer("block_count")
    if layers > most_layers:
        raise keys.error(f"it has {layers} layers by its header, and tensors for fewer")
    E, H = keys.integer("embedding_length"), keys.integer("attention.head_count")
    K = keys.integer("attention.head_count_kv", H)
    if H % K:
        raise keys.error(f"{H} query heads cannot share {K} key heads")
    D = keys.integer("attention.key_length", E // H)
    for name in ("attention.value_length", "attention.key_length_swa", "attention.value_length_swa"):
        keys.same(name, D, "keys and values of all layers have one width here")
    keys.same("embedding_length_out", E, "the residual stream has one width")
    if D % 2:
        raise keys.error(f"a head has {D} dimensions, which cannot be rotated in pairs")
    if keys.architecture in ("qwen2", "phi3") and D * H != E:
        raise keys.error(f"{H} heads of {D} dimensions are not {E}, and {keys.architecture} has no other head width")
    return Sizes(layers, E, keys.integer("feed_forward_length"), H, K, D, rows)


def config(keys: Keys, sizes: Sizes, values: Mapping[str, np.ndarray], *, tied: bool) -> Config:
    """config.json without the tokenizer's ids and the type of the weights. `values`: as for `rope.scaling`.

    Raises CheckpointError for keys that are missing, invalid or unsupported.
    """
    architecture = ARCHITECTURES[keys.architecture]
    theta = keys.number("rope.freq_base", 10000.0)
    result: Config = {
        "model_type": architecture.model_type,
        "architectures": [architecture.class_name],
        "hidden_size": sizes.E,
        "num_hidden_layers": sizes.layers,
        "intermediate_size": sizes.F,
        "num_attention_heads": sizes.H,
        "num_key_value_heads": sizes.K,
        "rms_norm_eps": keys.number("attention.layer_norm_rms_epsilon"),
        "vocab_size": sizes.V,
        "tie_word_embeddings": tied,
        "max_position_embeddings": keys.integer("context_length"),
        "rope_theta": theta,
        "attention_dropout": 0.0,
    }
    rotated = keys.integer("rope.dimension_count", sizes.D)
    if rotated != sizes.D and (keys.architecture != "phi3" or rotated > sizes.D or rotated % 2):
        raise keys.error(f"{rotated} of {sizes.D} dimensions of a head rotate, and here all of them should")
    result["rope_scaling"] = scaling(keys, values, architecture.scaling, rotated, theta)
    result |= OWN[keys.architecture](keys, sizes, result)
    keys.check_all_read()
    return result


def _llama(keys: Keys, sizes: Sizes, base: Config) -> Config:
    window = keys.integer("attention.sliding_window", 0, least=0)
    if all(base[key] == value for key, value in MISTRAL_V01.items()):
        window = window or MISTRAL_V01_WINDOW
    names = (keys.metadata.get(f"general.{key}") for key in ("name", "basename"))
    named = any("mistral" in name.lower() for name in names if isinstance(name, str))
    own: Config = {"head_dim": sizes.D, "hidden_act": "silu"}
    if not window and (not named or base["rope_scaling"]):
        return own
    return {**own, "model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": window or None}


def _qwen2(keys: Keys, sizes: Sizes, base: Config) -> Config:
    return {"hidden_act": "silu", "use_sliding_window": False}


def _qwen3(keys: Keys, sizes: Sizes, base: Config) -> Config:
    return {"head_dim": sizes.D, "hidden_act": "silu", "attention_bias": False, "use_sliding_window": False}


def _gemma2(keys: Keys, sizes: Sizes, base: Config) -> Config:
    period = _period(keys, 2, sizes.layers)
    if period != 2:
        raise keys.error(f"every layer of {period} is global, and in a gemma2 every second one is")
    keys.same("rope.freq_base_swa", base["rope_theta"], "all layers of a gemma2 rotate alike")
    return {
        **_gemma(keys, sizes),
        "attn_logit_softcapping": keys.number("attn_logit_softcapping", 50.0),
        "final_logit_softcapping": keys.number("final_logit_softcapping", 30.0),
        "sliding_window": keys.integer("attention.sliding_window", 4096),
        "layer_types": _layer_types(2, sizes.layers),
    }


def _gemma3(keys: Keys, sizes: Sizes, base: Config) -> Config:
    window = keys.integer("attention.sliding_window", 0, least=0)
    period = _period(keys, 6, sizes.layers)
    period = period if window else 1
    if window and sizes.layers < period:
        raise keys.error(f"a gemma3 of {sizes.layers} layers has no global one, and mlx-lm cannot run it")
    return {
        **_gemma(keys, sizes),
        "sliding_window": window or base["max_position_embeddings"],
        "sliding_window_pattern": period,
        "rope_local_base_freq": keys.number("rope.freq_base_swa", 10000.0),
        "layer_types": _layer_types(period, sizes.layers),
    }


def _gemma(keys: Keys, sizes: Sizes) -> Config:
    large = sizes.layers == GEMMA_27B[keys.architecture]
    return {
        "head_dim": sizes.D,
        "query_pre_attn_scalar": sizes.E // sizes.H if large else sizes.D,
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False,
    }


def _period(keys: Keys, usual: int, layers: int) -> int:
    """The period of global layers, which the file gives as a number, or as a list of bools (has the layer a window?)."""
    stated = keys.get("attention.sliding_window_pattern", usual)
    if isinstance(stated, list):
        windowed = [bool(each) for each in stated]
        first = windowed.index(False) + 1 if False in windowed else 0
        if not first or windowed != [kind != "full_attention" for kind in _layer_types(first, layers)]:
            raise keys.error(f"its layers have windows in no regular pattern: {windowed}")
        return first
    return keys.integer("attention.sliding_window_pattern", usual)


def _layer_types(period: int, layers: int) -> list[str]:
    return ["full_attention" if (i + 1) % period == 0 else "sliding_attention" for i in range(layers)]


def _phi3(keys: Keys, sizes: Sizes, base: Config) -> Config:
    early = sizes.layers in (32, 40) and base["max_position_embeddings"] == PHI3_4K
    window = keys.integer("attention.sliding_window", PHI3_4K_WINDOW if early else 0, least=0)
    longest = base["max_position_embeddings"]
    partial = keys.integer("rope.dimension_count", sizes.D) / sizes.D
    return {
        "hidden_act": "silu",
        "sliding_window": window or None,
        "original_max_position_embeddings": keys.integer("rope.scaling.original_context_length", longest),
        "partial_rotary_factor": partial,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
    }


OWN: dict[str, Callable[[Keys, Sizes, Config], Config]] = {
    "llama": _llama,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "gemma2": _gemma2,
    "gemma3": _gemma3,
    "phi3": _phi3,
}
"""By family: the keys of config.json that not all families have."""
