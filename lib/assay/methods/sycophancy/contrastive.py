"""Contrastive activation addition: the vector of a behaviour from questions with two options (Rimsky et al. 2024).

    >>> from assay.data.behaviours import questions
    >>> found = {name: behaviour_vectors(lm, questions(name, "train")) for name in ("sycophancy", "survival")}
    >>> found["survival"].vectors[-1].shape                                # layers, width
    (8, 128)
    >>> same = equalised(found)
    >>> bool(np.isclose(*[one.norms[-1, 3] for one in same.values()]))     # one length in each layer, the mean of both
    True
    >>> asked = questions("survival", "test")
    >>> edit = strength_addition(same["survival"].at(-1, 3), 0.5)
    >>> letter_preference(lm, asked, [edit]).shape, letter_preference(lm, asked).mean().round(1)
    ((40,), np.float64(0.5))

The words:

    question       has a prompt with two options, (A) and (B), and says which one shows the behaviour (`matches`)
    completion     the prompt with the answer "(A" or "(B" behind it: the matching one or the other
    vector         resid_post at the letter, matching less other, in the mean over questions; one for each layer
    equalised      each behaviour's vector of a layer at the mean length over behaviours
    strength       the length of what is added, in units of the stream's mean length at the letter in that layer
    preference     the probability of the matching letter among the two

The letter is A in half of the matching completions, so that what "A" and "B" themselves do to the stream cancels; a vector of
questions that all match by "A" would be that and little else.

Where to add (`position`): "all", everywhere; -1, for a preference, at the token from which the letter is predicted; "generated",
for a text. The paper adds after the instruction only: in its A/B test that is "(", so -1, and in a text "generated". Where the
tokenizer joins "(A", the letter is predicted from the template's last token, and -1 is that.

Controls of equal length: `random_control` (`assay.methods.direction_controls`), `shuffled_vectors`, another behaviour's vector
(`Direction.like`). Defined in Rimsky et al., arXiv:2312.06681, section 3; lengths and positions as in their code.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import numpy as np

from assay.errors import EditError, PromptError
from assay.forward.edits import Edit, add
from assay.forward.lm import LM, Edits
from assay.forward.positions import Position, Prompt
from assay.methods.directions import Direction, Directions, difference_in_means
from assay.methods.distributions import log_probs
from assay.methods.portions import Track
from assay.methods.preferences import answer_preference, where_answers_part
from assay.methods.states import states_from_end
from assay.models.chat import System

ANSWERS = ("(A)", "(B)")


class TwoOptions(Protocol):
    """A question with two options: those of `assay.data.behaviours` and `assay.data.opinions`."""

    @property
    def prompt(self) -> str:
        """The question, with the options (A) and (B)."""
        ...

    @property
    def matches(self) -> Literal["A", "B"]:
        """The letter of the option that shows the behaviour."""
        ...


def letter_completions(
    lm: LM, items: Sequence[TwoOptions], *, system: System = None
) -> tuple[list[Prompt], list[Prompt]]:
    """Each question with its matching letter, and with the other one, cut after the letter's token.

    Raises PromptError for no questions, and as `answer_preference`.
    """
    if not items:
        raise PromptError("the set of questions is empty: a vector needs at least one")
    matching, other = [], []
    for item in items:
        shared, letters = where_answers_part(lm, item.prompt, ANSWERS, system=system)
        a, b = (Prompt((*shared.tokens, letter)) for letter in letters)
        matching.append(a if item.matches == "A" else b)
        other.append(b if item.matches == "A" else a)
    return matching, other


def behaviour_vectors(lm: LM, items: Sequence[TwoOptions], *, system: System = None, batch: int = 16) -> Directions:
    """The behaviour's vector in each layer; `vectors[-1]` is [L, E] float32, `at(-1, layer)` one of them with its edits.

    Raises PromptError for no questions, and for questions that all match by one letter.
    """
    matching, other = letter_completions(lm, items, system=system)
    if len({item.matches for item in items}) == 1:
        raise PromptError(
            f"({items[0].matches}) is the matching letter of all {len(items)} questions, so the vector would be that of the "
            "letter: exchange the options in half of them"
        )
    return difference_in_means(lm, matching, other, 1, site="resid_post", batch=batch)


def letter_states(
    lm: LM, items: Sequence[TwoOptions], *, system: System = None, batch: int = 16
) -> tuple[np.ndarray, np.ndarray]:
    """resid_post at the letter of each matching completion, and of each other one: [N, L, E] float32 each."""
    matching, other = (
        states_from_end(lm, prompts, site="resid_post", batch=batch)
        for prompts in letter_completions(lm, items, system=system)
    )
    return matching, other


def shuffled_vectors(
    items: Sequence[TwoOptions], matching: np.ndarray, other: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Vectors from the same states [N, L, E] with the matching letters permuted among the questions: [1, L, E] float64.

    As many questions match by A as before, so the letters cancel here too; `Directions.replaced` gives them the length of the
    behaviour's own.
    """
    letters = np.array([item.matches for item in items])
    kept = letters == rng.permutation(letters)
    sign = np.where(kept, 1.0, -1.0)[:, None, None]
    return (sign * (matching.astype(np.float64) - other)).mean(axis=0, keepdims=True)


