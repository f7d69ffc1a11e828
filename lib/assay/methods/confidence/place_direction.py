"""A direction at one token of a prompt: the difference between two kinds of questions at the end of a name or statement.

    >>> from assay.data.knowledge import entities
    >>> from assay.methods.directions import difference_in_means
    >>> some = [(item, place_at_end_of(lm, item.question, item.name)) for item in entities("train")[:40]]
    >>> made_up, known = ([place.until_there for item, place in some if item.known == kind] for kind in (False, True))
    >>> found = difference_in_means(lm, made_up, known, n_positions=1, site="resid_post")
    >>> item, place = next(pair for pair in some if pair[0].known)
    >>> lm.generate(place.prompt, edits=[place.adding(found.at(-1, 3))], max_tokens=8).text          # of a known name
    'I do not know.'

A question is cut after the last token of a name or statement, the *place*: there position -1 is the place, and later tokens do
not matter. An edit of the whole question acts at the same position, counted from its start.

The layer at which two kinds of questions are separated best need not be one whose direction later layers read: none reads the
last layer's. So there are two choices of a layer, by separation and by effect. Used for known and made-up names (Ferrando et
al. 2024, arXiv:2411.14257, who find directions with sparse autoencoders) and for true and false statements (Marks and Tegmark
2023, arXiv:2310.06824: the mass-mean direction).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.errors import PromptError
from assay.forward.answers import until
from assay.forward.edits import Edit, add
from assay.forward.lm import LM
from assay.forward.positions import Prompt, resolve, text
from assay.methods.directions import Direction, Directions
from assay.methods.separation import auroc, d_prime, project_onto
from assay.methods.states import states_from_end


@dataclass(frozen=True)
class PromptPlace:
    """A prompt, and the position in it where a direction is read and added."""

    prompt: Prompt
    at: int

    @property
    def until_there(self) -> Prompt:
        """The prompt up to and including that position."""
        return until(self.prompt, self.at)

    def adding(self, direction: Direction, times: float = 1.0) -> Edit:
        """An edit that adds `times` the direction at that position, at the direction's layer."""
        return add(direction.site, direction.vector, layer=direction.layer, position=self.at, scale=times)


def place_at_end_of(lm: LM, user: str, fragment: str) -> PromptPlace:
    """The last token of a fragment of what a user says, in the model's chat template.

    Raises NoChatTemplate without one, PositionError for a fragment that is not in the text exactly once.
    """
    prompt = lm.chat(user)
    (at,) = resolve(text(fragment), prompt).prompt
    return PromptPlace(prompt, at)


def states_at_places(lm: LM, places: Sequence[PromptPlace], *, site: str = "resid_post") -> np.ndarray:
    """The stream at each place: [N, L, E] float32."""
    return states_from_end(lm, [one.until_there for one in places], site=site)


def separating_layer(directions: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> int:
    """The layer at which directions [L, E] separate two kinds of states [N, L, E] best, by d'."""
    return int(np.argmax([d_prime(*sides) for sides in _along(directions, positive, negative)]))


def acting_layer(lm: LM, candidates: Directions, places: Sequence[PromptPlace], token: int) -> int:
    """The layer whose direction, added at the places, makes `token` likeliest as the answer's first, in the mean over places."""
    layers = range(candidates.vectors.shape[1])
    at_end = [candidates.at(-1, layer) for layer in layers if not candidates.empty[-1, layer]]
    if not at_end or not places:
        raise PromptError("a layer is chosen by what directions do to answers: needs a direction and a prompt")
    rises = [
        lm.sweep(one.prompt, [[one.adding(d, 1.0)] for d in at_end], targets=[token], progress=False).target_log_probs[
            :, 0
        ]
        for one in places
    ]
    return at_end[int(np.argmax(np.mean(rises, axis=0)))].layer


def auroc_by_layer(directions: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> list[float]:
    """Area under the ROC curve of two kinds of states [N, L, E] along directions [L, E], for each layer."""
    return [auroc(*sides) for sides in _along(directions, positive, negative)]


def _along(directions: np.ndarray, *kinds: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Coordinates of each kind of states along the directions, layer by layer; zeros along a direction of length 0."""
    return [
        tuple(project_onto(states[:, i], one) if one.any() else np.zeros(len(states)) for states in kinds)
        for i, one in enumerate(directions)
    ]
