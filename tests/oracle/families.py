"""The plain model of each family: config.json as its publisher writes it, of a size that runs in milliseconds.

    PLAIN["mistral"]                                         # three layers of width 64, four heads on two, no window
    changed(PLAIN["mistral"], {"sliding_window": WINDOW})    # one key changed
    changed(PLAIN["llama"], {"rope_theta": ABSENT})          # one key left out: the publisher's default counts

Heads of Gemma are wider than hidden_size / heads and its scale is not 1 / sqrt(head_dim), so that neither can be taken for
the other. The plain models have no windows that bite and no scaled rotation; `variants` puts them in, one at a time.
"""

from typing import Any

Config = dict[str, Any]

ABSENT: Any = object()
"""The value of a key that is to be left out of config.json."""

VOCAB = 320
WINDOW = 8
LENGTHS = (1, 2, WINDOW, WINDOW + 1, 2 * WINDOW + 1)
"""Tokens of the prompts that every variant reads; the last is the long one, of which all positions are compared."""

_SIZES: Config = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCAB,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 512,
    "rope_theta": 10000.0,
}
_GEMMA: Config = {**_SIZES, "head_dim": 32, "query_pre_attn_scalar": 24, "hidden_activation": "gelu_pytorch_tanh"}

PLAIN: dict[str, Config] = {
    "llama": {**_SIZES, "hidden_act": "silu", "tie_word_embeddings": False},
    "mistral": {**_SIZES, "hidden_act": "silu", "tie_word_embeddings": False, "sliding_window": None},
    "qwen2": {**_SIZES, "hidden_act": "silu", "tie_word_embeddings": False, "use_sliding_window": False},
    "qwen3": {
        **_SIZES, "hidden_act": "silu", "tie_word_embeddings": True, "use_sliding_window": False, "head_dim": 32,
    },
    "gemma2": {
        **_GEMMA, "tie_word_embeddings": True, "sliding_window": 4096, "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    },
    "gemma3_text": {
        **_GEMMA, "tie_word_embeddings": True, "sliding_window": 512, "sliding_window_pattern": 3,
        "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
    },
    "phi3": {**_SIZES, "hidden_act": "silu", "tie_word_embeddings": False, "sliding_window": None},
}  # fmt: skip
for _family, _config in PLAIN.items():
    PLAIN[_family] = {"model_type": _family, **_config}

ALL = tuple(PLAIN)
GEMMAS = ("gemma2", "gemma3_text")
OTHERS = tuple(family for family in ALL if family not in GEMMAS)


def changed(config: Config, changes: Config) -> Config:
    """A config with some keys set, and those that are `ABSENT` left out."""
    return {key: value for key, value in {**config, **changes}.items() if value is not ABSENT}


def activation_key(family: str) -> str:
    """The key that names the activation of a family's MLP."""
    return "hidden_activation" if family in GEMMAS else "hidden_act"


def prompt(length: int, vocab: int = VOCAB) -> list[int]:
    """Token ids of the prompt of this length: none is a special token, few repeat."""
    return [8 + (length * 101 + i * i * 17 + i * 5) % (min(vocab, VOCAB) - 8) for i in range(length)]
