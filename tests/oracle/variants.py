"""Configurations whose forward pass must be that of transformers: each feature alone, many together, and files as published.

    VARIANTS["gemma2-window"]                                # config.json of a tiny Gemma 2 that sees eight tokens back
    [name for name in VARIANTS if name.startswith("phi3-longrope")]

A *feature* is one thing that a config.json can say: it changes some keys of the plain model of each family that has it, and its
variant is named family-feature. Features on one *axis* exclude each other; the *mixed* variants take one or none from each axis.
"""

from collections.abc import Iterable, Iterator

from as_published import AS_PUBLISHED
from families import ABSENT, ALL, GEMMAS, OTHERS, PLAIN, VOCAB, WINDOW, Config, activation_key, changed
from ropes import ROPES
from weights import words

Feature = dict[str, Config]  # family -> changed keys


def every(change: Config, families: Iterable[str] = ALL) -> Feature:
    """The same change in several families."""
    return dict.fromkeys(families, change)


def activation(name: object, families: Iterable[str] = ALL) -> Feature:
    """The activation under the key of each family."""
    return {family: {activation_key(family): name} for family in families}


SLIDING, FULL = "sliding_attention", "full_attention"
QWENS = ("qwen2", "qwen3")
WINDOWED = ("mistral", "phi3", *GEMMAS)
"""Families whose `sliding_window` counts by itself."""
USED = {"use_sliding_window": True, "sliding_window": WINDOW}
MIXED_LAYERS = {"layer_types": [FULL, SLIDING, FULL]}

