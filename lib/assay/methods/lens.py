"""Logit lens: read every layer's residual stream as if it were the last (nostalgebraist 2020).

    >>> lens = logit_lens(lm, "The capital of France is")
    >>> lens.ranks(" Paris")                                       # layer by layer
    array([91, 26, 17, 11,  0,  0,  0,  0])
    >>> lens.top(3)[-1]
    [' Paris', ' Berlin', ' Rome']

Each state goes through the model's own final norm, unembedding and final softcap, so at the last layer the lens gives the
model's output, bit for bit. Log-probabilities are float32. Rank 0 is the top token. Of a text the first token is read, as it
follows the prompt up to the position (`lm.token`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.errors import PositionError
from assay.forward.answers import until
from assay.forward.lm import LM, PromptLike
from assay.forward.positions import Position, Prompt, resolve
from assay.methods.distributions import kl_divergence, log_softmax, token_ranks
from assay.methods.portions import batches
from assay.methods.states import states_at


@dataclass(frozen=True, eq=False)
class Lens:
    """Log-probabilities of the next token after each layer, [layers, V], at one position."""

    lm: LM
    log_probs: np.ndarray
    after: Prompt | None = None
    """The prompt up to that position: texts are read as they follow it. None: as they follow any text."""

    def ranks(self, token: str | int) -> np.ndarray:
        """How many tokens are likelier than this one, per layer [layers]."""
        return self.best_ranks([token])

    def best_ranks(self, tokens: Sequence[str | int]) -> np.ndarray:
        """How many tokens are likelier than the likeliest of these (ways to write one name), per layer [layers]."""
        return token_ranks(self.log_probs, [self._id(token) for token in tokens])

    def probs(self, token: str | int) -> np.ndarray:
        """Probability of this token, per layer [layers]."""
        return np.exp(self.log_probs[:, self._id(token)])

    def top(self, k: int) -> list[list[str]]:
        """The k likeliest tokens of each layer, as text."""
        best = np.argsort(-self.log_probs, axis=1, kind="stable")[:, :k]
        return [[self.lm.decode([int(t)]) for t in row] for row in best]

    def agreement(self, k: int) -> np.ndarray:
        """The share of the last layer's k likeliest tokens that are among the k likeliest of each layer, [layers]."""
        best = np.argsort(-self.log_probs, axis=1, kind="stable")[:, :k]
        return np.isin(best, best[-1]).mean(axis=1)

    def kl_to_final(self) -> np.ndarray:
        """KL(final || layer) in nats, per layer [layers]; 0 at the last."""
        return kl_divergence(self.log_probs[-1], self.log_probs)

    def entropy(self) -> np.ndarray:
        """Entropy in nats, per layer [layers]."""
        return -(np.exp(self.log_probs) * self.log_probs).sum(axis=1)

    def first_layer(self, token: str | int, rank_below: int) -> int | None:
        """The first layer where the token's rank is below a number, or None."""
        hits = np.flatnonzero(self.ranks(token) < rank_below)
        return int(hits[0]) if len(hits) else None

    def _id(self, token: str | int) -> int:
        return self.lm.token(token, after=self.after) if isinstance(token, str) else token


def logit_lens(lm: LM, prompt: PromptLike, position: Position = -1) -> Lens:
    """The lens on resid_post of every layer, at one position of the prompt."""
    return logit_lenses(lm, [prompt], position)[0]


def logit_lenses(
    lm: LM, prompts: Sequence[PromptLike], positions: Position | Sequence[Position] = -1, *, batch: int = 16
) -> list[Lens]:
    """The lens at one position of each prompt: the same for all, or one for each. Prompts are read `batch` at a time.

    The batch changes no bit of a prompt's lens. Raises PositionError for unequal numbers of positions and prompts, and for a
    position that is not one token of its prompt.
    """
    given = [lm.prompt(prompt) for prompt in prompts]
    several = isinstance(positions, Sequence) and not isinstance(positions, str)
    each: list[Position] = list(positions) if several else [positions] * len(given)  # type: ignore[arg-type,list-item]
    if len(each) != len(given):
        raise PositionError(f"{len(given)} prompts need one position, or as many, got {len(each)}")
    lenses = []
    for part in batches(list(zip(given, each, strict=True)), batch):
        run = lm.run([prompt for prompt, _ in part], keep="resid_post")
        for row, (prompt, position) in enumerate(part):
            read = np.array(log_softmax(lm.unembed(states_at(run, position, prompt=row))))
            lenses.append(Lens(lm, read, until(prompt, resolve(position, prompt).prompt[0])))
    return lenses
