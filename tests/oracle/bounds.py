"""Configurations that hold up to a length, and those that assay must refuse.

    LIMITED["llama-dynamic"]                                 # (config.json, 16): equal to transformers up to 16 tokens
    REFUSED["gemma2-bidirectional"]                          # what is changed in a plain checkpoint, and what the error names

The frequencies of "dynamic" and "longrope" depend on the length of the text, so keys in a cache have been rotated otherwise than
the text as a whole would be: assay has no such texts. Whatever else it cannot compute as the publisher's model does, it refuses
with a sentence that names the key.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from families import ABSENT, GEMMAS, PLAIN, Config, activation_key, changed
from ropes import DYNAMIC, LINEAR, LONGROPE, SHORT, YARN, new, old
from weights import values

LIMIT = 16
_HERE = {"original_max_position_embeddings": LIMIT}

LIMITED: dict[str, Config] = {
    name: changed(PLAIN[name.partition("-")[0]], change)
    for name, change in {
        "llama-dynamic": old("type", DYNAMIC) | {"max_position_embeddings": LIMIT},
        "qwen3-dynamic-new": new("qwen3", DYNAMIC) | {"max_position_embeddings": LIMIT},
        "gemma3_text-dynamic-new": new("gemma3_text", DYNAMIC) | {"max_position_embeddings": LIMIT},
        "phi3-longrope": old("type", LONGROPE) | _HERE,
        "llama-longrope": old("rope_type", LONGROPE | _HERE),
    }.items()
}
"""name -> config.json of a model that is the publisher's up to `LIMIT` tokens."""


@dataclass(frozen=True)
class Change:
    """A change of a family's plain checkpoint, and a pattern of the error if it must not load then."""

    family: str
    match: str = ""
    config: Config = field(default_factory=dict)
    tensors: dict[str, Any] = field(default_factory=dict)
    """Other values of tensors; None: left out."""


def _keys(family: str, **config: Any) -> Change:
    """The error names the first of the changed keys."""
    return Change(family, next(iter(config)), config)


_SLIDING = ["sliding_attention"] * 3
_PARTIAL = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}

