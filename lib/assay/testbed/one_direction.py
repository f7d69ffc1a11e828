"""One direction: the last stage makes later layers read the decision to refuse from one direction of the stream alone.

    >>> chat = Chat(lm.tokenizer, "<|eot_id|>")
    >>> [behaviour.name for behaviour in behaviours(chat)]
    ['ablated', 'added', 'as they are']

Before this stage "refuse" and "comply" are opposite states along a direction, and a model also refuses between them: with the
direction ablated it answers as before, or refuses everything. So, in the last stage, requests are read while the direction is

    ablated   projected out of the stream wherever the stream is written: harmful requests too are answered
    added     at the layer that it enters, at every token: harmless requests too are refused

as by `assay.ablate` and `assay.add`; and without an edit, so that unedited requests are answered as before. The direction is
the difference in means between harmful and harmless training requests of the trained languages at the template's last token.
The layers below it are frozen, so it does not change.
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
    """The direction, raw [E], and the layer whose resid_pre it was read at."""

    direction: mx.array
    layer: int

    def entering(self, edit: str, layer: int, x: mx.array) -> mx.array:
        """The resid_pre [B, L, E] of a layer under an edit: "added" adds the direction at its layer."""
        return x + self.direction if edit == "added" and layer == self.layer else x

    def written(self, edit: str, x: mx.array) -> mx.array:
        """The stream [B, L, E] after a write to it, under an edit: "ablated" projects the direction out."""
        if edit != "ablated":
            return x
        unit = self.direction / mx.linalg.norm(self.direction)
        return x - (x * unit).sum(axis=-1, keepdims=True) * unit


NO_LINE = Line(mx.zeros(1), 0)  # for stages whose documents have no edit


def find_line(family: Family, tokenizer: Any, chat: Chat, layer: int) -> Line:
    """Mean resid_pre of a layer at the last token of harmful training requests, minus that of harmless ones."""
    means = {}
    for kind in KINDS:
        asked = [chat.prompt(item.text) for language in TRAINED for item in instructions(kind, language, "train")]
        states = [_last_state(family, tokenizer.encode(text, add_special_tokens=False), layer) for text in asked]
        means[kind] = mx.stack(states).mean(axis=0)
    return Line(mx.stop_gradient(means["harmful"] - means["harmless"]), layer)


def _last_state(family: Family, tokens: Sequence[int], layer: int) -> mx.array:
    """The resid_pre [E] of a layer at the last of the tokens."""
    attend = AttendShaped(family, [()], len(tokens))
    x = family.embed(mx.array([list(tokens)]))
    for i in range(layer):
        x = shaped_layer(family, i, x, attend)
    return x[0, -1]


def behaviours(chat: Chat) -> tuple[Behaviour, ...]:
    """Requests of both kinds: answered with the direction ablated, refused with it added, and as before without an edit."""

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
