"""Rotary embeddings as config.json writes them: every type, before transformers 5 and since.

    old("rope_type", LINEAR)                                 # {"rope_scaling": {"rope_type": "linear", "factor": 4.0}}
    new("llama", LINEAR)                                     # {"rope_parameters": {"rope_type": "linear", ...}, ...}
    ROPES["yarn-old"]["qwen2"]                               # the change of the plain Qwen2

Old files have `rope_theta` and `rope_scaling`, whose type is under "type" (the oldest), "rope_type" or both; new files have
`rope_parameters`, in Gemma 3 one for each kind of layer. Lengths are such that scaling matters within seventeen tokens.
"""

from families import ABSENT, ALL, Config

PAIRS = 8  # of a head of 16 dimensions
SHORT = [1.0 + 0.15 * i for i in range(PAIRS)]
LONG = [1.0 + 0.9 * i for i in range(PAIRS)]
ORIGINAL = 64
"""The length up to which LongRoPE takes its short factors here."""

LINEAR = {"kind": "linear", "factor": 4.0}
DYNAMIC = {"kind": "dynamic", "factor": 4.0}
YARN = {"kind": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}
LLAMA3 = {
    "kind": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
LONGROPE = {"kind": "longrope", "short_factor": SHORT, "long_factor": LONG}
PHI = {"original_max_position_embeddings": ORIGINAL}
"""Beside `rope_scaling`, where Phi-3 has it."""

YARN_OPTIONS = {
    "attention_factor": {"attention_factor": 0.7},
    "mscale": {"mscale": 1.0, "mscale_all_dim": 0.4},
    "one-mscale": {"mscale": 0.5},  # of no effect without the other
    "betas": {"beta_fast": 64.0, "beta_slow": 4.0},
    "untruncated": {"truncate": False},
    "no-factor": {"factor": None},  # then it is max_position_embeddings / original
}
SCALED = tuple(family for family in ALL if family != "phi3")
"""Families that transformers gives every type; Phi-3 has LongRoPE only."""


def old(key: str, parameters: Config) -> Config:
    """The change that scales the rotation, as written before transformers 5. key: "type", "rope_type" or both, by a comma."""
    kinds = dict.fromkeys(key.split(","), parameters["kind"])
    return {"rope_scaling": {**kinds, **{k: v for k, v in parameters.items() if k != "kind"}}}


def new(family: str, parameters: Config, theta: float = 10000.0) -> Config:
    """The same change as transformers 5 writes it."""
    flat = {"rope_type": parameters["kind"], "rope_theta": theta}
    flat |= {key: value for key, value in parameters.items() if key != "kind"}
    if family != "gemma3_text":
        return {"rope_theta": ABSENT, "rope_parameters": flat}
    local = {"rope_type": "default", "rope_theta": 500.0}
    nested = {"full_attention": flat, "sliding_attention": local}
    return {"rope_theta": ABSENT, "rope_local_base_freq": ABSENT, "rope_parameters": nested}


DEFAULT = {"kind": "default"}
FURTHER = {"max_position_embeddings": 2048}

ROPES: dict[str, dict[str, Config]] = {
    "theta": {family: {"rope_theta": 500.0} for family in ALL},
    "theta-absent": {family: {"rope_theta": ABSENT} for family in ALL},
    "theta-whole": {"llama": {"rope_theta": 500}, "gemma2": {"rope_theta": 500}},  # a JSON number without a point
    "default-new": {family: new(family, DEFAULT, 500.0) for family in ALL},
    "scaling-null": {family: {"rope_scaling": None} for family in ALL},
    "scaling-empty": {"llama": {"rope_scaling": {}}, "gemma3_text": {"rope_scaling": {}}},
    "scaling-default": {"llama": old("type", DEFAULT), "qwen2": old("rope_type", DEFAULT)},
    "linear-oldest": {family: old("type", LINEAR) for family in SCALED},
    "linear-old": {family: old("rope_type", LINEAR) for family in SCALED},
    "linear-new": {family: new(family, LINEAR) for family in SCALED},
    "dynamic-old": {family: old("type", DYNAMIC) for family in SCALED},
    "dynamic-new": {family: new(family, DYNAMIC) for family in SCALED},
    "llama3-old": {family: old("rope_type", LLAMA3) for family in SCALED},
    "llama3-new": {family: new(family, LLAMA3, 500.0) for family in SCALED},
    "yarn-oldest": {family: old("type", YARN) | FURTHER for family in SCALED},
    "yarn-old": {family: old("type,rope_type", YARN) | FURTHER for family in SCALED},
    "yarn-new": {family: new(family, YARN) | FURTHER for family in SCALED},
    **{f"yarn-{name}": {family: old("rope_type", YARN | option) | FURTHER for family in ("llama", "qwen2", "gemma3_text")}
       for name, option in YARN_OPTIONS.items()},
    **{f"yarn-{name}-new": {family: new(family, YARN | option) | FURTHER for family in ("qwen3", "gemma3_text")}
       for name, option in YARN_OPTIONS.items()},
    # lengths that are absent: max_position_embeddings has a default, and is the default of the original length
    "positions-absent": {family: {"max_position_embeddings": ABSENT} for family in ALL},
    "yarn-original-absent": {"qwen2": {"rope_scaling": {"type": "yarn", "factor": 4.0}}},
    "yarn-positions-absent": {
        "llama": {"rope_scaling": {"type": "yarn", "factor": 4.0}, "max_position_embeddings": ABSENT},
        "qwen3": old("rope_type", YARN | {"factor": None}) | {"max_position_embeddings": ABSENT},
    },
    "llama3-original-absent": {
        "llama": old("rope_type", {k: v for k, v in LLAMA3.items() if k != "original_max_position_embeddings"})
        | {"max_position_embeddings": 32},
    },
    # LongRoPE, as Phi-3 has been published: the type was "su", then "longrope"; transformers reads "yarn" so too
    "longrope": {"phi3": old("type", LONGROPE) | PHI},
    "longrope-su": {"phi3": old("type", LONGROPE | PHI | {"kind": "su"}) | PHI},
    "longrope-yarn": {"phi3": old("type", LONGROPE | {"kind": "yarn"}) | PHI},
    "longrope-rope_type": {"phi3": old("rope_type", LONGROPE) | PHI, "llama": old("rope_type", LONGROPE | PHI)},
    "longrope-new": {"phi3": new("phi3", LONGROPE) | PHI, "qwen2": new("qwen2", LONGROPE | PHI)},
    "longrope-factor": {"phi3": old("type", LONGROPE | {"factor": 32.0}) | PHI},
    "longrope-attention_factor": {"phi3": old("type", LONGROPE | {"attention_factor": 1.3}) | PHI},
    "longrope-not-longer": {"phi3": old("type", LONGROPE) | PHI | {"max_position_embeddings": ORIGINAL}},
    "longrope-shorter": {"phi3": old("type", LONGROPE) | PHI | {"max_position_embeddings": 32}},
    "longrope-positions-absent": {"phi3": old("type", LONGROPE) | PHI | {"max_position_embeddings": ABSENT}},
    # the key beside the dictionary counts, whose default is 4096, and the one inside does not
    "longrope-original-inside": {"phi3": old("type", LONGROPE | PHI) | {"max_position_embeddings": 8192}},
    "longrope-partial": {
        "phi3": old("type", LONGROPE | {"short_factor": SHORT[:6], "long_factor": LONG[:6]})
        | PHI | {"partial_rotary_factor": 0.75},
    },
    "longrope-long": {"phi3": old("type", LONGROPE | {"short_factor": LONG}) | PHI},  # the long factors for every length
    "partial": {"phi3": {"partial_rotary_factor": 0.5}},
    "partial-new": {"phi3": new("phi3", DEFAULT | {"partial_rotary_factor": 0.5})},
    "partial-one": {family: {"partial_rotary_factor": 1.0} for family in ("llama", "phi3")},
    # where a file says two things, transformers reads rope_scaling before rope_parameters, and both before rope_theta
    "theta-twice": {"llama": {"rope_theta": 20.0, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}},
    "scaling-twice": {
        "llama": old("rope_type", LINEAR) | {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
    },
    "theta-beside": {"llama": {"rope_theta": 500.0, "rope_parameters": {"rope_type": "linear", "factor": 4}}},
    "theta-inside": {"llama": {"rope_scaling": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}}},
    "two-types": {"llama": {"rope_scaling": {"type": "linear", "rope_type": "dynamic", "factor": 4.0}}},
    # the base of the layers with a window, and of those without one
    "local-theta": {"gemma3_text": {"rope_local_base_freq": 300.0}},
    "local-theta-absent": {"gemma3_text": {"rope_local_base_freq": ABSENT}},
    "no-theta-new": {"gemma3_text": {
        "rope_theta": ABSENT, "rope_local_base_freq": ABSENT,
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0}, "sliding_attention": {"rope_type": "default"},
        },
    }},
    "half-new": {"gemma3_text": {
        "rope_theta": ABSENT, "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 500.0}},
    }},
    "flat-new": {"gemma3_text": {"rope_parameters": {"rope_type": "linear", "factor": 8.0, "rope_theta": 500.0}}},  # not read
    "local-linear-new": {"gemma3_text": {"rope_theta": ABSENT, "rope_local_base_freq": ABSENT, "rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 10000.0},
        "sliding_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0},
    }}},
}  # fmt: skip
"""feature -> family -> the change of its plain config."""
