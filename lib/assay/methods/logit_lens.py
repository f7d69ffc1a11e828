"""Logit lens: read every layer's residual stream as if it were the last (nostalgebraist 2020).

    >>> lens = logit_lens(lm, "The capital of France is")                    # doctest: +SKIP
    >>> lens.ranks(" Paris")                                                 # doctest: +SKIP
    array([812, 40, 3, 0, 0, 0, 0, 0])
    >>> lens.top(3)[-1]                                                      # doctest: +SKIP
    [' Paris', ' Lyon', ' Rome']
    >>> [lens.kl_to_final()[0] for lens in logit_lenses(lm, prompts, -1)]    # several prompts       # doctest: +SKIP

Each state goes through the model's own final norm, unembedding and final softcap, so at the last layer the lens is the
model's output, bit for bit. Reductions are in float32. Rank 0 is the top token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from assay.errors import PositionError
from assay.forward.lm import LM, PromptLike
from assay.forward.positions import Position, resolve


@dataclass(frozen=True, eq=False)
class Lens:
    """Log-probabilities of the next token after each layer, [layers, V], at one position."""

    lm: LM
    log_probs: np.ndarray

    def ranks(self, token: str | int) -> np.ndarray:
        """How many tokens are likelier than this one, per layer [layers]."""
        of = self.log_probs[:, self._id(token)]
        return (self.log_probs > of[:, None]).sum(axis=1)

    def best_ranks(self, tokens: Sequence[str | int]) -> np.ndarray:
        """How many tokens are likelier than the likeliest of these (ways to write one name), per layer [layers]."""
        best = self.log_probs[:, [self._id(token) for token in tokens]].max(axis=1)
        return (self.log_probs > best[:, None]).sum(axis=1)

    def probs(self, token: str | int) -> np.ndarray:
        """Probability of this token, per layer [layers]."""
        return np.exp(self.log_probs[:, self._id(token)])

    def top(self, k: int) -> list[list[str]]:
        """The k likeliest tokens of each layer, as text."""
        best = np.argsort(-self.log_probs, axis=1, kind="stable")[:, :k]
        return [[self.lm.decode([int(t)]) for t in row] for row in best]

    def agreement(self, k: int) -> np.ndarray:
        """Which share of the last layer's k likeliest tokens each layer has among its own k, per layer [layers]."""
        best = np.argsort(-self.log_probs, axis=1, kind="stable")[:, :k]
        return np.isin(best, best[-1]).mean(axis=1)

    def kl_to_final(self) -> np.ndarray:
        """KL(final || layer) in nats, per layer [layers]; 0 at the last."""
        final = self.log_probs[-1]
        return (np.exp(final) * (final - self.log_probs)).sum(axis=1)

    def entropy(self) -> np.ndarray:
        """Entropy in nats, per layer [layers]."""
        return -(np.exp(self.log_probs) * self.log_probs).sum(axis=1)

    def first_layer(self, token: str | int, rank_below: int) -> int | None:
        """The first layer where the token's rank is below a number, or None."""
        hits = np.flatnonzero(self.ranks(token) < rank_below)
        return int(hits[0]) if len(hits) else None

    def _id(self, token: str | int) -> int:
        return self.lm.token(token) if isinstance(token, str) else token


def logit_lens(lm: LM, prompt: PromptLike, position: Position = -1) -> Lens:
    """The lens on resid_post of every layer, at one position of the prompt."""
    return logit_lenses(lm, [prompt], position)[0]


def logit_lenses(
    lm: LM, prompts: Sequence[PromptLike], positions: Position | Sequence[Position] = -1, *, batch: int = 16
) -> list[Lens]:
    """The lens at one position of each prompt: the same for all, or one for each. Prompts are read `batch` at a time.

    A prompt's lens is the same, bit for bit, whatever is read beside it. Raises PositionError for another number of
    positions than prompts, and for a position that is not one token of its prompt.
    """
    given = [lm.prompt(prompt) for prompt in prompts]
    several = isinstance(positions, Sequence) and not isinstance(positions, str)
    each: list[Position] = list(positions) if several else [positions] * len(given)  # type: ignore[arg-type,list-item]
    if len(each) != len(given):
        raise PositionError(f"{len(given)} prompts need one position, or as many, got {len(each)}")
    lenses = []
    for start in range(0, len(given), batch):
        part = given[start : start + batch]
        run = lm.run(part, keep="resid_post")
        for row, (prompt, position) in enumerate(zip(part, each[start:], strict=False)):
            places = resolve(position, prompt).prompt
            if len(places) != 1:
                raise PositionError(f"a lens reads one position of the prompt, {position!r} is {len(places)}")
            stream = mx.stack([run["resid_post", i][row, places[0]] for i in range(lm.n_layers)])
            logits = lm.family.unembed(lm.family.final_norm(stream)).astype(mx.float32)
            lenses.append(Lens(lm, np.array(logits - mx.logsumexp(logits, axis=-1, keepdims=True))))
    return lenses
