"""Contrasts: pairs of states, of which one shows a behaviour, their vector, and the layer where it acts on other questions.

    >>> from assay.data.behaviours import questions
    >>> asked = questions("survival", "train")[:12]
    >>> found = letter_contrasts(lm, asked, [item.topic for item in asked])
    >>> found.vectors().shape, found.directions().at(-1, 3).vector.shape
    ((8, 128), (128,))
    >>> choice = cross_validated(lm, asked, found, strengths=(0.5, 1.0), folds=2)
    >>> choice.effects.shape, choice.strength in (0.5, 1.0)          # strengths, layers
    ((2, 8), True)

The words:

    contrast    the states of one question where the answer, or the option, matches the behaviour, and where it does not
    balanced    the mean over questions that match by A and the mean over those that match by B, halved: the letters cancel in any
                subset, also in one with more of one letter
    shuffled    the matching letters permuted among the questions: what a vector of these states does without the behaviour
    effect      of a vector on a question: preference of the matching letter with it added, less that with it subtracted
    choice      layer, strength and sign of the largest mean effect on questions about topics that the vector was not found on

A behaviour has no valid split, so the layer is chosen by cross-validation within train: the topics are dealt into folds, and each
question is answered under vectors of the other folds. Rimsky et al. 2024 (arXiv:2312.06681) take the layer of the largest effect
on questions like those that they report.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.errors import PromptError
from assay.forward.lm import LM
from assay.methods.directions import Direction, Directions
from assay.methods.portions import Track, batches
from assay.methods.preferences import where_answers_part
from assay.methods.sycophancy.contrastive import (
    ANSWERS,
    TwoOptions,
    letter_states,
    strength_addition,
    swept_letter_preference,
)
from assay.models.chat import System

LIKELY = 1e-4
"""Tokens that are less likely do not count among those that an answer may begin with."""


@dataclass(frozen=True, eq=False)
class Contrasts:
    """States of N questions in every layer."""

    matching: np.ndarray
    """[N, L, E] float32: where the answer or the option matches."""
    other: np.ndarray
    """[N, L, E] float32: where it does not."""
    letters: tuple[str, ...]
    """The matching letter of each question, "A" or "B"."""
    topics: tuple[str, ...]
    """What each question is about: questions of one topic are not independent."""

    def vectors(self, keep: np.ndarray | None = None) -> np.ndarray:
        """Matching less other, balanced, over the questions where `keep` [N] is true: [L, E] float64.

        Raises PromptError unless both letters are among them.
        """
        apart = self.matching.astype(np.float64) - self.other
        some, letters = (apart, np.array(self.letters)) if keep is None else (apart[keep], np.array(self.letters)[keep])
        if len(set(letters)) != 2:
            raise PromptError(
                f"{len(letters)} questions match by {' and '.join(sorted(set(letters))) or 'no letter'}: a vector needs "
                "questions that match by A and by B, so that the letters cancel"
            )
        by_a, by_b = (some[letters == letter].mean(axis=0) for letter in "AB")
        return (by_a + by_b) / 2

    def directions(self, keep: np.ndarray | None = None) -> Directions:
        """The vectors with the stream's mean length in each layer, as directions at position -1."""
        both = np.concatenate([self.matching, self.other]).astype(np.float64)
        lengths = np.linalg.norm(both, axis=-1).mean(axis=0)
        return Directions(self.vectors(keep)[None].astype(np.float32), (-1,), lengths[None], "resid_post")

    def shuffled(self, rng: np.random.Generator) -> "Contrasts":
        """The same states with the matching letters permuted among the questions."""
        dealt = tuple(rng.permutation(np.array(self.letters)).tolist())
        kept = (np.array(dealt) == np.array(self.letters))[:, None, None]
        matching, other = np.where(kept, self.matching, self.other), np.where(kept, self.other, self.matching)
        return Contrasts(matching, other, dealt, self.topics)

    def shuffled_control(self, direction: Direction, rng: np.random.Generator) -> Direction:
        """The vector of shuffled letters at the direction's layer, less its component along the direction, at its length.

        Where one dimension of the states tells matching from other, what is left of it under shuffled letters still does.
        """
        drawn, unit = self.shuffled(rng).vectors()[direction.layer], direction.unit.astype(np.float64)
        return direction.like(drawn - (drawn @ unit) * unit)


