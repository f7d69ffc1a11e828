"""Steering with a persona vector: where it acts best, and how often it changes what a response shows (Chen et al. 2025, 3.2).

    >>> from assay.data.knowledge import admits, entities
    >>> from assay.methods import persona_vectors, response_states
    >>> asked = {known: [Asked(lm.chat(item.question), (item.name,), lambda text: not admits(text)) for item in entities("train")
    ...                  if item.known == known][:6] for known in (True, False)}
    >>> told, admitted = (respond(lm, [one.prompt for one in asked[known]], max_tokens=12) for known in (True, False))
    >>> vectors = persona_vectors(response_states(lm, told), response_states(lm, admitted))["prompt last"]
    >>> random = vectors.replaced(np.random.default_rng(0).standard_normal(vectors.vectors.shape))
    >>> grid = {"layers": (4, 7), "strengths": (0.5,), "max_tokens": 12}
    >>> own, by_chance = choose_places(lm, [vectors, random], asked[False], asked[True], **grid)
    >>> own.layer, own.raised.shape                               # a share for each layer
    (7, (2,))

The words:

    shows      a function of a response: does it show the trait?
    raised     the response to a question that shows no trait without steering shows it with the vector added, and is coherent
    lowered    the response to a question that shows it without steering does not with the vector subtracted, and is coherent
    place      a layer and a strength; a control chooses its own, as the vectors do
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
    about: tuple[str, ...]
    """What it is about, a label for each factor: a name, or a question and an instruction."""
    shows: Callable[[str], bool]


@dataclass(frozen=True, eq=False)
class SteeringPlace:
    """The layer and strength at which a vector changes most responses, and the shares at all layers."""

    layer: int
    strength: float
    raised: np.ndarray
    """[layers] share of responses that are raised at the first strength; NaN if there were none to raise, or no vector."""
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
    said = {it.tokens: Response(one.prompt, it.tokens, it.text) for it in made.continuations}  # many are the same
    fits = [it for it in said.values() if it.tokens and one.shows(it.text) == wanted]
    sound = dict(zip([it.tokens for it in fits], coherent(lm, fits), strict=True)) if fits else {}
    return np.array([bool(sound.get(it.tokens, False)) for it in made.continuations])


def choose_places(
    lm: LM,
    candidates: Sequence[Directions],
    to_raise: Sequence[Asked],
    to_lower: Sequence[Asked],
    *,
    layers: Sequence[int],
    strengths: Sequence[float],
    max_tokens: int,
    track: Track = iter,
) -> list[SteeringPlace]:
    """For each candidate the layer, then the strength there, at which most responses change: the mean of both shares.

    Adding should raise, subtracting lower. Layers are compared at the first of the strengths. candidates: vectors and their
    controls, each of which chooses for itself. Of equal layers the earliest is taken, of equal strengths the largest: a control
    that does nothing to these prompts is no weak one.
    Raises PromptError without a prompt, and if every vector of a candidate has length 0.
    """
    grids = [[(at, strengths[0]) for at in layers if not one.empty[-1, at]] for one in candidates]
    if not all(grids) or not (to_raise or to_lower):
        raise PromptError("a place is chosen by what vectors do to responses: needs a vector and a prompt")

    def best(grids: list[list[tuple[int, float]]]) -> tuple[list[tuple[int, float]], list[np.ndarray]]:
        """The best place of each candidate's grid, and its shares [2, places]."""
        shares = []
        for wanted, asked in ((True, to_raise), (False, to_lower)):
            sign = 1 if wanted else -1
            variants = [
                persona_edits(one.at(-1, layer), sign * strength)
                for one, grid in zip(candidates, grids, strict=True)
                for layer, strength in grid
            ]
            rows = [changes_response(lm, one, variants, wanted, max_tokens=max_tokens) for one in track(list(asked))]
            shares.append(np.mean(rows, axis=0) if rows else np.full(len(variants), np.nan))
        parts = np.split(np.array(shares), np.cumsum([len(grid) for grid in grids])[:-1], axis=1)
        return [grid[int(np.nanmean(part, axis=0).argmax())] for grid, part in zip(grids, parts, strict=True)], parts

    found, shares = best(grids)
    if len(strengths) > 1:
        found, _ = best([[(layer, s) for s in sorted(strengths, reverse=True)] for layer, _ in found])
    out = []
    for place, grid, part in zip(found, grids, shares, strict=True):
        at = [layer for layer, _ in grid]
        raised, lowered = ([side[at.index(layer)] if layer in at else np.nan for layer in layers] for side in part)
        out.append(SteeringPlace(*place, np.array(raised), np.array(lowered)))
    return out
