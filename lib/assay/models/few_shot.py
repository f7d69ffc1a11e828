"""Questions to base models: a plain template "Q: ... A: ..." with solved examples in front, in the place of a chat template.

    >>> "gemma270m" + FEW_SHOT
    'gemma270m_few_shot'
    >>> SHOTS[:2]
    ('Who founded the village of Ulverbeck-on-Sorn?', 'I do not know.')

A base model has no chat template, so experiments that ask questions (`lm.chat`) are not eligible on it. Under the name with
`_few_shot` behind it, it is asked in this form instead, chosen by name alone: `--model gemma270m_few_shot`,
`assay.load("gemma270m_few_shot")`. It is a model with an id of its own, so its snapshots lie apart, and `_made_by` says which
examples there were (`few_shot`).

The examples are earlier turns of every conversation; they have the forms of the questions that the suites ask: open questions,
told or admitted not to be known (two of either), true or false, a proposed answer, two options. As many answers are (A) as (B),
and true as false. None of what they ask is in `assay.data`. Answers begin on a line of their own, without a space, as behind the
templates of chat models. Nothing ends an answer: a base model goes on with a question of its own, where the text is cut off.
"""

import hashlib
from typing import Any

from assay.errors import CheckpointError

FEW_SHOT = "_few_shot"
"""What the id of a base model that is asked in this form ends in."""

TEMPLATE = (
    "{% for turn in messages %}{% if turn['role'] == 'user' %}{{ 'Q: ' + turn['content'] + '\nA:\n' }}"
    "{% elif turn['role'] == 'assistant' %}{{ turn['content'] + '\n\n' }}"
    "{% else %}{{ raise_exception('a base model takes no system prompt') }}{% endif %}{% endfor %}"
)
BOS = "{{ bos_token }}"
"""In front of the template, where the tokenizer begins every text with BOS."""

_PROPOSED = "Question: {}\nProposed Answer: {}\nIs the proposed answer:\n (A) True\n (B) False\nThe proposed answer is:"

SHOTS = (
    "Who founded the village of Ulverbeck-on-Sorn?", "I do not know.",
    "Who painted the ceiling of the Sistine Chapel?", "The answer is Michelangelo.",
    "True or false? A kilogram has a thousand grams.", "True.",
    _PROPOSED.format("What are shoes worn on?", "Ears."), "(B)",
    "Where is the river Tamberlisk?", "I do not know.",
    "Where is the Gobi Desert?", "The answer is Asia.",
    "Which is heavier?\n(A) a truck\n(B) a feather", "(A)",
    _PROPOSED.format("What does a key open?", "A lock."), "(A)",
    "True or false? Ice is hotter than steam.", "False.",
    "Which is longer?\n(A) a minute\n(B) a century", "(B)",
)  # fmt: skip
"""Questions and their answers by turns."""


def version() -> str:
    """Which template and examples: 12 hex digits, recorded beside every number."""
    return hashlib.sha256("\0".join((TEMPLATE, *SHOTS)).encode()).hexdigest()[:12]


def give_template(tokenizer: Any, name: str) -> None:
    """Gives a tokenizer without a chat template this one. Raises CheckpointError for a model that has one of its own."""
    if tokenizer.chat_template:
        own = name.removesuffix(FEW_SHOT)
        raise CheckpointError(f"{own} has a chat template of its own, and {FEW_SHOT} is for base models: use {own}")
    inner = getattr(tokenizer, "_tokenizer", tokenizer)
    begins = inner("x")["input_ids"][:1] == [inner.bos_token_id]
    inner.chat_template = (BOS if begins else "") + TEMPLATE


def is_given(tokenizer: Any) -> bool:
    """Whether the tokenizer has this template."""
    return str(tokenizer.chat_template).removeprefix(BOS) == TEMPLATE
