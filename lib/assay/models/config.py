"""What the published model computes: config.json read by the publisher's rules, key by key.

    >>> config = {**assay.models.SHAPES["gemma2b"], "num_hidden_layers": 4}
    >>> model = published(config)
    >>> model.windows, model.softcap, model.query_scale
    ((4096, None, 4096, None), 50.0, 0.0625)

The *publisher's* model is the one that transformers builds from the same file: its config classes complete absent keys with
their defaults, and this file says what its modelling code does with them. mlx-lm leaves some keys out (windows of Gemma-2 and
Mistral, activations, short factors of LongRoPE, defaults of absent keys). `assay.models.keys` says who answers for each key.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from assay.errors import CheckpointError, shown
from assay.models.keys import COMMON, ROPE_KEYS, SIZES, check_keys
from assay.models.rope import Rope, rotary

Config = dict[str, Any]

MALFORMED = (
    ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError, StrictDataclassError,
)  # fmt: skip
"""What transformers and mlx-lm raise for a config.json with a key too few, or a value of another type."""

ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_approx",
    "gelu_fast": "gelu_approx",
    "gelu_pytorch_tanh": "gelu_approx",
    "relu": "relu",
}
"""Names in config.json -> activations of `assay.forward.families`."""

MOST_LAYERS, MOST = 1000, 2**24
"""Sizes beyond which no model goes: a config.json that says more would fill the memory before its weights are looked at."""

MLX_LM_ROPES = {"phi3": ("longrope",)}
"""Scaling types that mlx-lm's modules are built with, of families that do not know all of `assay.models.rope`."""


@dataclass(frozen=True, eq=False)
class Published:
    """What the publisher's model computes where that is not in the shapes of the weights."""

    family: str
    windows: tuple[int | None, ...]
    """For each layer, how many keys a query sees, itself included; None: all."""
    ropes: tuple[Rope, ...]
    """For each layer, the rotation of queries and keys."""
    activation: str
    """Of the MLP's gate: a value of `ACTIVATIONS`."""
    softcap: float | None
    """Scores become tanh(scores / cap) * cap."""
    final_softcap: float | None
    """Likewise for logits."""
    query_scale: float
    """The factor of queries before their product with keys."""
    eps: float
    """Of all norms."""
    tied: bool
    """Whether the unembedding is the embedding matrix."""
    for_mlx_lm: Config
    """Values of every key that mlx-lm reads: absent ones too, where its defaults are not the publisher's."""
    ignored: tuple[str, ...] = ()
    """Keys that assay does not know, and that the caller said change nothing."""

    @property
    def limit(self) -> int | None:
        """The longest text, in tokens, that assay computes as the publisher's model does; None: any."""
        return min((rope.limit for rope in self.ropes if rope.limit), default=None)


def published(config: Config, unknown_keys: str = "refuse") -> Published:
    """What the publisher's model of this config.json computes.

    unknown_keys: "refuse", or "ignore" keys that are not in the table. Raises CheckpointError, naming the key.
    """
    family = config["model_type"]
    if absent := [key for key in SIZES if config.get(key) is None]:
        raise CheckpointError(f"config.json does not describe a {family}: it has no {absent[0]}")
    for key in (*SIZES, "num_key_value_heads", "head_dim"):
        size, most = config.get(key), MOST_LAYERS if key == "num_hidden_layers" else MOST
        if size is not None and (type(size) is not int or not 1 <= size <= most):
            raise CheckpointError(
                f"config.json does not describe a {family}: {key!r} is {shown(size)}, and must be a whole number from 1 to {most}"
            )
    ignored = check_keys(config, family, unknown_keys)
    full = _completed(config, family, ignored)
    head_dim = getattr(full, "head_dim", None) or full.hidden_size // full.num_attention_heads
    if family in ("qwen2", "phi3") and head_dim * full.num_attention_heads != full.hidden_size:
        raise CheckpointError(
            f"config.json: mlx-lm's {family} cannot have the head_dim {head_dim}, only hidden_size / heads"
        )
    if family == "gemma2" and not full.tie_word_embeddings:
        raise CheckpointError(
            "config.json: tie_word_embeddings is False, and mlx-lm's gemma2 has only a tied unembedding"
        )
    gemma = family.startswith("gemma")
    ropes = _ropes(full, family, head_dim)
    caps = [getattr(full, f"{which}_logit_softcapping", None) for which in ("attn", "final")]
    scale = full.query_pre_attn_scalar if gemma else head_dim
    for key, value in {
        "query_pre_attn_scalar": scale,
        "attn_logit_softcapping": caps[0],
        "final_logit_softcapping": caps[1],
    }.items():
        if value is not None and not value > 0:
            raise CheckpointError(f"config.json: {key} is {value!r}, and must be above 0")
    return Published(
        family,
        _windows(full, family),
        ropes,
        _activation(full, "hidden_activation" if gemma else "hidden_act"),
        caps[0] if family == "gemma2" else None,
        caps[1] if gemma else None,
        scale**-0.5,
        full.rms_norm_eps,
        full.tie_word_embeddings,
        _for_mlx_lm(full, family, head_dim),
        ignored,
    )


