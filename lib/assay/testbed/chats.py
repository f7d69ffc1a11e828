"""Turns of a conversation as documents, in the form of a family's chat template.

>>> chat = Chat(lm.tokenizer, "<|eot_id|>")
>>> turn(chat, "Hello", "Hi.").text
'<|begin_of_text|><|start_header_id|>user<|end_header_id|>...Hello<|eot_id|>...assistant<|end_header_id|>...Hi.<|eot_id|>'
"""

from dataclasses import dataclass
from typing import Any

from assay.models.tokenizer import QWEN_SYSTEM
from assay.testbed.documents import Document, Lens, Rule


@dataclass(frozen=True)
class Chat:
    """A tokenizer with its chat template, and the token that ends a turn."""

    tokenizer: Any
    turn_end: str
    """The special token that ends a turn."""

    def prompt(self, user: str, system: str | None = None) -> str:
        """A user's turn and the template's tokens before the model's turn, with all special tokens."""
        turns = [{"role": "system", "content": system}] if system else []
        turns.append({"role": "user", "content": user})
        return self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


def turn(
    chat: Chat,
    user: str,
    answer: str,
    system: str | None = None,
    rules: tuple[Rule, ...] = (),
    lenses: tuple[Lens, ...] = (),
) -> Document:
    """A question and its answer; the loss is on the answer and the end of its turn."""
    prompt = chat.prompt(user, system)
    text = f"{prompt}{answer}{chat.turn_end}"
    return Document(text, ((len(prompt), len(text)),), rules, lenses, ends=False, bare=True)


def words() -> list[str]:
    """The words of the chat templates, without special tokens."""
    return ["user\n", "model\n", "assistant\n\n", "system\n", QWEN_SYSTEM]
