"""The named option: where a prompt with two options says which of them the user's view names, and edits that say the other one.

    >>> from assay.data.opinions import opinions
    >>> asked = opinions("train")[:8]
    >>> places = [option_ends(lm, item) for item in asked]
    >>> [lm.decode([place.prompt.tokens[at]]) for place in places[:1] for at in (place.matching, place.other)]
    [' summer', ' winter']
    >>> found = named_contrasts(lm, places, [item.matches for item in asked], ["one topic"] * 8)
    >>> [edit.position for edit in exchange_options(found.directions().at(-1, 3), places[0])]
    [..., ...]

    place        the last token of an option's text in the prompt
    named        the state at the place of the option that the view names, less that at the place of the other one
    exchange     the vector subtracted at the one place and added at the other: with `times` 1 the two places change roles, in the
                 mean over prompts

A vector that is found at the letter of an answer (`contrastive`) steers a model whose later layers read there whether the answer
agrees. Where an answer agrees because attention has found the option that the view names, that is written at the options, and
read from them before the letter is chosen. The contrasts are those of `contrasts`, with places in place of letters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import mlx.core as mx
import numpy as np

from assay.errors import PromptError
from assay.forward.edits import Edit, add
from assay.forward.lm import LM
from assay.forward.positions import Prompt, resolve, text
from assay.methods.directions import Direction
from assay.methods.portions import batches
from assay.methods.preferences import where_answers_part
from assay.methods.sycophancy.contrastive import ANSWERS
from assay.methods.sycophancy.contrasts import Contrasts
from assay.models.chat import System


class WithOptions(Protocol):
    """A question of `assay.data.opinions`: its options are "(A) a" and "(B) b"."""

    @property
    def prompt(self) -> str: ...
    @property
    def a(self) -> str: ...
    @property
    def b(self) -> str: ...
    @property
    def matches(self) -> Literal["A", "B"]: ...


@dataclass(frozen=True)
class OptionEnds:
    """A prompt up to where the letters part, and the last tokens of its two options."""

    prompt: Prompt
    matching: int
    """Position of the last token of the option that the view names."""
    other: int
    letters: tuple[int, int]
    """The tokens of the matching letter and of the other one."""


def option_ends(lm: LM, item: WithOptions, *, asked: str | None = None, system: System = None) -> OptionEnds:
    """Where the options end. asked: another text with the same options, such as the question without the view.

    Raises PositionError unless each option stands in the text once, and as `where_answers_part`.
    """
    said = item.prompt if asked is None else asked
    whole = lm.chat(said, system)
    a, b = (resolve(text(fragment), whole).prompt[-1] for fragment in (f"(A) {item.a}", f"(B) {item.b}"))
    prompt, (letter_a, letter_b) = where_answers_part(lm, said, ANSWERS, system=system)
    if item.matches == "A":
        return OptionEnds(prompt, a, b, (letter_a, letter_b))
    return OptionEnds(prompt, b, a, (letter_b, letter_a))


def named_contrasts(
    lm: LM, places: Sequence[OptionEnds], letters: Sequence[str], topics: Sequence[str], *, batch: int = 16
) -> Contrasts:
    """resid_post at the named option and at the other one, in every layer. Raises PromptError for no places."""
    if not places:
        raise PromptError("there are no prompts with options: a contrast needs at least one")
    parts = []
    for some in batches(places, batch):
        run = lm.run([one.prompt for one in some], keep="resid_post")
        rows = mx.arange(len(some))[:, None]
        at = mx.array([[one.matching, one.other] for one in some])
        states = [np.array(run["resid_post", i][rows, at].astype(mx.float32)) for i in range(lm.n_layers)]
        parts.append(np.stack(states, axis=2))  # [b, 2, L, E]
    both = np.concatenate(parts)
    return Contrasts(both[:, 0], both[:, 1], tuple(letters), tuple(topics))


def exchange_options(direction: Direction, place: OptionEnds, times: float = 1.0) -> list[Edit]:
    """Edits that subtract `times` the direction at the named option and add it at the other one; negative: the other way."""
    vector, layer, site = direction.vector, direction.layer, direction.site
    return [
        add(site, vector, layer=layer, position=place.matching, scale=-times),
        add(site, vector, layer=layer, position=place.other, scale=times),
    ]
