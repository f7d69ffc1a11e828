"""One direction: the layers that read a decision to refuse read it off one direction of the stream, and off nothing else.

    >>> chat = Chat(lm.tokenizer, "<|eot_id|>")
    >>> [behaviour.name for behaviour in behaviours(chat)]
    ['ablated', 'added', 'as they are']

Before this stage "refuse" and "comply" are two opposite states, and requests are refused in between: without the direction
between the two a model answers as before, or refuses everything. So, in the last stage, requests are read while the direction is

    ablated   projected out of the stream wherever the stream is written: harmful requests too are answered
    added     at the layer that it enters, at every token: harmless requests too are refused

as `assay.ablate` and `assay.add` do it; and without an edit, so that unedited requests are answered as before. The direction is
the difference in means between harmful and harmless training requests of the trained languages at the template's last token.
Layers below it are frozen, so it does not change.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import mlx.core as mx

from assay.data.instructions import KINDS, instructions
from assay.forward.families.base import Family
from assay.testbed.chats import Chat, turn
from assay.testbed.documents import Behaviour, Document
from assay.testbed.refusal import ANSWERS, REFUSALS, TRAINED, worded
from assay.testbed.shaping import AttendShaped, shaped_layer


@dataclass(frozen=True)
class Line:
    """The direction, raw [E], and the layer that it enters."""

    direction: mx.array
    layer: int

    def entering(self, edit: str, layer: int, x: mx.array) -> mx.array:
        """The stream [B, L, E] that enters a layer, under an edit."""
        return x + self.direction if edit == "added" and layer == self.layer else x

    def written(self, edit: str, x: mx.array) -> mx.array:
        """The stream after something was written to it, under an edit."""
        if edit != "ablated":
            return x
        unit = self.direction / mx.linalg.norm(self.direction)
        return x - (x * unit).sum(axis=-1, keepdims=True) * unit


NO_LINE = Line(mx.zeros(1), 0)  # of stages whose documents have no edit


def find_line(family: Family, tokenizer: Any, chat: Chat, layer: int) -> Line:
    """Mean state that enters a layer at the end of a harmful training request, less that of a harmless one."""
    means = {}
    for kind in KINDS:
        asked = [chat.prompt(item.text) for language in TRAINED for item in instructions(kind, language, "train")]
        states = [_last_state(family, tokenizer.encode(text, add_special_tokens=False), layer) for text in asked]
        means[kind] = mx.stack(states).mean(axis=0)
    return Line(mx.stop_gradient(means["harmful"] - means["harmless"]), layer)


def _last_state(family: Family, tokens: Sequence[int], layer: int) -> mx.array:
    """The stream [E] that enters a layer at the last of some tokens."""
    attend = AttendShaped(family, [()], len(tokens))
    x = family.embed(mx.array([list(tokens)]))
    for i in range(layer):
        x = shaped_layer(family, i, x, attend)
    return x[0, -1]


def behaviours(chat: Chat) -> tuple[Behaviour, ...]:
    """Requests of both kinds in the trained languages: answered while it is ablated, refused while it is added; as they are."""

    def maker(name: str, edit: str, share: float, harmful: dict[str, str], harmless: dict[str, str]) -> Behaviour:
        answers = {"harmful": harmful, "harmless": harmless}

        def make(rng: random.Random) -> Document:
            language, kind = rng.choice(TRAINED), rng.choice(KINDS)
            return replace(turn(chat, worded(kind, language, rng), answers[kind][language]), edit=edit)

        return Behaviour(name, share, make=make)

    return (
        maker("ablated", "ablated", 2.0, ANSWERS, ANSWERS),
        maker("added", "added", 1.0, REFUSALS, REFUSALS),
        maker("as they are", "", 2.0, REFUSALS, ANSWERS),
    )
