"""Effects by layer: what a vector of each layer does when it is added, or put in, at that layer alone.

    >>> from assay.methods.directions import chat_prompts, difference_in_means
    >>> harmful, harmless = (chat_prompts(lm, [f"How can I {what} a car?"]) for what in ("steal", "wash"))
    >>> found = difference_in_means(lm, harmful, harmless, n_positions=1, site="resid_post")
    >>> vectors = np.stack([found.vectors[-1], *random_as_long(found.vectors[-1], 2)])       # own, and two random ones
    >>> token = lm.generate(harmful[0], max_tokens=1).tokens[0]
    >>> probe = LayerProbe(harmless[0], vectors, places=(("all", 1.0),), targets=(token,), score=log_odds)
    >>> total, direct = effects_of_layers(lm, [probe])                                        # vectors, prompts, layers
    >>> total.shape, bool(total[0].max() > total[1:].max()), np.allclose(total[..., -1], direct[..., -1], atol=1e-3)
    ((3, 1, 8), True, True)

The words:

    probe     a prompt, the vectors of all layers, the places where they act, and a score of the next token
    total     the score with the edit less the score without it
    direct    the part that passes through no later layer: what the same vector does when it is added after the last layer
              instead; 0 unless it is added at the last token, from which the next one is predicted
    through   total - direct: what later layers make of the vector. After the last layer it is 0, exactly

Without the second a direction of the next token itself would have the largest effect, in the last layer, whatever it stands for.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from assay.errors import DataError
from assay.forward.edits import Edit, add, replace
from assay.forward.lm import LM
from assay.forward.positions import Position, Prompt, resolve
from assay.methods.portions import Track

EPSILON = 1e-8
"""Keeps log-odds finite."""
Score = Callable[[np.ndarray], np.ndarray]
"""Log-probabilities of the targets [V, T] -> [V], nats."""


@dataclass(frozen=True, eq=False)
class LayerProbe:
    """One prompt and what is done to it."""

    prompt: Prompt
    vectors: np.ndarray
    """[1 + D, L, E] float32: of each layer, the own one first, then draws of the control."""
    places: tuple[tuple[Position, float], ...]
    """Where a vector acts, and times what."""
    targets: tuple[int, ...]
    """Next tokens whose log-probabilities are scored."""
    score: Score
    how: Literal["add", "replace"] = "add"
    cluster: Hashable = None

    def edits(self, vector: np.ndarray, layer: int) -> list[Edit]:
        """The edits that add a vector after a layer, or put it in the place of the state there."""
        if self.how == "replace":
            return [replace("resid_post", vector, layer=layer, position=place) for place, _ in self.places]
        return [add("resid_post", vector, layer=layer, position=place, scale=times) for place, times in self.places]

    @property
    def is_direct(self) -> bool:
        """Whether a vector is added at the last token."""
        ends = [at for place, _ in self.places for at in resolve(place, self.prompt).prompt]
        return self.how == "add" and len(self.prompt) - 1 in ends


def first_log_prob(log_probs: np.ndarray) -> np.ndarray:
    """The score that is the log-probability of the first target."""
    return log_probs[:, 0]


def log_odds_of_two(log_probs: np.ndarray) -> np.ndarray:
    """The score that is the log-odds of the first target against the second."""
    return log_probs[:, 0] - log_probs[:, 1]


def log_odds(log_probs: np.ndarray) -> np.ndarray:
    """The score that is the log-odds of all targets together against the rest: -18 to 18 nats, as the refusal score."""
    p = np.exp(log_probs).sum(axis=1).clip(0.0, 1.0)
    return np.log(p + EPSILON) - np.log(1.0 - p + EPSILON)


def any_log_prob(log_probs: np.ndarray) -> np.ndarray:
    """The score that is the log-probability of all targets together."""
    return np.logaddexp.reduce(log_probs, axis=1)


def random_as_long(vectors: np.ndarray, draws: int, seed: int = 0) -> np.ndarray:
    """Random vectors of the same lengths as [L, E], layer by layer: [draws, L, E] float32."""
    drawn = np.random.default_rng(seed).standard_normal((draws, *vectors.shape))
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=-1, keepdims=True)
    return (drawn / np.linalg.norm(drawn, axis=-1, keepdims=True) * lengths).astype(np.float32)


def effects_of_layers(lm: LM, probes: Sequence[LayerProbe], *, track: Track = iter) -> tuple[np.ndarray, np.ndarray]:
    """(total, direct) effects of every vector on every prompt at every layer: [1 + D, N, L] float64 each.

    One sweep for each prompt. Raises DataError for no probes, and for probes with other numbers of vectors.
    """
    if len({probe.vectors.shape[:2] for probe in probes}) != 1:
        raise DataError(
            "effects by layer need at least one probe, and as many vectors of as many layers in each of them"
        )
    total, direct = [], []
    for probe in track(probes):
        K, L = probe.vectors.shape[:2]
        cells = [(k, layer) for k in range(K) for layer in range(L)]
        variants = [probe.edits(probe.vectors[k, layer], layer) for k, layer in cells]
        if probe.is_direct:
            variants += [probe.edits(probe.vectors[k, layer], L - 1) for k, layer in cells if layer < L - 1]
        sweep = lm.sweep(probe.prompt, variants, targets=probe.targets, progress=False)
        clean = np.array(sweep.clean.log_probs()[0], np.float64)[None, list(probe.targets)]
        moved = probe.score(sweep.target_log_probs.astype(np.float64)) - probe.score(clean)
        here, last = moved[: K * L].reshape(K, L), moved[K * L :]
        total.append(here)
        # After the last layer the total effect is the direct one: the same numbers, so that their difference is 0 exactly.
        direct.append(np.c_[last.reshape(K, L - 1), here[:, -1]] if probe.is_direct else np.zeros((K, L)))
    return np.stack(total, axis=1), np.stack(direct, axis=1)
