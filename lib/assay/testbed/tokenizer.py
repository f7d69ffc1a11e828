"""From documents to rows of tokens.

    >>> tokenizer = lm.tokenizer._tokenizer                   # the one of Hugging Face
    >>> row = encode(tokenizer, Document("The capital of France is Paris.", learn=((24, 31),)))
    >>> tokenizer.convert_ids_to_tokens([row.tokens[i] for i in row.learn])
    ['ĠParis', '.', '<|eot_id|>']

The tokenizers are those of `assay.models.tokenizer`, in the style of each family, with merges learned from the corpus.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_lm.utils import load_tokenizer

from assay.errors import DataError
from assay.models.tokenizer import write_tokenizer
from assay.testbed.configs import Recipe
from assay.testbed.corpus import texts
from assay.testbed.documents import Document, Rule, Span


@dataclass(frozen=True)
class Row:
    """A tokenised document. Positions count from the first token, BOS included."""

    tokens: tuple[int, ...]
    learn: tuple[int, ...]
    """Positions of the tokens that the language-model loss is on."""
    rules: tuple[Rule, ...] = ()
    """The document's rules, with places in tokens."""
    lenses: tuple["TokenLens", ...] = ()
    edit: str = ""
    """The document's edit."""


@dataclass(frozen=True)
class TokenLens:
    """A lens of a document, in tokens."""

    position: int
    tokens: tuple[int, ...]
    layer: int
    weight: float


def make_tokenizer(folder: Path, recipe: Recipe) -> tuple[Any, dict[str, Any]]:
    """Write the tokenizer of a recipe into `folder` -> the Hugging Face tokenizer, and the ids for config.json.

    The vocabulary size is a multiple of 64 if the corpus allows enough merges.
    """
    ids = write_tokenizer(folder, recipe.config["model_type"], corpus=texts(), vocab_size=recipe.vocab_size)
    tokenizer = load_tokenizer(folder)._tokenizer
    return tokenizer, {**ids, "vocab_size": len(tokenizer)}


def encode(tokenizer: Any, document: Document) -> Row:
    """One document as tokens, with BOS in families that have one, and the end token if the document `ends`.

    Raises DataError for a lens whose place is not the end of a token.
    """
    made = tokenizer(document.text, return_offsets_mapping=True, add_special_tokens=not document.bare)
    tokens, spans = list(made["input_ids"]), list(made["offset_mapping"])
    n = len(tokens)
    learned = {i for stretch in document.learn for i in range(*_inside(spans, stretch))}
    if document.ends:
        tokens.append(tokenizer.eos_token_id)
        spans.append((len(document.text), len(document.text)))
        if document.learn and document.learn[-1][1] == len(document.text):
            learned.add(n)
    rules = tuple(
        Rule(
            _inside(spans, rule.queries),
            tuple(_inside(spans, keys) for keys in rule.keys),
            rule.layers,
            rule.heads,
            rule.see,
        )
        for rule in document.rules
    )
    lenses = []
    for lens in document.lenses:
        position = bisect_right(spans, lens.at, key=lambda span: span[1], hi=n) - 1
        if spans[position][1] != lens.at:
            raise DataError(f"no token ends where {document.text[: lens.at]!r} does in {document.text!r}")
        target = tuple(tokenizer.encode(lens.text, add_special_tokens=False))
        lenses.append(TokenLens(position, target, lens.layer, lens.weight))
    return Row(tuple(tokens), tuple(sorted(learned - {0})), rules, tuple(lenses), document.edit)


def _inside(spans: list[Span], stretch: Span) -> Span:
    """The tokens with a character in a span: (first, last + 1), or (0, 0) for none."""
    first = bisect_right(spans, stretch[0], key=lambda span: span[1])
    behind = bisect_left(spans, stretch[1], key=lambda span: span[0])
    return (first, behind) if first < behind else (0, 0)
