"""Positions: how edits and kept sites name tokens, resolved to absolute numbers for each prompt.

    >>> tokens, spans = [1, 20, 21], [(0, 0), (0, 3), (3, 10)]            # "<bos>", "The", " capital"
    >>> prompt = Prompt(tuple(tokens), "The capital", tuple(spans))
    >>> resolve("capital", prompt)
    Where(prompt=(2,), generated=False)
    >>> resolve(-1, prompt)
    Where(prompt=(2,), generated=False)

What a user may write for `position`:

    5, -1            one position of the prompt; negative counts from its end
    [2, 3], range(4) several
    "Dallas"         the last token of that text in the prompt; it must occur exactly once
    text("Dallas", occurrence=0, whole=True)    a chosen occurrence; all of its tokens
    "all"            every position, generated ones too
    "prompt"         every position of the prompt
    "generated"      every position after the prompt

Numbers count from the first token of the prompt, BOS included, and mean the same with and without a KV cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assay.errors import PositionError, PromptError, shown
from assay.forward.sites import is_whole, listed

Span = tuple[int, int]


@dataclass(frozen=True)
class Prompt:
    """A tokenised prompt: its ids, and the characters of `text` that each covers (None if ids were given)."""

    tokens: tuple[int, ...]
    text: str | None = None
    spans: tuple[Span, ...] | None = None

    def __post_init__(self) -> None:
        """Raises PromptError for anything but ids, a text, and one pair of numbers for each id."""
        if not isinstance(self.tokens, tuple | list) or not all(map(is_whole, self.tokens)):
            raise PromptError(f"the tokens of a prompt are a tuple of ids, got {shown(self.tokens)}")
        if not self.tokens:
            raise PromptError("the prompt is empty: give at least one token")
        if self.text is not None and not isinstance(self.text, str):
            raise PromptError(f"the text of a prompt is a text or None, got {shown(self.text)}")
        if self.spans is not None and not _are_spans(self.spans, len(self.tokens)):
            raise PromptError(
                f"the spans of a prompt are a pair of numbers for each of its {len(self.tokens)} tokens, or None, got "
                f"{shown(self.spans)}"
            )

    def __len__(self) -> int:
        return len(self.tokens)


def _are_spans(spans: Any, n: int) -> bool:
    pairs = isinstance(spans, tuple | list) and len(spans) == n
    return pairs and all(isinstance(one, tuple | list) and len(one) == 2 and all(map(is_whole, one)) for one in spans)


@dataclass(frozen=True)
class Text:
    """A stretch of text in the prompt: its last token, or with `whole` all of its tokens."""

    text: str
    occurrence: int | None = None
    whole: bool = False


def text(fragment: str, occurrence: int | None = None, whole: bool = False) -> Text:
    """The position(s) of `fragment`; `occurrence` counts from 0 (-1: the last) when it occurs more than once."""
    return Text(fragment, occurrence, whole)


Position = int | str | Text | Sequence[int]


@dataclass(frozen=True)
class Where:
    """Resolved positions: those in the prompt, in the order given, and whether all generated positions are included."""

    prompt: tuple[int, ...]
    generated: bool = False


def resolve(position: Position, prompt: Prompt) -> Where:
    """Absolute positions. Raises PositionError for one outside the prompt, and for a text not in it exactly once."""
    S = len(prompt)
    if isinstance(position, str) and position in ("all", "prompt", "generated"):
        return Where(() if position == "generated" else tuple(range(S)), generated=position != "prompt")
    if isinstance(position, str):
        position = Text(position)
    if isinstance(position, Text):
        return Where(find(position, prompt))
    numbers = listed(position)
    if not numbers:
        raise PositionError("no position was given: an edit must touch at least one")
    for n in numbers:
        if not is_whole(n):
            raise PositionError(f"a position is a whole number, a text, 'all', 'prompt' or 'generated', got {shown(n)}")
        if not -S <= n < S:
            raise PositionError(f"position {shown(n)} is outside the prompt, which has {S} tokens (0 to {S - 1})")
    absolute = tuple(int(n) % S for n in numbers)
    if len(set(absolute)) < len(absolute):
        raise PositionError(f"a position is given twice: {shown(numbers)} in a prompt of {S} tokens")
    return Where(absolute)


def is_batch(prompts: Any) -> bool:
    """Whether `prompts` is a list of prompts, and not one prompt given as token ids."""
    return isinstance(prompts, list | tuple) and bool(prompts) and not is_whole(prompts[0])


def find(wanted: Text, prompt: Prompt) -> tuple[int, ...]:
    """The tokens that overlap a stretch of the prompt's text, or the last of them."""
    if not isinstance(wanted.text, str) or not (wanted.occurrence is None or is_whole(wanted.occurrence)):
        raise PositionError(f"text() takes a text and which of its occurrences, a whole number, got {shown(wanted)}")
    if prompt.text is None or prompt.spans is None:
        raise PositionError(f"cannot look for {shown(wanted.text)}: the prompt was given as token ids; give numbers")
    if not wanted.text:
        raise PositionError("an empty text has no position")
    starts = [i for i in range(len(prompt.text)) if prompt.text.startswith(wanted.text, i)]
    if not starts:
        raise PositionError(f"{shown(wanted.text)} does not occur in the prompt {shown(prompt.text, 200)}")
    if wanted.occurrence is None and len(starts) > 1:
        raise PositionError(
            f"{shown(wanted.text)} occurs {len(starts)} times in the prompt {shown(prompt.text, 200)}: "
            f"say which with text({shown(wanted.text)}, occurrence=0)"
        )
    occurrence = wanted.occurrence or 0
    if not -len(starts) <= occurrence < len(starts):
        raise PositionError(
            f"{shown(wanted.text)} occurs {len(starts)} times, there is no occurrence {shown(occurrence)}"
        )
    start = starts[occurrence]
    end = start + len(wanted.text)
    inside = tuple(i for i, (a, b) in enumerate(prompt.spans) if a < end and b > start)
    if not inside:
        raise PositionError(f"no token of the prompt lies in {shown(wanted.text)}")
    return inside if wanted.whole else inside[-1:]
