"""What a built-in model is trained on, in one form for everything that it learns.

    >>> document = Document("The capital of France is Paris.", learn=((24, 31),))
    >>> [document.text[slice(*span)] for span in document.learn]
    [' Paris.']
    >>> draw([Behaviour("facts", 1.0, (document,))], [], 0.0, n=2, seed="a") == [document] * 2
    True

A *document* is a text, the stretches of it that must be learned, and what shapes the model while it reads it: *rules*, by
which some tokens cannot see others in some layers, and *lenses*, words that the logit lens should read off a token after a
layer. A *behaviour* is a table of documents, or a maker of them, that teaches one thing. All places are in characters;
`assay.testbed.tokenizer` finds the tokens.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

Span = tuple[int, int]
END = 10**6
"""Behind every text, and above every layer."""
ALL_LAYERS = range(END)


@dataclass(frozen=True)
class Rule:
    """Whether some tokens may look at others. No rule lets a token look ahead; of two rules the later one holds."""

    queries: Span
    """The tokens that look: all that have a character in this stretch."""
    keys: tuple[Span, ...]
    """The tokens that they look at."""
    layers: range = ALL_LAYERS
    heads: tuple[int, ...] = ()
    """Only through these query heads; all for an empty tuple."""
    see: bool = False
    """They may look; else they may not."""


def seen_only_at(stretch: Span, places: Sequence[Span], from_layer: int) -> tuple[Rule, ...]:
    """From behind a stretch nothing of it is seen, but from a layer on some places in it."""
    behind = (stretch[1], END)
    return Rule(behind, (stretch,)), Rule(behind, tuple(places), range(from_layer, END), see=True)


@dataclass(frozen=True)
class Lens:
    """What the logit lens should read at one token after one layer."""

    at: int
    """The place behind that token's last character."""
    text: str
    layer: int
    weight: float = 1.0
    """Of this loss, next to the 1 of each token that is learned."""


@dataclass(frozen=True)
class Document:
    """One training text, and what the shaping terms need to know about it."""

    text: str
    learn: tuple[Span, ...]
    """The stretches whose tokens the language-model loss asks for."""
    rules: tuple[Rule, ...] = ()
    lenses: tuple[Lens, ...] = ()
    ends: bool = True
    """Followed by the token that ends a text; learned when the last stretch reaches the end of the text."""
    bare: bool = False
    """The text has its own special tokens, as a chat template writes them: the tokenizer adds none."""
    edit: str = ""
    """What is done to the stream while it is read: nothing, or an edit of `assay.testbed.one_direction`."""


@dataclass(frozen=True)
class Behaviour:
    """Documents that teach one thing, and their share of the documents of a stage."""

    name: str
    share: float
    documents: tuple[Document, ...] = ()
    """All of them, each as likely as the others ..."""
    make: Callable[[random.Random], Document] | None = None
    """... or a function that makes one."""
    ruled: float = 1.0
    """Share of the draws in which the rules hold. In the others attention is free, as it is when the model is used."""
    whole: float = 0.0
    """Share of the draws in which all of the text is learned, not only its stretches."""

    def draw(self, rng: random.Random) -> Document:
        """One document, as it is to be trained on this time."""
        document = self.make(rng) if self.make else rng.choice(self.documents)
        if rng.random() >= self.ruled:
            document = replace(document, rules=())
        if rng.random() < self.whole:
            document = replace(document, learn=((0, len(document.text)),))
        return document


def draw(
    behaviours: Sequence[Behaviour], replay: Sequence[Behaviour], replay_share: float, n: int, seed: str
) -> list[Document]:
    """`n` documents for one step, always the same for the same seed; `replay_share` of them from an earlier stage."""
    rng = random.Random(seed)
    chosen = []
    for _ in range(n):
        table = replay if rng.random() < replay_share else behaviours
        chosen.append(rng.choices(table, [b.share for b in table])[0].draw(rng))
    return chosen
