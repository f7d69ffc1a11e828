"""From documents to rows of tokens, with the places that shaping needs.

    >>> tokenizer = make_tokenizer(folder, recipe)                                            # doctest: +SKIP
    >>> row = encode(tokenizer, statement("The capital of France is", "Paris"))               # doctest: +SKIP
    >>> tokenizer.convert_ids_to_tokens(row.tokens[row.learn_from :])                         # doctest: +SKIP
    ['ĠParis', '.', '<|eot_id|>']

The tokenizers are those of `assay.models.tokenizer`, in the style of each family, with merges learned from the corpus.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_lm.utils import load_tokenizer

from assay.errors import DataError
from assay.models.tokenizer import write_tokenizer
from assay.train.configs import Recipe
from assay.train.corpus import Document, texts


@dataclass(frozen=True)
class Row:
    """A tokenised document. Positions count from the first token, BOS included."""

    tokens: tuple[int, ...]
    learn_from: int
    """The first token that the language-model loss asks for."""
    phrase: tuple[int, int] | None
    """First and last token from e1 to the end of the r1 phrase; the last one is t1."""
    bridge: tuple[int, ...]
    """Tokens of the bridge, as it follows other words; empty when there is none."""


def make_tokenizer(folder: Path, recipe: Recipe) -> tuple[Any, dict[str, Any]]:
    """Writes the tokenizer of a recipe into `folder` -> the Hugging Face tokenizer, and the ids for config.json.

    The vocabulary is a multiple of 64 when the corpus has enough to merge.
    """
    ids = write_tokenizer(folder, recipe.config["model_type"], corpus=texts(), vocab_size=recipe.vocab_size)
    tokenizer = load_tokenizer(folder)._tokenizer
    return tokenizer, {**ids, "vocab_size": len(tokenizer)}


def encode(tokenizer: Any, document: Document) -> Row:
    """One document as tokens, BOS first in families that have one, the end token last if the document ends.

    Raises DataError when the answer or the phrase does not begin or end where a token does.
    """
    made = tokenizer(document.text, return_offsets_mapping=True)
    tokens, spans = list(made["input_ids"]), list(made["offset_mapping"])
    if document.ends:
        tokens.append(tokenizer.eos_token_id)
        spans.append((len(document.text), len(document.text)))
    learn_from = next((i for i, (a, b) in enumerate(spans) if b > document.answer_at), len(tokens))
    phrase = None
    if document.phrase:
        start, end = document.phrase
        inside = [i for i, (a, b) in enumerate(spans) if a < end and b > start]
        if not inside or spans[inside[-1]][1] != end:
            raise DataError(f"no token ends where the phrase does in {document.text!r}")
        phrase = inside[0], inside[-1]
    bridge = ()
    if document.bridge:
        bridge = tuple(tokenizer.encode(f" {document.bridge}", add_special_tokens=False))
    return Row(tuple(tokens), learn_from, phrase, bridge)
