"""Text that follows text: the tokens of an answer as it continues a prompt, and the text of tokens that continue one.

    >>> prompt = lm.prompt("The capital of France is")
    >>> [lm.decode([token]) for token in tokens_after(lm._hf, " Paris.", prompt)]
    [' Paris', '.']

A text has other tokens inside a longer text than alone. A SentencePiece tokenizer with a **prefix space** writes "Paris" and
" Paris" alone with a "▁" before them: the first token of " Paris", " Rome" and " Oslo" may then be the same "▁". So the *token
of an answer* is the first in which the tokens of prompt + answer differ from those of the prompt, and it exists where that is
the first token after the prompt. In the same way, the decoder of such a tokenizer drops the first space of what it decodes,
and tokens that continue a text are decoded with it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from assay.errors import EditError, PromptError, shown
from assay.forward.positions import Prompt
from assay.forward.sites import listed

Shared = Literal["refuse", "allow"]
"""What becomes of two different answers with the same first token: an error, or the same numbers twice."""
PROBE = "a"
BEFORE = ("1", "(", PROBE, ".", ":", "\n")
"""Texts that a text without a prompt is put behind: the first that keeps its own tokens counts."""


@dataclass(frozen=True)
class Habits:
    """What a tokenizer does at the two ends of a text."""

    prefix: bool
    """It writes a space before a text that stands alone."""
    lead: tuple[int, ...]
    """Tokens to decode before others, so that the decoder does not drop their first space; none where it drops nothing."""
    appended: int
    """How many tokens (an end token) it puts behind a text."""


def habits(tokenizer: Any) -> Habits:
    """The habits of a Hugging Face tokenizer, found by trying."""
    alone, whole = encode(tokenizer, PROBE), tokenizer.encode(PROBE)
    inside = encode(tokenizer, f"{PROBE} {PROBE}")[len(alone) :]
    drops = tokenizer.decode(inside * 2) != tokenizer.decode(inside) * 2
    before = next((i for i in range(len(whole)) if whole[i : i + len(alone)] == alone), len(whole) - len(alone))
    return Habits(inside == alone, tuple(inside) if drops else (), len(whole) - before - len(alone))


def encode(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text, without those that the tokenizer puts around it. Raises PromptError for half a character."""
    check_text(text)
    return tokenizer.encode(text, add_special_tokens=False)


def check_text(text: str) -> None:
    """Raise PromptError for a text with a lone surrogate, half a character, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PromptError(
            f"{shown(text)} has half a character (a lone surrogate) at {error.start}: give whole ones"
        ) from error


def tokens_after(tokenizer: Any, answer: str, prompt: Prompt) -> list[int]:
    """The tokens of an answer as it follows a prompt; for a prompt of token ids, as it follows their text.

    Raises PromptError when the answer changes the last tokens of the prompt, has no tokens, or follows token ids whose text
    ends in other tokens.
    """
    text = tokenizer.decode(list(prompt.tokens)) if prompt.text is None else prompt.text
    before, whole = encode(tokenizer, text), encode(tokenizer, text + answer)
    if before[-1:] != list(prompt.tokens[-1:]) and text:
        raise PromptError(
            f"the tokens of the prompt are not those of its text, which ends in {text[-30:]!r}: give the prompt as text, "
            f"or the token id of {answer!r}"
        )
    if whole[: len(before)] != before:
        raise PromptError(
            f"the tokens of {text[-30:]!r} change when {answer!r} follows, so no token after the prompt is the answer's: "
            "end the prompt without a space, and begin the answer with one"
        )
    return whole[len(before) :]


def tokens_inside(tokenizer: Any, text: str, prefix: bool) -> list[int]:
    """The tokens of a text as it follows any other text. Raises PromptError when they depend on the text before.

    prefix: whether the tokenizer writes a space before a text (`Habits`); if not, they are those of the text alone.
    """
    if not prefix:
        return encode(tokenizer, text)
    for other in BEFORE:
        before, whole = encode(tokenizer, other), encode(tokenizer, other + text)
        if whole[: len(before)] == before:
            return whole[len(before) :]
    raise PromptError(f"the first token of {text!r} depends on the text before it: say which, with after=prompt")


def told_apart(answers: Sequence[str | int], token_of: Callable[[str | int], int], shared: Shared) -> tuple[int, ...]:
    """The tokens of answers. Raises EditError for two different texts with the same token, unless `shared` is "allow"."""
    if not isinstance(shared, str) or shared not in ("refuse", "allow"):
        raise EditError(f"shared is 'refuse' or 'allow', got {shown(shared)}")
    if isinstance(answers, str | bytes) or not isinstance(answers, Iterable):
        raise EditError(f"targets are a list of texts and token ids, got {shown(answers)}: give [{shown(answers)}]")
    answers = listed(answers)
    tokens, first = [token_of(answer) for answer in answers], dict[int, str]()
    for answer, token in zip(answers, tokens, strict=True):
        if isinstance(answer, str) and first.setdefault(token, answer) != answer and shared == "refuse":
            raise EditError(
                f"{first[token]!r} and {answer!r} begin with the same token, {token}, and would get the same numbers: "
                "give answers that differ in their first token, or shared='allow'"
            )
    return tuple(tokens)


def until(prompt: Prompt, at: int) -> Prompt:
    """The prompt up to and including the token at a position, with the text up to there."""
    if prompt.text is None or prompt.spans is None:
        return Prompt(prompt.tokens[: at + 1])
    return Prompt(prompt.tokens[: at + 1], prompt.text[: prompt.spans[at][1]], prompt.spans[: at + 1])