AXES: dict[str, dict[str, Feature]] = {
    "keys": {
        "kv-one": every({"num_key_value_heads": 1}),
        "kv-all": every({"num_key_value_heads": 4}),
        "kv-null": every({"num_key_value_heads": None}, ("llama", "qwen2", "qwen3", "phi3")),
    },
    "heads": {
        "head-wide": every({"head_dim": 48}, ("llama", "mistral", "qwen3", *GEMMAS)),
        "head-narrow": every({"head_dim": 8}, ("llama", "mistral", "qwen3", *GEMMAS)),
        "head-null": every({"head_dim": None}, ("llama", "mistral")),
        "head-stated": every({"head_dim": 16}, ("qwen2", "phi3")),
    },
    "shape": {
        "one-layer": every({"num_hidden_layers": 1}),
        "four-layers": every({"num_hidden_layers": 4}),
        "mlp-wide": every({"intermediate_size": 160}),
        # a width whose root is not exact, of which Gemma takes it
        "width-80": every({"hidden_size": 80}, ("llama", "mistral", "qwen3", *GEMMAS)),
        "mlp-narrow": every({"intermediate_size": 32}, ("phi3", "qwen3", "gemma2")),
        "more-tokens-than-the-tokenizer": every({"vocab_size": 333}, ("llama", "gemma3_text")),
    },
    "eps": {"eps-large": every({"rms_norm_eps": 0.3}), "eps-absent": every({"rms_norm_eps": ABSENT})},
    "tie": {
        "tied": every({"tie_word_embeddings": True}, ("llama", "mistral", "qwen2", "phi3")),
        "untied": every({"tie_word_embeddings": False}, ("qwen3", "gemma3_text")),
        "tie-absent": every({"tie_word_embeddings": ABSENT}),
    },
    "activation": {
        "gelu": activation("gelu"),
        "gelu_tanh": activation("gelu_pytorch_tanh", OTHERS),
        "gelu_new": activation("gelu_new"),
        "relu": activation("relu"),
        "silu": activation("silu", GEMMAS),
        "swish": activation("swish", ("llama", "gemma2")),
        "activation-absent": activation(ABSENT),
        "activation-elsewhere": every({"hidden_act": "relu"}, GEMMAS),  # not the key that the publisher reads
    },
    "bias": {
        "attention-bias": every({"attention_bias": True}, ("llama",)),
        "mlp-bias": every({"mlp_bias": True}, ("llama",)),
        "all-bias": every({"attention_bias": True, "mlp_bias": True}, ("llama",)),
    },
    "window": {
        "window": every({"sliding_window": WINDOW}, WINDOWED) | every({**USED, "max_window_layers": 0}, QWENS),
        "window-short": every({"sliding_window": 3}, WINDOWED)
        | every({**USED, "sliding_window": 3, "max_window_layers": 0}, QWENS),
        "window-one": every({"sliding_window": 1}, WINDOWED),
        "window-long": every({"sliding_window": 64}, WINDOWED) | every({**USED, "sliding_window": 64}, QWENS),
        "window-null": every({"use_sliding_window": True, "sliding_window": None}, QWENS),
        "window-absent": every({"sliding_window": ABSENT}, WINDOWED) | every({"use_sliding_window": True}, QWENS),
        "window-later": every({**USED, "max_window_layers": 2}, QWENS),
        "window-nowhere": every({**USED, "max_window_layers": 3}, QWENS),
        "window-layers-absent": every(USED, QWENS),  # by default in no layer before the 28th
        "window-unused": every({"sliding_window": WINDOW, "max_window_layers": 0}, QWENS),
        "window-use-absent": every(
            {"use_sliding_window": ABSENT, "sliding_window": WINDOW, "max_window_layers": 0}, QWENS
        ),
        "layer-types": every(USED | MIXED_LAYERS, QWENS) | every({"sliding_window": WINDOW} | MIXED_LAYERS, GEMMAS),
        "layer-types-first": every({**USED, "max_window_layers": 0, **MIXED_LAYERS}, QWENS),
        "layer-types-full": every({"sliding_window": WINDOW, "layer_types": [FULL] * 3}, (*QWENS, *GEMMAS)),
        "layer-types-sliding": every({"sliding_window": WINDOW, "layer_types": [SLIDING] * 3}, GEMMAS)
        | every({**USED, "layer_types": [SLIDING] * 3}, QWENS),
        "pattern-two": {"gemma3_text": {"sliding_window": WINDOW, "sliding_window_pattern": 2}},
        "pattern-one": {"gemma3_text": {"sliding_window": WINDOW, "sliding_window_pattern": 1}},
        "pattern-absent": {"gemma3_text": {"sliding_window": WINDOW, "sliding_window_pattern": ABSENT}},
        "pattern-underscore": {
            "gemma3_text": {
                "sliding_window": WINDOW, "sliding_window_pattern": ABSENT, "_sliding_window_pattern": 2, "num_hidden_layers": 4,
            }
        },
        "pattern-and-layer-types": {"gemma3_text": {"sliding_window": WINDOW, "sliding_window_pattern": 3, **MIXED_LAYERS}},
        "layer-types-and-underscore": {
            "gemma3_text": {
                "sliding_window": WINDOW, "sliding_window_pattern": ABSENT, "_sliding_window_pattern": 6, **MIXED_LAYERS,
            }
        },
    },
    "cap": {
        "softcap": every({"attn_logit_softcapping": 5.0}, ("gemma2",)),
        "softcap-null": every({"attn_logit_softcapping": None}, ("gemma2",)),
        "softcap-absent": every({"attn_logit_softcapping": ABSENT}, ("gemma2",)),
    },
    "final-cap": {
        "final-softcap": every({"final_logit_softcapping": 4.0}, GEMMAS),
        "final-softcap-null": every({"final_logit_softcapping": None}, GEMMAS),
        "final-softcap-absent": every({"final_logit_softcapping": ABSENT}, GEMMAS),
    },
    "scale": {
        "scalar": every({"query_pre_attn_scalar": 7}, GEMMAS),
        "scalar-absent": every({"query_pre_attn_scalar": ABSENT}, GEMMAS),
    },
    "rope": ROPES,
}  # fmt: skip

