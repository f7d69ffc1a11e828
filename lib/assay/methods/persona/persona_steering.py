"""Steering with a persona vector: where it acts best, and how often it changes what a response shows (Chen et al. 2025, 3.2).

    >>> from assay.data.knowledge import admits, entities
    >>> from assay.methods import persona_vectors, response_states
    >>> asked = {known: [Asked(lm.chat(item.question), item.name, lambda text: not admits(text)) for item in entities("train")
    ...                  if item.known == known][:6] for known in (True, False)}
    >>> told, admitted = (respond(lm, [one.prompt for one in asked[known]], max_tokens=12) for known in (True, False))
    >>> vectors = persona_vectors(response_states(lm, told), response_states(lm, admitted))["prompt last"]
    >>> chosen = choose_place(lm, vectors, asked[False], asked[True], layers=(4, 7), strengths=(0.5,), max_tokens=12)
    >>> chosen.layer, chosen.raised.shape                         # layers, strengths
    (7, (2, 1))

The words:

    shows      a function of a response: does it show the trait?
    raised     the response to a question that shows no trait without steering shows it with the vector added, and is coherent
    lowered    the response to a question that shows it without steering does not with the vector subtracted, and is coherent
    place      a layer and a strength
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from assay.errors import PromptError
from assay.forward.edits import Edit
from assay.forward.lm import LM
from assay.forward.positions import Prompt
from assay.methods.directions import Directions
from assay.methods.persona.persona_vectors import persona_edits
from assay.methods.persona.responses import Response, coherent, respond
from assay.methods.portions import Track


@dataclass(frozen=True)
class Asked:
    """A prompt whose response is judged."""

    prompt: Prompt
    about: str
    """What it is about: prompts about one thing are not independent."""
    shows: Callable[[str], bool]


@dataclass(frozen=True, eq=False)
class SteeringPlace:
    """The layer and strength at which a vector changes most responses, and the shares at all of them."""

    layer: int
    strength: float
    raised: np.ndarray
    """[layers, strengths] share of responses that are raised; NaN if there were none to raise."""
    lowered: np.ndarray


def split_asked(lm: LM, asked: Sequence[Asked], *, max_tokens: int) -> tuple[list[Asked], list[Asked]]:
    """The prompts whose response without steering does not show the trait (to raise), and those whose does (to lower).

    Those whose response is empty or not coherent are in neither.
    """
    if not asked:
        return [], []
    said = respond(lm, [one.prompt for one in asked], max_tokens=max_tokens)
    sound = coherent(lm, said)
    shows = [one.shows(response.text) for one, response in zip(asked, said, strict=True)]
    to_raise, to_lower = (
        [one for one, ok, there in zip(asked, sound, shows, strict=True) if ok and there == kind]
        for kind in (False, True)
    )
    return to_raise, to_lower


def changes_response(
    lm: LM, one: Asked, variants: Sequence[Sequence[Edit]], wanted: bool, *, max_tokens: int
) -> np.ndarray:
    """Whether the response under each variant shows the trait as `wanted`, and is coherent: [V] bool. One sweep."""
    made = lm.sweep(one.prompt, [list(edits) for edits in variants], max_tokens=max_tokens, progress=False)
    said = [Response(one.prompt, it.tokens, it.text) for it in made.continuations]
    out = np.array([bool(it.tokens) and one.shows(it.text) == wanted for it in said])
    if out.any():
        out[out] = coherent(lm, [it for it, fits in zip(said, out, strict=True) if fits])
    return out


def choose_place(
    lm: LM,
    vectors: Directions,
    to_raise: Sequence[Asked],
    to_lower: Sequence[Asked],
    *,
    layers: Sequence[int],
    strengths: Sequence[float],
    max_tokens: int,
    track: Track = iter,
) -> SteeringPlace:
    """The place at which adding raises, and subtracting lowers, the largest share of responses, in the mean of the two.

    Of equal ones the weakest in the earliest layer. Raises PromptError without a prompt, and if every vector has length 0.
    """
    grid = [(layer, strength) for layer in layers if not vectors.empty[-1, layer] for strength in strengths]
    if not grid or not (to_raise or to_lower):
        raise PromptError("a place is chosen by what vectors do to responses: needs a vector and a prompt")
    shares = {}
    for wanted, asked in ((True, to_raise), (False, to_lower)):
        sign = 1 if wanted else -1
        variants = [persona_edits(vectors.at(-1, layer), sign * strength) for layer, strength in grid]
        rows = [changes_response(lm, one, variants, wanted, max_tokens=max_tokens) for one in track(list(asked))]
        shares[wanted] = np.mean(rows, axis=0) if rows else np.full(len(grid), np.nan)
    both = np.nanmean([shares[True], shares[False]], axis=0)
    best = min(range(len(grid)), key=lambda i: (-both[i], grid[i][1], grid[i][0]))
    tables = {}
    for wanted, values in shares.items():
        table = dict(zip(grid, values, strict=True))
        tables[wanted] = np.array([[table.get((layer, s), np.nan) for s in strengths] for layer in layers])
    return SteeringPlace(*grid[best], tables[True], tables[False])
