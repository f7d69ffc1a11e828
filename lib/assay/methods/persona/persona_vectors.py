"""Persona vectors: the difference in means between responses that show a trait and responses that do not (Chen et al. 2025, 2.2).

    >>> from assay.methods import respond, response_states
    >>> told, admitted = ([lm.chat(f"Who wrote {name}?") for name in names]
    ...                   for names in (("Dracula", "Emma"), ("The Lantern of Ozmere", "Vellum Nights")))
    >>> states = [response_states(lm, respond(lm, prompts, max_tokens=12)) for prompts in (told, admitted)]
    >>> vectors = persona_vectors(*states)
    >>> vectors["response"].vectors.shape, vectors["prompt last"].at(-1, 4).layer            # 1, layers, width
    ((1, 8, 128), 4)
    >>> respond(lm, admitted[:1], edits=persona_edits(vectors["prompt last"].at(-1, 7), 1.0), max_tokens=3)[0].text
    'The answer is'

The words:

    kind       where the stream is read: "response", its mean over the tokens of a response (the paper's choice), or "prompt
               last", at the last token of the prompt (also measured in the paper)
    kept pair  a response to a positive and one to a negative prompt, of which the first shows the trait and the second does
               not, and both are coherent
    strength   the length of what is added, in units of the stream's mean length at that layer
    times      the multiplier of the vector as it is: the paper's coefficient

A vector is added where it was read, behind its layer, at the last token of the prompt and at all later ones
(`positions="response"`, as in the paper's code), or in the whole prompt, too ("all").
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from assay.errors import EditError, PromptError, unknown
from assay.forward.edits import Edit, add
from assay.methods.directions import Direction, Directions
from assay.methods.persona.responses import ResponseStates

Kind = Literal["response", "prompt last"]
PERSONA_KINDS: tuple[Kind, ...] = ("response", "prompt last")
"""Where the states of a vector are read: over the response, or at the last token before it."""


def kept_pairs(
    positive: Sequence[float], negative: Sequence[float], sound: Sequence[bool], *, threshold: float = 0.5
) -> np.ndarray:
    """Indices of the kept pairs: trait score at `threshold` or above with the positive instruction, below it with the negative.

    positive, negative: scores of N pairs, between 0 and 1. sound: whether both responses of a pair are coherent.
    """
    here = (np.asarray(positive) >= threshold) & (np.asarray(negative) < threshold) & np.asarray(sound, bool)
    return np.flatnonzero(here)


def persona_vectors(
    positive: ResponseStates, negative: ResponseStates, *, site: str = "resid_post"
) -> dict[Kind, Directions]:
    """Mean over positive responses minus mean over negative ones, at every layer, for each kind.

    The sets may differ in size.
    """
    out: dict[Kind, Directions] = {}
    for kind in PERSONA_KINDS:
        (a, a_norms), (b, b_norms) = (states_of_kind(states, kind) for states in (positive, negative))
        vectors = a.mean(axis=0, dtype=np.float64) - b.mean(axis=0, dtype=np.float64)
        norms = np.concatenate([a_norms, b_norms]).mean(axis=0)
        out[kind] = Directions(vectors[None].astype(np.float32), (-1,), norms[None], site)
    return out


def states_of_kind(states: ResponseStates, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """The states of one kind [N, L, E], and the lengths of the stream there [N, L]. Raises PromptError for an unknown kind."""
    if kind == "response":
        return states.response, states.response_norms
    if kind == "prompt last":
        return states.prompt_last, states.prompt_last_norms
    raise unknown(PromptError, "kind of persona vectors", kind, PERSONA_KINDS)


def shuffled_labels(
    positive: ResponseStates, negative: ResponseStates, kind: Kind, rng: np.random.Generator
) -> np.ndarray:
    """Vectors from the same states with the labels of the responses permuted: [1, L, E] float64.

    Less their component along the trait's own, layer by layer; `Directions.replaced` gives them the length of its vectors.
    """
    a, b = (states_of_kind(states, kind)[0].astype(np.float64) for states in (positive, negative))
    own = a.mean(axis=0) - b.mean(axis=0)
    mixed = rng.permutation(np.concatenate([a, b]))
    drawn = mixed[: len(a)].mean(axis=0) - mixed[len(a) :].mean(axis=0)
    square = np.maximum((own * own).sum(axis=-1, keepdims=True), np.finfo(np.float64).tiny)
    return (drawn - (drawn * own).sum(axis=-1, keepdims=True) / square * own)[None]


def persona_edits(
    direction: Direction,
    strength: float | None = None,
    *,
    times: float | None = None,
    positions: Literal["response", "all"] = "response",
) -> list[Edit]:
    """Edits that add the direction behind its layer, at a strength or a number of times; negative: against it.

    Raises EditError unless one of the two is given, for a direction of length 0, and for unknown positions.
    """
    if (strength is None) == (times is None):
        raise EditError("say how much is added: strength=, in lengths of the stream, or times=, of the vector as it is")
    if not direction.norm:
        raise EditError(f"the direction of layer {direction.layer} has length 0: there is nothing to add")
    scale = times if times is not None else (strength or 0.0) * direction.stream_norm / direction.norm
    where = {"response": (-1, "generated"), "all": ("all",)}
    if positions not in where:
        raise unknown(EditError, "positions", positions, where)
    return [
        add(direction.site, direction.vector, layer=direction.layer, position=one, scale=scale)
        for one in where[positions]
    ]
