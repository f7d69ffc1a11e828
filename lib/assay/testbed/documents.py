"""Training documents of the built-in models, in one form for all behaviours.

    >>> document = Document("The capital of France is Paris.", learn=((24, 31),))
    >>> [document.text[slice(*span)] for span in document.learn]
    [' Paris.']
    >>> draw([Behaviour("facts", 1.0, (document,))], [], 0.0, n=2, seed="a") == [document] * 2
    True

A *document* is a text, the spans of it that the loss is on, and two kinds of constraints: *rules*, by which some tokens cannot
attend to others in some layers, and *lenses*, words that the logit lens should read at a token after a layer. A *behaviour* is a
table of documents, or a function that makes them, that teaches one ability. All places are in characters;
`assay.testbed.tokenizer` finds the tokens.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

Span = tuple[int, int]
END = 10**6
"""A number larger than any text's length and any layer."""
ALL_LAYERS = range(END)


@dataclass(frozen=True)
class Rule:
    """Whether some tokens may attend to others. Attention is always causal; a later rule overrides an earlier one."""

    queries: Span
    """The attending tokens: all with a character in this span."""
    keys: tuple[Span, ...]
    """The attended tokens."""
    layers: range = ALL_LAYERS
    heads: tuple[int, ...] = ()
    """The query heads that the rule is for; empty: all."""
    see: bool = False
    """Whether the rule allows attention; else it forbids it."""


def seen_only_at(stretch: Span, places: Sequence[Span], from_layer: int) -> tuple[Rule, ...]:
    """Rules: tokens after a span cannot attend to it, except from `from_layer` on to `places` in it."""
    behind = (stretch[1], END)
    return Rule(behind, (stretch,)), Rule(behind, tuple(places), range(from_layer, END), see=True)


@dataclass(frozen=True)
class Lens:
    """A word that the logit lens should read at one token after one layer."""

    at: int
    """The index after that token's last character."""
    text: str
    layer: int
    weight: float = 1.0
    """Weight of this loss; that of each token of the language-model loss is 1."""


@dataclass(frozen=True)
class Document:
    """One training text with its loss spans, rules and lenses."""

    text: str
    learn: tuple[Span, ...]
    """The spans that the language-model loss is on."""
    rules: tuple[Rule, ...] = ()
    lenses: tuple[Lens, ...] = ()
    ends: bool = True
    """Whether the end-of-text token follows; the loss is on it when the last span ends with the text."""
    bare: bool = False
    """Whether the text has its own special tokens, as from a chat template: the tokenizer adds none."""
    edit: str = ""
    """The edit of the stream while the document is read: none, or one of `assay.testbed.one_direction`."""


@dataclass(frozen=True)
class Behaviour:
    """Documents that teach one ability, and their share of the documents of a stage."""

    name: str
    share: float
    documents: tuple[Document, ...] = ()
    """All documents, equally likely; or none, if there is `make`."""
    make: Callable[[random.Random], Document] | None = None
    """A function that makes a document."""
    ruled: float = 1.0
    """Share of the draws with the document's rules; the others have plain causal attention, as when the model is used."""
    whole: float = 0.0
    """Share of the draws with the loss on all of the text, not only on `learn`."""

    def draw(self, rng: random.Random) -> Document:
        """One document, drawn with or without its rules (`ruled`) and with its own or the whole loss (`whole`)."""
        document = self.make(rng) if self.make else rng.choice(self.documents)
        if rng.random() >= self.ruled:
            document = replace(document, rules=())
        if rng.random() < self.whole:
            document = replace(document, learn=((0, len(document.text)),))
        return document


def draw(
    behaviours: Sequence[Behaviour], replay: Sequence[Behaviour], replay_share: float, n: int, seed: str
) -> list[Document]:
    """`n` documents for one step, decided by the seed; `replay_share` of them from the behaviours `replay`."""
    rng = random.Random(seed)
    chosen = []
    for _ in range(n):
        table = replay if rng.random() < replay_share else behaviours
        chosen.append(rng.choices(table, [b.share for b in table])[0].draw(rng))
    return chosen