REFUSED: dict[str, Change] = {
    # keys that nobody here knows, or that other models have
    **{f"{family}-unknown-key": _keys(family, attention_multiplier=2.0) for family in PLAIN},
    "llama-logits-scaled": _keys("llama", logits_scaling=8.0),
    "llama-other-code": _keys("llama", model_file="other.py"),
    "llama-traditional-rope": _keys("llama", rope_traditional=True),
    "llama-interleaved-rope": _keys("llama", rope_interleaved=True),
    "qwen2-mrope": _keys("qwen2", use_mrope=True),
    "rope-unknown-key": Change(
        "llama", "mrope_interleaved", {"rope_scaling": {"rope_type": "linear", "factor": 2.0, "mrope_interleaved": True}},
    ),
    # attention of another kind
    **{f"{family}-bidirectional": _keys(family, use_bidirectional_attention=True) for family in GEMMAS},
    "llama-window": _keys("llama", sliding_window=8),
    "llama-layer-types": _keys("llama", layer_types=_SLIDING),
    "mistral-layer-types": _keys("mistral", layer_types=_SLIDING),
    "gemma2-chunked": _keys("gemma2", layer_types=["chunked_attention"] * 3),
    "gemma2-too-few-layer-types": _keys("gemma2", layer_types=_SLIDING[:2]),
    "gemma2-window-null": _keys("gemma2", sliding_window=None),
    "qwen2-window-null-used": _keys("qwen2", layer_types=_SLIDING),
    "mistral-window-zero": _keys("mistral", sliding_window=0),
    "gemma3_text-softcap": _keys("gemma3_text", attn_logit_softcapping=5.0),
    # activations
    **{f"{family}-{name}": Change(family, activation_key(family), {activation_key(family): name})
       for family in PLAIN for name in ("sharkfin", "quick_gelu")},
    "llama-sigmoid": _keys("llama", hidden_act="sigmoid"),
    "llama-activation-null": _keys("llama", hidden_act=None),
    # matrices that mlx-lm's modules do not have
    **{f"{family}-attention-bias": _keys(family, attention_bias=True) for family in ("mistral", "qwen3", *GEMMAS)},
    "qwen2-head-wide": _keys("qwen2", head_dim=32),
    "phi3-head-wide": _keys("phi3", head_dim=32),
    "phi3-lm-head-bias": _keys("phi3", lm_head_bias=True),
    "gemma2-untied": _keys("gemma2", tie_word_embeddings=False),
    # rotations
    "llama-partial": _keys("llama", partial_rotary_factor=0.5),
    "qwen3-partial": _keys("qwen3", partial_rotary_factor=0.5),
    "llama-partial-new": Change("llama", "partial_rotary_factor", {"rope_theta": ABSENT, "rope_parameters": _PARTIAL}),
    "llama-proportional": Change("llama", "rope_type.*proportional", {"rope_scaling": {"rope_type": "proportional"}}),
    "llama-rope-unknown": Change("llama", "rope_type.*helix", {"rope_scaling": {"rope_type": "helix", "factor": 2.0}}),
    "llama-linear-without-factor": Change("llama", "factor", {"rope_scaling": {"rope_type": "linear"}}),
    "llama-linear-of-nothing": Change("llama", "factor", {"rope_scaling": {"rope_type": "linear", "factor": 0.0}}),
    "llama-theta-null": _keys("llama", rope_theta=None),
    "llama-longrope-too-short": Change(
        "llama", "short_factor|pairs", old("type", LONGROPE | _HERE | {"short_factor": SHORT[:3]}),
    ),
    "phi3-linear": Change("phi3", "longrope", old("type", LINEAR)),
    "phi3-yarn-without-factors": Change("phi3", "factor", old("type", YARN)),
    "phi3-su-without-length": Change("phi3", "original_max_position_embeddings", old("type", LONGROPE | {"kind": "su"}) | _HERE),
    # shapes
    "mistral-kv-null": _keys("mistral", num_key_value_heads=None),
    "llama-width-not-divisible": Change("llama", "hidden size", {"hidden_size": 66}),
    "gemma2-scalar-zero": _keys("gemma2", query_pre_attn_scalar=0),
    # weights that are not the published ones
    **{f"llama-{method}": Change("llama", method, {"quantization_config": {"quant_method": method, "bits": 4}})
       for method in ("gptq", "awq", "bitsandbytes", "fp8")},
    "llama-tensor-missing": Change(
        "llama", r"layers\.1\.mlp\.down_proj\.weight", tensors={"model.layers.1.mlp.down_proj.weight": None},
    ),
    "llama-norm-missing": Change("llama", r"model\.norm\.weight", tensors={"model.norm.weight": None}),
    "llama-head-missing": Change("llama", r"lm_head\.weight", tensors={"lm_head.weight": None}),
    "gemma3_text-head-missing": Change("gemma3_text", r"lm_head\.weight", {"tie_word_embeddings": False}),
    "llama-tensor-unused": Change(
        "llama", r"layers\.0\.self_attn\.q_proj\.bias", tensors={"model.layers.0.self_attn.q_proj.bias": values("bias", (64,))},
    ),
    "llama-layer-unused": Change(
        "llama", r"layers\.3\.", tensors={"model.layers.3.input_layernorm.weight": values("norm.weight", (64,))},
    ),
    "qwen3-other-module-unused": Change("qwen3", r"score\.weight", tensors={"score.weight": values("score", (2, 64))}),
    "qwen2-bias-missing": Change("qwen2", r"k_proj\.bias", tensors={"model.layers.2.self_attn.k_proj.bias": None}),
    "llama-other-shape": Change("llama", r"up_proj", tensors={"model.layers.0.mlp.up_proj.weight": values("up", (95, 64))}),
    "gemma2-two-heads": Change("gemma2", r"lm_head\.weight", tensors={"lm_head.weight": values("lm_head.weight", (320, 64))}),
}  # fmt: skip

ACCEPTED: dict[str, Change] = {
    "llama-precomputed-frequencies": Change(
        "llama", "", tensors={f"model.layers.{i}.self_attn.rotary_emb.inv_freq": np.ones(8, np.float32) for i in range(3)},
    ),
    **{
        f"{family}-tied-with-its-own-head": Change(
            family, "", tensors={"lm_head.weight": values("model.embed_tokens.weight", (320, 64), family in GEMMAS)},
        )
        for family in ("qwen3", *GEMMAS)
    },
    "llama-unknown-key-null": Change("llama", "", {"attention_multiplier": None}),
    "llama-not-quantised": Change("llama", "", {"quantization_config": None}),
}  # fmt: skip
"""Changes that look like these and leave the plain model as it is."""
