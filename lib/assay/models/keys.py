"""Who answers for every key of config.json, family by family.

    >>> answers("mistral")["sliding_window"], answers("qwen3")["attention_bias"]
    ('ours', Refused(but=(None, False)))
    >>> check_keys({"model_type": "llama", "hidden_act": "silu", "sharpness": 3}, "llama")
    Traceback (most recent call last):
    assay.errors.CheckpointError: config.json has the key 'sharpness' (3), of which assay does not know what it does ...

- *mlx-lm*: `assay.models.config` passes the value, and mlx-lm computes what it says.
- *ours*: assay's forward computes it (`assay.forward.families.follow`), by mlx-lm's modules where they give the same;
  two types of rotation only up to a length (`assay.models.rope`), beyond which a prompt is refused.
- *refused*: only the listed values can be computed; any other is an error that names the key.
- *harmless*: says nothing about activations.

A key that is not in the table may change every number, so it is refused, unless the caller knows that it does not.
"""

from dataclasses import dataclass
from typing import Any

from assay.errors import AssayError, CheckpointError

MLX_LM, OURS, HARMLESS = "mlx-lm", "ours", "harmless"


@dataclass(frozen=True)
class Refused:
    """Only these values can be computed."""

    but: tuple[Any, ...]


Answer = str | Refused

NONE_OR_FALSE = Refused((None, False))

SIZES = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "vocab_size")
"""Keys that every config.json has: their defaults would be another model's shapes."""

WRITTEN = """
    architectures torch_dtype dtype transformers_version transformers.js_config use_cache initializer_range attention_dropout
    _name_or_path id2label label2id problem_type output_hidden_states output_attentions return_dict return_dict_in_generate
    chunk_size_feed_forward is_encoder_decoder is_decoder torchscript pruned_heads finetuning_task task_specific_params
    tokenizer_class prefix bos_token_id eos_token_id pad_token_id sep_token_id unk_token_id decoder_start_token_id eos_token_ids
    auto_map pretraining_tp cache_implementation _attn_implementation _attn_implementation_autoset attn_implementation
    is_llama_config unsloth_fixed unsloth_version quantization_config
"""
"""Keys that transformers and other programs write into config.json, and that say nothing about activations."""

COMMON: dict[str, Answer] = {
    **dict.fromkeys(WRITTEN.split(), HARMLESS),
    **dict.fromkeys((*SIZES, "num_key_value_heads", "rms_norm_eps", "tie_word_embeddings", "quantization"), MLX_LM),
    **dict.fromkeys(("model_type", "rope_theta", "rope_scaling", "rope_parameters", "max_position_embeddings"), OURS),
    "partial_rotary_factor": Refused((None, 1, 1.0)),
    "rope_traditional": NONE_OR_FALSE,  # mlx-lm's own: pairs of neighbours
    "rope_interleaved": NONE_OR_FALSE,
    "use_mrope": NONE_OR_FALSE,
    "model_file": Refused((None,)),  # mlx-lm's own: another model's code
}

LAYER_TYPES: dict[str, Answer] = {"sliding_window": OURS, "layer_types": OURS}
QWEN: dict[str, Answer] = {**LAYER_TYPES, "hidden_act": OURS, "use_sliding_window": OURS, "max_window_layers": OURS}
GEMMA: dict[str, Answer] = {
    **LAYER_TYPES,
    "head_dim": MLX_LM,
    "query_pre_attn_scalar": MLX_LM,
    "hidden_activation": OURS,
    "final_logit_softcapping": OURS,
    "attention_bias": NONE_OR_FALSE,
    "use_bidirectional_attention": NONE_OR_FALSE,
    "hidden_act": HARMLESS,  # the publisher reads hidden_activation
    "sliding_window_size": HARMLESS,  # an early name, beside sliding_window
}

KEYS: dict[str, dict[str, Answer]] = {
    "llama": {
        "hidden_act": OURS,
        "head_dim": MLX_LM,
        "attention_bias": MLX_LM,
        "mlp_bias": MLX_LM,
        # mlx-lm's llama has windows, the publisher's has none: which one was trained cannot be known
        "layer_types": Refused((None, "full_attention")),
        "sliding_window": Refused((None,)),
    },
    "mistral": {"hidden_act": OURS, "head_dim": MLX_LM, "sliding_window": OURS, "attention_bias": NONE_OR_FALSE},
    "qwen2": {**QWEN, "head_dim": OURS},
    "qwen3": {**QWEN, "head_dim": MLX_LM, "attention_bias": NONE_OR_FALSE},
    "phi3": {
        "hidden_act": OURS,
        "sliding_window": OURS,
        "original_max_position_embeddings": OURS,
        "partial_rotary_factor": OURS,
        "head_dim": OURS,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop"), HARMLESS),
        **dict.fromkeys(("attention_bias", "mlp_bias", "lm_head_bias"), NONE_OR_FALSE),
        **dict.fromkeys(("full_attn_mod", "interpolate_factor"), Refused((None, 1))),
    },
    "gemma2": {**GEMMA, "attn_logit_softcapping": OURS},
    "gemma3_text": {
        **GEMMA,
        "attn_logit_softcapping": Refused((None,)),  # the publisher's code has the key and does not use it
        "sliding_window_pattern": OURS,
        "_sliding_window_pattern": OURS,
        "rope_local_base_freq": OURS,
        "mm_tokens_per_image": HARMLESS,
    },
}
"""family -> key -> who answers for it, beyond `COMMON`."""

ROPE_KEYS = """
    rope_type type rope_theta partial_rotary_factor factor original_max_position_embeddings attention_factor beta_fast beta_slow
    mscale mscale_all_dim truncate short_factor long_factor low_freq_factor high_freq_factor finetuned
"""
"""What may stand in `rope_parameters`, or in `rope_scaling`."""

UNKNOWN_KEYS = ("refuse", "ignore")


def answers(family: str) -> dict[str, Answer]:
    """Who answers for each key of a family's config.json."""
    return {**COMMON, **KEYS[family]}


def check_keys(config: dict[str, Any], family: str, unknown_keys: str = "refuse") -> tuple[str, ...]:
    """The keys that are not in the table, if they are to be ignored.

    unknown_keys: "refuse" or "ignore" them. Raises CheckpointError for a key, or a value, that cannot be answered for.
    """
    if unknown_keys not in UNKNOWN_KEYS:
        raise AssayError(f"unknown_keys is {' or '.join(map(repr, UNKNOWN_KEYS))}, got {unknown_keys!r}")
    known, ignored = answers(family), []
    for key, value in config.items():
        answer = known.get(key)
        if answer is None and value is not None:
            if unknown_keys == "refuse":
                raise CheckpointError(
                    f"config.json has the key {key!r} ({value!r}), of which assay does not know what it does to a {family}:"
                    " if it changes no activation, load the model with unknown_keys='ignore'"
                )
            ignored.append(key)
        values = value if isinstance(value, list) else [value]
        if isinstance(answer, Refused) and any(each not in answer.but for each in values):
            possible = ", ".join(map(repr, answer.but))
            raise CheckpointError(
                f"config.json: {key} is {value!r}, which assay's {family} cannot compute as its publisher does (only {possible})"
            )
    quantised = config.get("quantization_config")
    if isinstance(quantised, dict) and quantised.get("quant_method"):
        raise CheckpointError(
            f"config.json: these weights are quantised by {quantised['quant_method']!r}, not by MLX: convert them, or load"
            " the model in its published precision"
        )
    return tuple(ignored)