@dataclass(frozen=True, eq=False)
class LayerChoice:
    """Where, how strongly and in which sense a vector acts most."""

    effects: np.ndarray
    """[S, L] mean effect at each of S strengths in each layer; NaN in layers that were not tried."""
    layer: int
    strength: float
    """In units of the stream's mean length at the letter."""
    sign: int
    """-1 if adding the vector makes the matching letter less likely."""


def letter_contrasts(
    lm: LM, items: Sequence[TwoOptions], topics: Sequence[str], *, system: System = None, batch: int = 16
) -> Contrasts:
    """resid_post at the matching letter and at the other one. Raises as `letter_completions`."""
    matching, other = letter_states(lm, items, system=system, batch=batch)
    return Contrasts(matching, other, tuple(item.matches for item in items), tuple(topics))


def letters_answered(
    lm: LM, items: Sequence[TwoOptions], *, system: System = None, batch: int = 16
) -> tuple[np.ndarray, np.ndarray]:
    """The probability of the two letters where one is due [N], and whether A is the likelier one [N] bool.

    The paper puts "(" before the letter. Where the tokenizer joins "(A", the probability is that among the likely tokens that
    begin with "("; else it is that among all tokens. Where other tokens are likelier, the ratio of the two letters does not tell
    how the model would answer. Raises as `assay.methods.preferences.where_answers_part`.
    """
    mass, by_a = [], []
    parted = [where_answers_part(lm, item.prompt, ANSWERS, system=system) for item in items]
    for some in batches(parted, batch):
        rows = np.exp(np.array(lm.run([prompt for prompt, _ in some]).log_probs(), np.float64))
        for p, (_, (a, b)) in zip(rows, some, strict=True):
            shared = lm.decode([a]).strip().partition("A")[0]  # "(", or nothing
            likely = {a, b, *np.flatnonzero(p >= LIKELY).tolist()}
            all_of_them = (
                sum(p[token] for token in likely if lm.decode([token]).strip().startswith(shared)) if shared else 1.0
            )
            mass.append(float((p[a] + p[b]) / all_of_them))
            by_a.append(bool(p[a] > p[b]))
    return np.array(mass), np.array(by_a)


def topic_folds(topics: Sequence[str], folds: int) -> np.ndarray:
    """The fold of each question [N] int: topics are dealt around in their order, so a topic is in one fold.

    Raises PromptError for fewer than two folds, and for more folds than topics.
    """
    names = list(dict.fromkeys(topics))
    if not 2 <= folds <= len(names):
        raise PromptError(f"{len(names)} topics make 2 to {len(names)} folds, not {folds}")
    return np.array([names.index(topic) % folds for topic in topics])


def cross_validated(
    lm: LM,
    items: Sequence[TwoOptions],
    contrasts: Contrasts,
    strengths: Sequence[float],
    *,
    folds: int = 4,
    layers: Sequence[int] | None = None,
    system: System = None,
    track: Track = iter,
) -> LayerChoice:
    """The choice of layer, strength and sign. `items` are the questions of the contrasts, in their order.

    Each vector is added and subtracted at the token from which the letter is predicted. layers: those to try; None, all of them.
    Raises as `topic_folds` and `Contrasts.vectors`.
    """
    fold_of = topic_folds(contrasts.topics, folds)
    tried = list(range(lm.n_layers) if layers is None else layers)
    effects = np.full((len(items), len(strengths), len(tried)), np.nan)
    for fold in track(range(folds)):
        held_out = fold_of == fold
        found = contrasts.directions(~held_out)
        edits = [
            strength_addition(found.at(-1, layer), sign * strength)
            for strength in strengths
            for layer in tried
            for sign in (1, -1)
        ]
        asked = [item for item, out in zip(items, held_out, strict=True) if out]
        p = swept_letter_preference(lm, asked, edits, system=system)
        effects[held_out] = (p[:, ::2] - p[:, 1::2]).reshape(-1, len(strengths), len(tried))
    mean = np.full((len(strengths), lm.n_layers), np.nan)
    mean[:, tried] = effects.mean(axis=0)
    s, layer = np.unravel_index(np.nanargmax(np.abs(mean)), mean.shape)
    return LayerChoice(mean, int(layer), strengths[int(s)], 1 if mean[s, layer] >= 0 else -1)