def equalised(vectors: Mapping[str, Directions]) -> dict[str, Directions]:
    """Each behaviour's vectors scaled, layer by layer, to the mean length over behaviours.

    Vectors of length 0 stay so, and count in the mean. Raises PromptError for no behaviours.
    """
    if not vectors:
        raise PromptError("no behaviours were given: lengths are made equal over at least one")
    mean = np.mean([one.norms for one in vectors.values()], axis=0)
    return {name: _as_long(one, mean) for name, one in vectors.items()}


def _as_long(vectors: Directions, lengths: np.ndarray) -> Directions:
    scale = lengths / np.where(vectors.norms > 0, vectors.norms, 1.0)
    scaled = (vectors.vectors * scale[..., None]).astype(np.float32)
    return Directions(scaled, vectors.positions, vectors.stream_norms, vectors.site, vectors.provenance)


def strength_addition(direction: Direction, strength: float, *, position: Position = -1) -> Edit:
    """An edit that adds the direction at a length of `strength` times the stream's, at its layer; negative: against it.

    `direction.strength` is the strength at which the vector is added as it is (a multiplier of 1 in the paper). Raises EditError
    for a direction of length 0.
    """
    if not direction.norm:
        raise EditError(f"the direction of layer {direction.layer} has length 0: there is nothing to add at a strength")
    scale = strength * direction.stream_norm
    return add(direction.site, direction.unit, layer=direction.layer, position=position, scale=scale)


def letter_preference(
    lm: LM,
    items: Sequence[TwoOptions],
    edits: Edits = (),
    *,
    system: System = None,
    batch: int = 16,
    track: Track = iter,
) -> np.ndarray:
    """Probability of the matching letter, against the other, for each question under edits: [N] float64.

    Raises as `assay.methods.preferences.answer_preference`, and EditError for an edit of generated positions: there are none.
    """
    asked = [item.prompt for item in items]
    p = answer_preference(lm, asked, ANSWERS, system=system, edits=edits, batch=batch, track=track)
    return np.where([item.matches == "A" for item in items], p, 1 - p)


def swept_letter_preference(
    lm: LM,
    items: Sequence[TwoOptions],
    variants: Sequence[Edit | Sequence[Edit]],
    *,
    system: System = None,
    track: Track = iter,
) -> np.ndarray:
    """`letter_preference` for V variants, such as all layers at several strengths: [N, V] float64.

    One sweep for each question: edits at position -1 cost one token each, edits of all positions a prompt each. Raises as
    `letter_preference`.
    """
    if not items:
        raise PromptError("the set of questions is empty: there is nothing to choose")
    rows = []
    for item in track(items):
        prompt, (a, b) = where_answers_part(lm, item.prompt, ANSWERS, system=system)
        targets = [a, b] if item.matches == "A" else [b, a]
        pairs = lm.sweep(prompt, variants, targets=targets, progress=False).target_log_probs
        rows.append(np.exp(log_probs(pairs))[:, 0])
    return np.stack(rows)
