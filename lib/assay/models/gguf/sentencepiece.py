"""SentencePiece's BPE from a GGUF file: merges from scores, "▁" for spaces, bytes for characters without a token.

    >>> found = Vocabulary(["▁", "i", "n", "in"], [NORMAL] * 4, [0.0, -2.0, -3.0, -1.0], None, {})
    >>> pieces = pieces_of(found)
    >>> merges(pieces)
    [('i', 'n')]
    >>> normalizer(pieces).normalize_str("in in")
    '▁in▁in'

A SentencePiece model has no merges, only **pieces** with scores: of all neighbours that form a piece, those that form the
piece of the highest score are merged first. The same in merges, as the publishers' tokenizer.json files have it: every cut
of a piece into two pieces, in the order of the scores. Two **styles** exist:

- Llama (Llama 2, Mistral, Phi-3): "▁" is put before every text, and before what follows a special token; decoding
  takes one space off the front. Mistral v0.3, whose [INST] is a token, puts it before the text only, and only if the
  text does not begin with a space: in "[INST] hi", what follows the token is " hi" as it stands.
- Gemma: text stays as it is. Merges have the order of the pieces in the vocabulary, since runs of spaces, which are
  user-defined pieces without a score, are merged before any word.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.errors import CheckpointError
from assay.models.gguf.vocabulary import BYTE, CONTROL, NORMAL, UNUSED, USER_DEFINED, Vocabulary

if TYPE_CHECKING:
    from tokenizers.decoders import Decoder
    from tokenizers.normalizers import Normalizer
    from tokenizers.pre_tokenizers import PreTokenizer

SPACE = "▁"
INST = "[INST]"


@dataclass(frozen=True)
class Pieces:
    """A SentencePiece vocabulary, with the settings that follow from the file's flags and architecture."""

    tokens: list[str]
    """As the published tokenizer.json spells them."""
    vocabulary: Vocabulary
    gemma: bool
    prefix: bool
    """A space is put before the text."""
    once: bool
    """That space is put at the start of the text only, and not before another space."""
    squeeze: bool
    """Spaces at both ends are dropped, several in a row become one."""
    bytes: bool
    """A character without a token becomes its bytes in UTF-8, else the unknown token."""


def pieces_of(vocabulary: Vocabulary) -> Pieces:
    """The pieces, with flags of the file and, where it says nothing, llama.cpp's defaults (a space before the text).

    Raises CheckpointError if the file has neither scores nor merges.
    """
    if vocabulary.scores is None and vocabulary.merges is None:
        raise CheckpointError("the file has neither tokenizer.ggml.scores nor merges: nothing says how pieces combine")
    gemma = str(vocabulary.metadata.get("general.architecture", "")).startswith("gemma")
    prefix = vocabulary.flag("add_space_prefix")
    # Converters write user-defined tokens with spaces, for programs that find these tokens before "▁" replaces spaces.
    tokens = [
        token.replace(" ", SPACE) if kind == USER_DEFINED else token
        for token, kind in zip(vocabulary.tokens, vocabulary.types, strict=True)
    ]
    if len(set(tokens)) != len(tokens):
        raise CheckpointError("two tokens of the vocabulary differ only in ' ' and '▁': text could mean either")
    return Pieces(
        tokens=tokens,
        vocabulary=vocabulary,
        gemma=gemma,
        prefix=not gemma if prefix is None else prefix,
        once=(INST, CONTROL) in zip(vocabulary.tokens, vocabulary.types, strict=True),
        squeeze=bool(vocabulary.flag("remove_extra_whitespaces")),
        bytes=BYTE in vocabulary.types,
    )


def merges(pieces: Pieces) -> list[tuple[str, str]]:
    """Every cut of a piece into two pieces, in the order of merging. A file's own merges are returned unchanged.

    Cuts of one piece are ordered by the ids of the halves (Llama), or by a longer first half (Gemma), as in each family's
    published file; this order matters only in runs of one character.
    """
    vocabulary = pieces.vocabulary
    scores = vocabulary.scores
    if vocabulary.merges is not None or scores is None:
        return vocabulary.merges or []
    ids = {
        token: i
        for i, (token, kind) in enumerate(zip(pieces.tokens, vocabulary.types, strict=True))
        if kind in (NORMAL, USER_DEFINED, UNUSED)
    }
    order = sorted(ids.values(), key=(lambda i: i) if pieces.gemma else (lambda i: -scores[i]))
    found: list[tuple[str, str]] = []
    for i in order:
        piece = pieces.tokens[i]
        cuts = [
            (left, right)
            for k in range(len(piece) - 1, 0, -1)
            if (left := piece[:k]) in ids and (right := piece[k:]) in ids
        ]
        found += cuts if pieces.gemma else sorted(cuts, key=lambda cut: (ids[cut[0]], ids[cut[1]]))
    return found


def normalizer(pieces: Pieces) -> "Normalizer":
    """Turns a text into the characters of the pieces, with "▁" for spaces."""
    from tokenizers import Regex, normalizers

    steps: list[Normalizer] = []
    if pieces.squeeze:
        steps += [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if pieces.prefix and not pieces.once:
        steps.append(normalizers.Prepend(SPACE))
    return normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])


def pre_tokenizer(pieces: Pieces) -> "PreTokenizer | None":
    """Puts the prefix before the text where `once` is set, without cutting the text into words; else None."""
    from tokenizers import pre_tokenizers

    return (
        pre_tokenizers.Metaspace(SPACE, prepend_scheme="first", split=False) if pieces.prefix and pieces.once else None
    )


def decoder(pieces: Pieces) -> "Decoder":
    """Turns pieces into text."""
    from tokenizers import decoders

    steps: list[Decoder] = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if pieces.prefix else steps)