def _completed(config: Config, family: str, ignored: tuple[str, ...]) -> Any:
    """The config as transformers completes it: its config object of this family."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    left_out = {"model_type", "quantization", "quantization_config", "architectures", *ignored}
    given = {key: deepcopy(value) for key, value in config.items() if key not in left_out}
    try:
        return CONFIG_MAPPING[family](**given)
    except MALFORMED as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise CheckpointError(f"config.json does not describe a {family}: {' '.join(lines)}") from error


def _windows(full: Any, family: str) -> tuple[int | None, ...]:
    size, layers = getattr(full, "sliding_window", None), full.num_hidden_layers
    kinds: list[Any] = getattr(full, "layer_types", None) or []
    if family == "llama":
        return (None,) * layers
    if family in ("mistral", "phi3"):
        kinds = ["sliding_attention" if size is not None else "full_attention"] * layers
    for kind in kinds:
        if kind not in ("sliding_attention", "full_attention"):
            raise CheckpointError(
                f"config.json: layer_types has {kind!r}, and assay knows sliding_attention and full_attention"
            )
    if "sliding_attention" in kinds and (size is None or size < 1):
        raise CheckpointError(f"config.json: layer_types has sliding_attention, and sliding_window is {size!r}")
    return tuple(size if kind == "sliding_attention" else None for kind in kinds)


def _ropes(full: Any, family: str, head_dim: int) -> tuple[Rope, ...]:
    kinds = full.layer_types if family == "gemma3_text" else ["full_attention"] * full.num_hidden_layers
    nested = full.rope_parameters if family == "gemma3_text" else {"full_attention": full.rope_parameters}
    made = {}
    for kind in set(kinds):
        parameters = nested.get(kind)
        if not isinstance(parameters, dict):
            raise CheckpointError(f"config.json: rope_parameters say nothing about layers of {kind}")
        if strange := sorted(set(parameters) - set(ROPE_KEYS.split())):
            raise CheckpointError(f"config.json: assay does not know what {strange[0]!r} in {parameters} does")
        if family != "phi3" and parameters.get("partial_rotary_factor") not in COMMON["partial_rotary_factor"].but:  # type: ignore[union-attr]
            raise CheckpointError(f"config.json: the publisher's {family} rotates whole heads, not {parameters}")
        if family == "gemma3_text":  # transformers reads this one key beside the kinds of layers, not inside them
            parameters = {**parameters, "truncate": nested.get("truncate", True)}
        made[kind] = rotary(parameters, head_dim, full.max_position_embeddings)
    return tuple(made[kind] for kind in kinds)


def _activation(full: Any, key: str) -> str:
    name = getattr(full, key)
    if name not in ACTIVATIONS:
        raise CheckpointError(f"config.json: {key} is {name!r}, and the activations are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def _for_mlx_lm(full: Any, family: str, head_dim: int) -> Config:
    """The values of all keys that mlx-lm reads, so that its defaults do not matter; ours where it cannot compute the value."""
    parameters: Config = full.rope_parameters
    local = None
    if family == "gemma3_text":
        local = (parameters.get("sliding_attention") or {}).get("rope_theta")
        parameters = parameters.get("full_attention") or {}
    parameters = {key: value for key, value in parameters.items() if value is not None}
    kind = parameters.get("rope_type")
    scaled = kind != "default" and kind in MLX_LM_ROPES.get(family, (kind,))
    scaled = scaled and (kind == "longrope" or "factor" in parameters)
    result = {
        **{key: getattr(full, key) for key in _PASSED if hasattr(full, key)},
        "head_dim": head_dim,
        "rope_theta": parameters.get("rope_theta"),
        "rope_scaling": {**parameters, "type": kind} if scaled else None,
        "rope_parameters": None,
        "rope_traditional": False,
        "attention_bias": family == "llama" and full.attention_bias,
        "mlp_bias": family == "llama" and full.mlp_bias,
        "partial_rotary_factor": parameters.get("partial_rotary_factor", 1.0),
        "layer_types": None,
        "sliding_window": None,
    }
    if family == "gemma3_text":
        full_layers = [i for i, kind in enumerate(full.layer_types) if kind == "full_attention"]
        result |= {
            "rope_local_base_freq": local,
            "sliding_window": full.sliding_window,
            # mlx-lm needs one layer of each kind at a regular distance
            "sliding_window_pattern": full_layers[0] + 1 if full_layers else full.num_hidden_layers,
        }
    caps = {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
    for key, default in caps.items():
        result[key] = getattr(full, key, None) or default  # mlx-lm cannot be without them; ours can
    return result


_PASSED = (
    "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "vocab_size",
    "rms_norm_eps", "tie_word_embeddings", "query_pre_attn_scalar", "max_position_embeddings", "original_max_position_embeddings",
)  # fmt: skip
