"""The vocabulary in a GGUF file's metadata, checked: all lists have one length, all ids are in range, no token is repeated.

    >>> tokens = {"tokens": ["<pad>", "<eos>", "a"], "token_type": [CONTROL, CONTROL, NORMAL], "eos_token_id": 1}
    >>> vocabulary = read({PREFIX + key: value for key, value in tokens.items()})
    >>> vocabulary.id("eos"), vocabulary.id("bos"), vocabulary.flag("add_bos_token")     # None: the file does not say
    (1, None, None)

All keys begin with `tokenizer.ggml.`; messages give the whole key. A token's **type** is its purpose: normal text, a
byte that has no other token, a marker that the user of a chat cannot write (control), a piece of text that is always
one token (user-defined), nothing (unused).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.errors import CheckpointError, unknown

PREFIX = "tokenizer.ggml."
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

IDS = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "eot": "eot_token_id",
    "eom": "eom_token_id",
    "unknown": "unknown_token_id",
    "pad": "padding_token_id",
}
"""The key with the id of the token that has a role, by assay's name for the role."""

SENTENCEPIECE_IDS = {"bos": 1, "eos": 2, "unknown": 0}
"""Ids that a SentencePiece vocabulary (`tokenizer.ggml.model` = llama) need not state: defaults of its trainer and llama.cpp."""

REFUSED = {
    "precompiled_charsmap": "characters are replaced by a table before anything else",
    "add_sep_token": "a separator is put behind every text",
    "normalizer.lowercase": "text is put into lower case",
    "normalizer.strip_accents": "accents are taken off",
    "suppress_tokens": "some tokens are never generated",
}
"""Settings of a tokenizer that are not supported here, unless their value is empty or false."""

KNOWN = {
    *IDS.values(),
    *("model", "pre", "tokens", "token_type", "scores", "merges"),
    *("add_bos_token", "add_eos_token", "add_space_prefix", "remove_extra_whitespaces"),
}
HARMLESS = {
    "token_type_count": "of segments, in encoders",
    "seperator_token_id": "a role that no generation needs",
    "separator_token_id": "the same, spelled right",
    "cls_token_id": "a role that no generation needs",
    "mask_token_id": "a role that no generation needs",
    "added_tokens": "says which tokens came last into the vocabulary",
}
"""Other keys, and why text and generation are the same without them."""
INFILL = re.compile(r"(fim_\w+|prefix|suffix|middle)_token_id")
"""Markers for infilling."""

NOUNS = {str: "strings", int: "whole numbers", float: "numbers"}


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id, with their types, scores and merges, and the file's other settings."""

    tokens: list[str]
    types: list[int]
    """One of NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE for each token."""
    scores: list[float] | None
    """Scores of SentencePiece: a piece with a higher score is merged earlier."""
    merges: list[tuple[str, str]] | None
    """Pairs of tokens that become one, in the order of merging."""
    metadata: Mapping[str, Any]

    def id(self, role: str) -> int | None:
        """The id of the token with a role of `IDS`, or None. Raises CheckpointError for an id outside the vocabulary."""
        key = PREFIX + IDS[role]
        value = self.metadata.get(key)
        if value is None and self.metadata.get(PREFIX + "model") == "llama":
            default = SENTENCEPIECE_IDS.get(role, len(self.tokens))
            return default if self.types[default : default + 1] in ([CONTROL], [UNKNOWN]) else None
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(self.tokens):
            raise CheckpointError(f"{key} is {value!r}, and the vocabulary has the ids 0 to {len(self.tokens) - 1}")
        return value

    def flag(self, name: str) -> bool | None:
        """A boolean of the file; None if the file does not have it."""
        value = self.metadata.get(PREFIX + name)
        if value is not None and not isinstance(value, bool):
            raise CheckpointError(f"{PREFIX}{name} should be true or false, and is {value!r}")
        return value

    @property
    def padding(self) -> set[int]:
        """Ids that only fill up the embedding: converters call such a token [PAD<id>]. No text and no model uses them."""
        return {i for i, token in enumerate(self.tokens) if self.types[i] == UNUSED and token == f"[PAD{i}]"}


def read(metadata: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary. Raises CheckpointError for a list that is missing or too long, a repeated token and a `REFUSED` setting."""
    for name, wish in REFUSED.items():
        if metadata.get(PREFIX + name):
            raise CheckpointError(f"this tokenizer is not supported: {wish} ({PREFIX}{name})")
    for name in (key.removeprefix(PREFIX) for key in metadata if key.startswith(PREFIX)):
        if name not in KNOWN | HARMLESS.keys() | REFUSED.keys() and not INFILL.fullmatch(name):
            raise unknown(
                CheckpointError, "key of a tokenizer", PREFIX + name, [PREFIX + known for known in sorted(KNOWN)]
            )
    tokens = _list(metadata, "tokens", str)
    if not tokens:
        raise CheckpointError(f"the file has no tokens: {PREFIX}tokens is missing or empty, so no text can be encoded")
    count = len(tokens)
    types = _list(metadata, "token_type", int, count)
    if types is None:
        types = [NORMAL] * count
    if strange := sorted(set(types) - {NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE}):
        raise CheckpointError(f"{PREFIX}token_type has types 1 to 6, and here also {strange}")
    if len(set(tokens)) != count:
        first = {token: i for i, token in reversed(list(enumerate(tokens)))}
        twice = next((token, first[token], i) for i, token in enumerate(tokens) if first[token] != i)
        raise CheckpointError(f"the token {twice[0]!r} has two ids, {twice[1]} and {twice[2]}: text could mean either")
    merges = _list(metadata, "merges", str)
    return Vocabulary(
        tokens=tokens,
        types=types,
        scores=_list(metadata, "scores", float, count),
        merges=None if merges is None else _pairs(merges, set(tokens)),
        metadata=metadata,
    )


def _list(metadata: Mapping[str, Any], name: str, kind: type, length: int | None = None) -> list | None:
    """The list `name`, or None. Raises CheckpointError unless its items are of type `kind` and as many as `length`."""
    value = metadata.get(PREFIX + name)
    if value is None:
        return None
    kinds = (float, int) if kind is float else (kind,)
    if not isinstance(value, list | tuple) or not all(type(item) in kinds for item in value):
        raise CheckpointError(f"{PREFIX}{name} should be a list of {NOUNS[kind]}, and is something else")
    if length is not None and len(value) != length:
        raise CheckpointError(f"{PREFIX}{name} has {len(value)} entries and the vocabulary {length} tokens")
    return list(value)


def _pairs(merges: list[str], tokens: set[str]) -> list[tuple[str, str]]:
    """Each merge as its two tokens; both tokens and the merged one must be in the vocabulary.

    The space between the two is never the first character: a token may begin with one.
    """
    pairs = []
    for i, merge in enumerate(merges):
        cut = merge.find(" ", 1)
        left, right = merge[:cut], merge[cut + 1 :]
        if cut < 0 or not right:
            raise CheckpointError(f"merge {i} should be two tokens with a space between them, and is {merge!r}")
        for token in (left, right, left + right):
            if token not in tokens:
                raise CheckpointError(f"merge {i} ({merge!r}) needs the token {token!r}, which the vocabulary lacks")
        pairs.append((left, right))
    return pairs
