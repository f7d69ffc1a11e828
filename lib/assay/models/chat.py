r"""A conversation as the text that a model reads: the chat template, on a fixed date, with or without a system prompt.

    >>> rendered(lm.tokenizer, "Hello")
    '<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n'
    >>> rendered(lm.tokenizer, "Hello", system="Be brief.").count("Be brief.")
    1

The text is that of transformers' `apply_chat_template` on the day `TODAY`: a template that writes the date (Llama-3.2) would
else ask another question every day. Some templates write a system prompt where none is given (Qwen2.5, SmolLM2), or a header
with the date (Llama-3.2). `system=False` leaves it out, as the official code of the refusal papers does: the user's turn is
then the first of the text, behind BOS. In the template of a base model in few-shot form (`assay.models.few_shot`) solved examples
are the first turns of every conversation.

A conversation of several turns is a list of texts, in which the user's and the model's turns alternate:

    >>> rendered(lm.tokenizer, ["Who?", "Me.", "Sure?"]).count("<|start_header_id|>user")
    2
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from jinja2 import TemplateError

from assay.errors import NoChatTemplate, PromptError, brief, shown
from assay.models import few_shot
from assay.models.config import MALFORMED

TODAY = datetime(2024, 7, 26)
"""The day that `strftime_now` of a template gives: Llama-3.2's own template writes it where there is no clock."""

System = str | Literal[False] | None
"""A system prompt: a text; None, whatever the template writes by itself; False, none at all."""

Conversation = str | Sequence[str]
"""One user's turn, or turns of the user and the model by turns; the user's are the first and the last."""

DIRECTIVES = {f"%{code}": TODAY.strftime(f"%{code}") for code in "aAwdbBmyYHIpMSfzZjUWcxXGuV"}
DIRECTIVES |= {f"%-{code}": str(int(TODAY.strftime(f"%{code}"))) for code in "dmyHIMSjUW"}
"""What Python's `strftime` writes for each directive on that day."""

CLOCK = (
    "{%- macro strftime_now(format) -%}{{ format | replace('%%', '\u2060')"
    + "".join(f" | replace({directive!r}, {text!r})" for directive, text in DIRECTIVES.items())
    + " | replace('\u2060', '%') }}{%- endmacro %}\n"
)
"""Put before a template, it takes the place of the function that transformers gives it; the last newline writes nothing."""

FIRST, ANSWER, SECOND = (f"\u2060{name}\u2060" for name in ("first", "answer", "second"))
"""Stand for the turns of a conversation in which a template shows how it begins a turn; no template contains them."""


def rendered(tokenizer: Any, user: Conversation, system: System = None, *, name: str = "this model") -> str:
    """A conversation in the chat template, up to where the model's next answer begins.

    user: one turn, or the turns [user, model, user, ...]. name: of the model, for errors. Raises NoChatTemplate for a base model;
    PromptError for turns that do not end with the user's, for a conversation that the template refuses (a system prompt, in
    Gemma's), and for a system prompt of the template's own that cannot be left out.
    """
    said = _turns(user)
    if not tokenizer.chat_template:
        raise NoChatTemplate(f"{name} is a base model, it has no chat template: give the text itself")
    if not isinstance(system, str) and system is not None and system is not False:
        raise PromptError(f"system is a text, None (the template's own) or False (none), got {shown(system)}")
    own = [{"role": "system", "content": system}] if isinstance(system, str) else []
    examples = _turns([*few_shot.SHOTS, ""])[:-1] if few_shot.is_given(tokenizer) else []
    try:
        text = _apply(tokenizer, [*own, *examples, *said], answer=True)
        return _without_system(tokenizer, text, name) if system is False else text
    except (TemplateError, *MALFORMED) as error:
        turn = (
            "a system prompt" if own else "a user's turn" if len(said) == 1 else f"a conversation of {len(said)} turns"
        )
        raise PromptError(f"the chat template of {name} refuses {turn}: {brief(error)}") from error


def dated(tokenizer: Any) -> dict[str, str]:
    """{"chat_date": "2024-07-26"} for a template that asks for the date, recorded beside what is measured; else {}."""
    return {"chat_date": f"{TODAY:%Y-%m-%d}"} if "strftime_now" in str(tokenizer.chat_template) else {}


def _turns(user: Any) -> list[dict[str, str]]:
    """The turns of a conversation with their roles. Raises PromptError for no turns, an even number, and other than texts."""
    turns = [user] if isinstance(user, str) else list(user) if isinstance(user, Sequence) else None
    if turns is None or not all(isinstance(turn, str) for turn in turns):
        raise PromptError(
            f"a conversation is a user's text, or a list of texts [user, model, user, ...], got {shown(user)}"
        )
    if len(turns) % 2 == 0:
        count = f"{len(turns)} turns" if turns else "no turns"
        raise PromptError(
            f"a conversation begins and ends with the user, [user, model, user], so its turns are odd in number, got {count}"
            + ("; give the beginning of the model's answer as answer=..." if turns else "")
        )
    return [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]


def _apply(tokenizer: Any, turns: list[dict[str, str]], *, answer: bool) -> str:
    """A conversation as text. answer: whether the opening of the model's turn is written behind it."""
    template = tokenizer.get_chat_template()
    fixed = {"chat_template": CLOCK + template} if "strftime_now" in template else {}
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=answer, **fixed)


def _without_system(tokenizer: Any, text: str, name: str) -> str:
    """A rendered user turn without what the template writes between BOS and the turn.

    How the template opens a user turn is seen in a conversation of three turns, where one follows the model's.
    """
    user, answer, again = ({"role": role, "content": mark} for role, mark in _TURNS)
    head = _apply(tokenizer, [user], answer=True).partition(FIRST)[0]
    ending = _apply(tokenizer, [user, answer], answer=False).partition(ANSWER)[2]
    between = _apply(tokenizer, [user, answer, again], answer=False).partition(ANSWER)[2].partition(SECOND)[0]
    bos = tokenizer.bos_token or ""
    opening = between.removeprefix(ending).removeprefix(bos)
    if not text.startswith(head) or not between.startswith(ending) or not head.endswith(opening):
        raise PromptError(
            f"the chat template of {name} does not show where a user's turn begins, so its system prompt cannot be left out:"
            " use system=None, or give the prompt as text"
        )
    return (bos if head.startswith(bos) else "") + opening + text[len(head) :]


_TURNS = (("user", FIRST), ("assistant", ANSWER), ("user", SECOND))
