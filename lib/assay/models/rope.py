"""Checks that mlx-lm reads the rotary embedding that config.json states.

    >>> args = type("Args", (), {"rope_theta": 10000.0})()
    >>> check_rope({"model_type": "llama", "rope_parameters": {"rope_theta": 500000.0}}, args)
    Traceback (most recent call last):
    assay.errors.CheckpointError: config.json asks for a rotary embedding with {'rope_theta': 500000.0} ...

transformers 5 writes `rope_parameters` into config.json where it used to write `rope_theta` and `rope_scaling`.
mlx-lm's qwen3 reads the new form; its llama, mistral, qwen2, gemma2, gemma3_text and phi3 silently ignore it
and take defaults: Llama-3 would run with base 10000 and no scaling, and every position but the first would be wrong.

So the values of the config are compared with those of the family's `ModelArgs`. When mlx-lm reads the
new form for another family, its checkpoints are accepted without a change here.
"""

from typing import Any

from assay.errors import CheckpointError

Rope = dict[str, Any]
"""Keys as in `rope_parameters`: rope_theta, rope_type, and what the type needs (factor, ...)."""


def check_rope(config: dict, args: object) -> None:
    """CheckpointError when `args`, mlx-lm's ModelArgs of `config`, would rotate otherwise than `config` states."""
    for kind, stated in _stated(config).items():
        if stated.get("rope_type") == "longrope" and stated.get("short_factor") != stated.get("long_factor"):
            raise CheckpointError(
                "config.json asks for a rotary embedding of type longrope with short factors for prompts up to"
                f" {stated.get('original_max_position_embeddings', 'the original length')} tokens, and mlx-lm's"
                f" {config.get('model_type')} takes the long factors for every prompt: every number would be another model's"
            )
        used = _used(args, kind)
        wrong = {key: value for key, value in stated.items() if used.get(key) != value}
        if wrong:
            family = config.get("model_type")
            would = {key: used.get(key) for key in wrong}
            raise CheckpointError(
                f"config.json asks for a rotary embedding with {wrong} ({kind}), and mlx-lm's {family} would"
                f" silently use {would}: write it in config.json as rope_theta and rope_scaling"
                f"{', and rope_local_base_freq' if hasattr(args, 'rope_local_base_freq') else ''},"
                " where mlx-lm looks for them"
            )


def _stated(config: dict) -> dict[str, Rope]:
    """The rotary embedding that config.json states, for each kind of layer."""
    if parameters := config.get("rope_parameters"):
        nested = {kind: rope for kind, rope in parameters.items() if isinstance(rope, dict)}
        return {kind: _normal(rope) for kind, rope in (nested or {"full_attention": parameters}).items()}
    old = {key: config.get(key) for key in ("rope_theta", "partial_rotary_factor")}
    return {"full_attention": _normal({**old, **(config.get("rope_scaling") or {})})}


def _used(args: object, kind: str) -> Rope:
    """The rotary embedding that mlx-lm builds for a kind of layer, without keys that it does not support."""
    local = getattr(args, "rope_local_base_freq", None)  # gemma3_text only
    if kind == "sliding_attention" and local is not None:
        return _normal({"rope_theta": local})
    extras = ("rope_theta", "partial_rotary_factor", "original_max_position_embeddings")
    own = {key: getattr(args, key) for key in extras if hasattr(args, key)}
    scaling = getattr(args, "rope_scaling", None) or {}
    # `own` last: the base is always that of ModelArgs, even where the scaling's dictionary has one too.
    return {"partial_rotary_factor": 1.0, **_normal({**scaling, **own})}


def _normal(rope: Rope) -> Rope:
    """`rope` with one spelling of the type, without empty entries and entries that the default type does not use."""
    type = rope.get("rope_type") or rope.get("type") or "default"
    rest = {k: v for k, v in rope.items() if v is not None and k not in ("type", "rope_type")}
    if type == "default":
        rest = {k: v for k, v in rest.items() if k in ("rope_theta", "partial_rotary_factor")}
    return {"rope_type": "longrope" if type == "su" else type, **rest}
