"""Contrasts: pairs of states, of which one shows a behaviour, their vector, and the layer where it acts on other questions.

    >>> from assay.data.behaviours import questions
    >>> asked = questions("survival", "train")[:12]
    >>> found = letter_contrasts(lm, asked, [item.topic for item in asked])
    >>> found.vectors().shape, found.directions().at(-1, 3).vector.shape
    ((8, 128), (128,))
    >>> fold, rng = topic_folds(found.topics, 2), np.random.default_rng(0)
    >>> some = [found.own(), found.at_random(rng), found.of_shuffled(rng, fold)]
    >>> own, random, shuffled = cross_validated(lm, asked, some, fold, strengths=(0.5, 1.0))
    >>> own.effects.shape, own.strength in (0.5, 1.0)                # strengths, layers
    ((2, 8), True)
    >>> own.addition(-1.0).layers == own.layer                       # at its layer and strength, away from the behaviour
    True

The words:

    contrast    the states of one question where the answer, or the option, matches the behaviour, and where it does not
    balanced    the mean over questions that match by A and the mean over those that match by B, halved: the letters cancel in any
                subset, also in one with more of one letter
    series      a vector in each layer, found anew from any subset of the questions, and the letters that its effect is told by:
                the behaviour's own, or a control's
    effect      of a vector on a question: preference of the series' letter with it added, less that with it subtracted
    choice      layer, strength and sign of the largest mean effect on questions about topics that the vector was not found on

A control has the same choice as the behaviour's own vector, made on the same questions; what is compared is what each of them
does, where it was chosen, to questions that no choice has seen. The control is

    at random   a random vector in each layer, the same in every fold; its effect is told by the matching letters, too
    shuffled    a vector from the same states with the matching letters permuted among the questions, less its component along the
                own one; its effect is told by the permuted letters, as if they were the matching ones
    another     a given vector in each layer, such as another behaviour's; its effect is told by the matching letters

A behaviour has no valid split, so the layer is chosen by cross-validation within train: the topics are dealt into folds, and each
question is answered under vectors of the other folds. Rimsky et al. 2024 (arXiv:2312.06681) take the layer of the largest effect
on questions like those that they report.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from assay.errors import PromptError
from assay.forward.edits import Edit
from assay.forward.lm import LM
from assay.forward.positions import Position
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

    def shuffled(self, rng: np.random.Generator, within: np.ndarray | None = None) -> "Contrasts":
        """The same states with the matching letters permuted among the questions; within: [N], only where these are equal."""
        letters = np.array(self.letters)
        dealt = letters.copy()
        for label in [None] if within is None else np.unique(within):
            some = np.ones(len(letters), bool) if within is None else within == label
            dealt[some] = rng.permutation(letters[some])
        kept = (dealt == letters)[:, None, None]
        matching, other = np.where(kept, self.matching, self.other), np.where(kept, self.other, self.matching)
        return Contrasts(matching, other, tuple(dealt.tolist()), self.topics)

    def own(self) -> "Series":
        """The vectors of these contrasts."""
        return Series(self.directions, self.letters)

    def another(self, vectors: np.ndarray) -> "Series":
        """Other vectors [L, E], each as long as the one of its layer."""
        return Series(lambda keep: self.directions(keep).replaced(vectors[None]), self.letters)

    def at_random(self, rng: np.random.Generator) -> "Series":
        """One draw of random vectors."""
        return self.another(rng.standard_normal(self.matching.shape[1:]))

    def of_shuffled(self, rng: np.random.Generator, within: np.ndarray | None = None) -> "Series":
        """One draw of shuffled letters: its vectors less their components along those of these contrasts, and as long.

        Where one dimension of the states tells matching from other, what is left of it under shuffled letters still does. within:
        as in `shuffled`; the folds of a choice leave each fold as many of either letter.
        """
        drawn = self.shuffled(rng, within)

        def find(keep: np.ndarray | None) -> Directions:
            vectors, own = drawn.vectors(keep), self.vectors(keep)
            lengths = np.maximum(np.linalg.norm(own, axis=-1, keepdims=True), np.finfo(np.float64).tiny)
            along = (vectors * own / lengths).sum(axis=-1, keepdims=True)
            return self.directions(keep).replaced((vectors - along * own / lengths)[None])

        return Series(find, drawn.letters)


@dataclass(frozen=True, eq=False)
class Series:
    """A vector in each layer that a layer is chosen for."""

    found: Callable[[np.ndarray | None], Directions]
    """The vectors at position -1, from the questions where the argument [N] is true; None: from all of them."""
    letters: tuple[str, ...]
    """The letter of each question that adding the vector should make likelier."""


@dataclass(frozen=True, eq=False)
class LayerChoice:
    """Where, how strongly and in which sense a vector acts most."""

    direction: Direction
    """The vector of the chosen layer, from all questions."""
    effects: np.ndarray
    """[S, L] mean effect at each of S strengths in each layer; NaN in layers that were not tried."""
    strength: float
    """In units of the stream's mean length at the letter."""
    sign: int
    """-1 if adding the vector makes the letter less likely."""

    @property
    def layer(self) -> int:
        """The chosen layer."""
        return self.direction.layer

    def addition(self, times: float = 1.0, *, position: Position = -1) -> Edit:
        """An edit that adds `times` the chosen strength of the vector, in the sense in which it makes the letter likelier."""
        return strength_addition(self.direction, times * self.sign * self.strength, position=position)


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
    series: Sequence[Series],
    fold_of: np.ndarray,
    strengths: Sequence[float],
    *,
    layers: Sequence[int] | None = None,
    system: System = None,
    track: Track = iter,
) -> list[LayerChoice]:
    """The choice of layer, strength and sign for each series. `items` are the questions of the contrasts, in their order.

    Each vector is added and subtracted at the token from which the letter is predicted. fold_of: [N], as of `topic_folds`.
    layers: those to try; None, all of them. Raises as `Contrasts.vectors`.
    """
    tried = list(range(lm.n_layers) if layers is None else layers)
    effects = np.full((len(items), len(series), len(strengths), len(tried)), np.nan)
    for fold in track(np.unique(fold_of).tolist()):
        held_out = fold_of == fold
        edits = [
            strength_addition(found.at(-1, layer), sign * strength)
            for found in [one.found(~held_out) for one in series]
            for strength in strengths
            for layer in tried
            for sign in (1, -1)
        ]
        asked = [item for item, out in zip(items, held_out, strict=True) if out]
        p = swept_letter_preference(lm, asked, edits, system=system)
        effects[held_out] = (p[:, ::2] - p[:, 1::2]).reshape(-1, *effects.shape[1:])
    matches = [item.matches for item in items]
    return [_largest(one, effects[:, i], matches, strengths, tried, lm.n_layers) for i, one in enumerate(series)]


def _largest(
    series: Series,
    effects: np.ndarray,
    matches: Sequence[str],
    strengths: Sequence[float],
    tried: Sequence[int],
    n_layers: int,
) -> LayerChoice:
    """The choice by effects [N, S, tried] on the preference of the matching letters."""
    # The preference of the other letter is the rest.
    told = np.where(np.array(series.letters) == np.array(matches), 1.0, -1.0)
    mean = np.full((len(strengths), n_layers), np.nan)
    mean[:, tried] = (told[:, None, None] * effects).mean(axis=0)
    s, layer = np.unravel_index(np.nanargmax(np.abs(mean)), mean.shape)
    direction = series.found(None).at(-1, int(layer))
    return LayerChoice(direction, mean, strengths[int(s)], 1 if mean[s, layer] >= 0 else -1)
