"""Tokenizers as models were published with them, small, and the GGUF metadata that a converter makes of each.

    tokenizer = byte_level("llama-bpe")       # trained on a few texts; its rules are those of Llama 3's tokenizer.json
    metadata = gguf_of(tokenizer, "llama-bpe")

`PUBLISHED` has, for each name of a rule, `normalizer` and `pre_tokenizer` of a tokenizer.json that files of this name
were made from, written down as it stands there; nothing is imported from the library.
"""

import json
from functools import cache
from typing import Any

from texts import WRITTEN
from tokenizers import AddedToken, Tokenizer, pre_tokenizers, trainers

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
NEMO = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK_CHARACTERS = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split(pattern: str, behavior: str = "Isolated", invert: bool = False) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def byte_step(use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


DIGITS = {"type": "Digits", "individual_digits": True}

STEPS: dict[str, list[dict[str, Any]]] = {
    "gpt-2": [byte_step(True)],
    "smollm": [DIGITS, byte_step(True)],
    "llama-bpe": [split(LLAMA3), byte_step(False)],
    "dbrx": [split(LLAMA3, "Removed", invert=True), byte_step(False)],
    "qwen2": [split(QWEN2), byte_step(False)],
    "qwen35": [split(QWEN35), byte_step(False)],
    "gpt-4o": [split(O200K, "Removed", invert=True), byte_step(False)],
    "tekken": [split(NEMO), byte_step(False)],
    "deepseek-coder": [
        *map(split, ("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+")),
        DIGITS,
        byte_step(False),
    ],
    "deepseek-v3": [*map(split, (r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK_CHARACTERS)), byte_step(False)],
}
NFC = {"qwen2", "qwen35"}
IGNORE_MERGES = {"llama-bpe", "tekken"}
SAME = {
    "default": "gpt-2",
    "starcoder": "smollm",
    "refact": "smollm",
    "deepseek-r1-qwen": "qwen2",
    "llama3": "llama-bpe",
    "llama-v3": "llama-bpe",
    "smaug-bpe": "dbrx",
}
"""Other names for the same rule."""
SPECIALS = ("<|begin|>", "<|end|>", "<|turn|>")
PLAIN = ("<tool>", "</tool>")


@cache
def byte_level(name: str) -> Tokenizer:
    """A small tokenizer whose rules are the published ones of `name`, with special and other added tokens."""
    rules = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "NFC"} if name in NFC else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": STEPS[name]},
        "decoder": byte_step(True),
        "model": {"type": "BPE", "vocab": {}, "merges": []},
    }
    tokenizer = Tokenizer.from_str(json.dumps(rules))
    trainer = trainers.BpeTrainer(
        vocab_size=1200,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIALS],
        show_progress=False,
    )
    tokenizer.train_from_iterator(WRITTEN, trainer)
    if name in IGNORE_MERGES:  # and a token that no merges lead to, which shows it
        rules = json.loads(tokenizer.to_str())
        rules["model"]["ignore_merges"] = True
        rules["model"]["vocab"] |= {"ĠUnreached": 1200}
        tokenizer = Tokenizer.from_str(json.dumps(rules))
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in PLAIN])
    return tokenizer


def gguf_of(tokenizer: Tokenizer, name: str | None, architecture: str = "llama") -> dict[str, Any]:
    """What a converter writes into a GGUF file for `tokenizer`."""
    rules = json.loads(tokenizer.to_str())
    vocab = tokenizer.get_vocab(with_added_tokens=True)
    tokens = sorted(vocab, key=vocab.__getitem__)
    metadata = {
        "general.architecture": architecture,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": name,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if t in SPECIALS else 4 if t in PLAIN else 1 for t in tokens],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in rules["model"]["merges"]],
        "tokenizer.ggml.bos_token_id": vocab["<|begin|>"],
        "tokenizer.ggml.eos_token_id": vocab["<|end|>"],
    }
    return {key: value for key, value in metadata.items() if value is not None}