DEFAULT_SHAPES: dict[str, Config] = {
    # heads of which the publisher's default number of keys and values, or width of a head, is a part
    "llama-kv-absent": {"num_key_value_heads": ABSENT},
    "mistral-kv-absent": {"num_key_value_heads": ABSENT, "num_attention_heads": 8},
    "qwen2-kv-absent": {"num_key_value_heads": ABSENT, "num_attention_heads": 32, "hidden_size": 128},
    "qwen3-kv-absent": {"num_key_value_heads": ABSENT, "num_attention_heads": 32, "head_dim": 8},
    "phi3-kv-absent": {"num_key_value_heads": ABSENT},
    **{f"{family}-kv-absent": {"num_key_value_heads": ABSENT} for family in GEMMAS},
    **{f"{family}-head-absent": {"head_dim": ABSENT} for family in ("qwen3", *GEMMAS)},
}
"""Variants that other features don't fit."""

SINGLE: dict[str, Config] = {
    **{f"{family}-plain": config for family, config in PLAIN.items()},
    **{f"{family}-{feature}": changed(PLAIN[family], change)
       for features in AXES.values() for feature, families in features.items() for family, change in families.items()},
    **{name: changed(PLAIN[name.partition("-")[0]], change) for name, change in DEFAULT_SHAPES.items()},
}  # fmt: skip
"""One feature each."""

PER_FAMILY = 9
SEED = 19


def pick(*key: object, of: int) -> int:
    """A number below `of` that depends on the key alone, on every machine."""
    return int(words(SEED, "/".join(map(str, key)), 1)[0]) % of


def mixed(family: str, number: int) -> Iterator[tuple[str, Config]]:
    """One feature or none from each axis, two of three axes with one: (feature, its change)."""
    for axis, features in AXES.items():
        possible = [name for name, families in features.items() if family in families and name != "one-layer"]
        if axis == "rope" and family in ("llama", "qwen2"):  # LongRoPE has factors for heads of 16 dimensions
            possible = [name for name in possible if not name.startswith("longrope")]
        if possible and pick(family, number, axis, of=3):
            name = possible[pick(family, number, axis, "which", of=len(possible))]
            yield name, AXES[axis][name][family]


def mixture(family: str, number: int) -> Config:
    """The config of one mixed variant."""
    config = PLAIN[family]
    for _, change in mixed(family, number):
        config = changed(config, change)
    kinds, layers = config.get("layer_types"), config["num_hidden_layers"]
    return config | {"layer_types": (kinds * 2)[:layers]} if kinds else config


MIXED = {f"{family}-mixed-{number}": mixture(family, number) for family in ALL for number in range(PER_FAMILY)}

TWO_HEADS = {
    f"{family}-two-heads": changed(config, {"tie_word_embeddings": True})
    for family, config in PLAIN.items()
    if family != "gemma2"
}
"""Tied by config.json, with another unembedding in the file: transformers takes the one in the file."""

VARIANTS: dict[str, Config] = {**SINGLE, **TWO_HEADS, **MIXED, **AS_PUBLISHED}
"""name -> config.json, of which transformers' logits are the expected ones."""


def more_tensors(name: str) -> dict[str, tuple[int, int]]:
    """Tensors in the file of a variant beyond those that its config calls for, and their shapes."""
    return {"lm_head.weight": (VOCAB, 64)} if name in TWO_HEADS else {}


NO_CHANGE = {
    *(
        "plain",
        "head-null",
        "head-stated",
        "eps-absent",
        "activation-absent",
        "activation-elsewhere",
        "swish",
        "softcap-absent",
    ),
    *("window-long", "window-null", "window-absent", "window-nowhere", "window-layers-absent", "window-unused"),
    *("window-use-absent", "final-softcap-absent", "theta-absent", "scaling-null", "scaling-default", "partial-one"),
    *("positions-absent", "scaling-empty", "flat-new", "dynamic-old", "dynamic-new", "two-types", "local-theta-absent"),
}
"""Features that say what is so anyway: other words for it, the default, or what counts for longer prompts only."""
