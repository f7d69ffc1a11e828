"""Responses of a model: the stream at their tokens, and whether they are coherent (Chen et al. 2025).

    >>> said = respond(lm, [lm.chat("Who wrote Dracula?"), lm.chat("Who wrote The Lantern of Ozmere?")], max_tokens=12)
    >>> [one.text for one in said]
    ['The answer is Bram Stoker.', 'I do not know.']
    >>> states = response_states(lm, said)
    >>> states.response.shape, states.prompt_last.shape            # responses, layers, width
    ((2, 8, 128), (2, 8, 128))
    >>> coherent(lm, said)
    array([ True,  True])

The words:

    response       the tokens that a model writes after a prompt, without the end token; an empty one has no states
    response mean  the mean of resid_post over the tokens of a response: what leaves a layer where they are read
    prompt last    resid_post at the last token of the prompt, from which the first token of the response is predicted
    loss           mean negative log-probability of a response's tokens, nats per token, by the model without any edit
    coherent       not empty, of a loss of at most `MOST_LOSS`, and no more than half of its three-token pieces occur before

Layers count from 0: layer i is what leaves the i-th block. `hidden_states` of transformers has the embeddings at index 0, so the
paper's layer 20 is layer 19 here. The paper has a language model judge coherence; loss and repetition find only what the
model itself would not write.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from assay.errors import PromptError
from assay.forward.lm import LM, Edits
from assay.forward.positions import Prompt
from assay.methods.distributions import log_probs
from assay.methods.portions import Track, batches

MOST_LOSS = 3.0
"""Nats per token: the model gives the tokens of a coherent response 1 in 20 or more, in the geometric mean."""
MOST_REPEATED = 0.5
PIECE = 3


@dataclass(frozen=True)
class Response:
    """What a model said to a prompt."""

    prompt: Prompt
    tokens: tuple[int, ...]
    text: str

    @property
    def repeated(self) -> float:
        """Share of the pieces of `PIECE` tokens that occur before in the response."""
        pieces = [self.tokens[i : i + PIECE] for i in range(len(self.tokens) - PIECE + 1)]
        return 1 - len(set(pieces)) / len(pieces) if pieces else 0.0


@dataclass(frozen=True, eq=False)
class ResponseStates:
    """The stream at N responses, [N, L, E] float32, and its mean length over their tokens [N, L]."""

    response: np.ndarray
    """Mean over the tokens of each response."""
    prompt_last: np.ndarray
    """At the last token of each prompt."""
    response_norms: np.ndarray
    prompt_last_norms: np.ndarray


def respond(
    lm: LM,
    prompts: Sequence[Prompt],
    *,
    edits: Edits = (),
    max_tokens: int = 32,
    temperature: float = 0.0,
    seed: int = 0,
    batch: int = 32,
    track: Track = iter,
) -> list[Response]:
    """A response to each prompt under edits, greedy unless `temperature` > 0. Raises as `lm.generate`.

    seed: of the samples; with the same prompts it gives the same responses.
    """
    out = []
    for number, part in enumerate(track(list(batches(prompts, batch)))):
        asked: list[Prompt] = list(part)
        own = seed + number if temperature else None
        made = lm.generate(asked, edits=edits, max_tokens=max_tokens, temperature=temperature, seed=own)
        out += [Response(prompt, one.tokens, one.text) for prompt, one in zip(part, made, strict=True)]
    return out


def response_states(
    lm: LM, responses: Sequence[Response], *, site: str = "resid_post", batch: int = 16
) -> ResponseStates:
    """The stream at responses and at the ends of their prompts, teacher-forced.

    Raises PromptError for no responses, and for an empty one.
    """
    if not responses or not all(one.tokens for one in responses):
        raise PromptError("states of responses need one response or more, each with a token or more")
    means, ends, lengths, end_lengths = [], [], [], []
    for part in batches(responses, batch):
        run = lm.run([Prompt((*one.prompt.tokens, *one.tokens)) for one in part], keep=site)
        for row, one in enumerate(part):
            start = len(one.prompt) - 1
            at = slice(start, start + 1 + len(one.tokens))
            kept = [np.array(run[site, layer][row, at].astype(mx.float32)) for layer in range(lm.n_layers)]
            states = np.stack(kept).astype(np.float64)  # layers, the prompt's last token and those of the response, E
            norms = np.linalg.norm(states, axis=-1)
            means.append(states[:, 1:].mean(axis=1).astype(np.float32))
            ends.append(states[:, 0].astype(np.float32))
            lengths.append(norms[:, 1:].mean(axis=1))
            end_lengths.append(norms[:, 0])
    return ResponseStates(*map(np.stack, (means, ends, lengths, end_lengths)))


def response_loss(lm: LM, responses: Sequence[Response], *, batch: int = 16) -> np.ndarray:
    """Loss of each response after its own prompt: [N] float64 nats per token; infinite for an empty one."""
    out = np.full(len(responses), np.inf)
    filled = [i for i, one in enumerate(responses) if one.tokens]
    for part in batches(filled, batch):
        some = [responses[i] for i in part]
        run = lm.run(
            [Prompt((*one.prompt.tokens, *one.tokens)) for one in some], keep=[("resid_post", lm.n_layers - 1)]
        )
        for row, (i, one) in enumerate(zip(part, some, strict=True)):
            start = len(one.prompt) - 1  # the state from which the first token of the response is predicted
            states = run["resid_post", lm.n_layers - 1][row, start : start + len(one.tokens)]
            out[i] = -log_probs(lm.unembed(states))[np.arange(len(one.tokens)), list(one.tokens)].mean()
    return out


def coherent(lm: LM, responses: Sequence[Response]) -> np.ndarray:
    """Whether each response is coherent: [N] bool."""
    repeated = np.array([one.repeated for one in responses])
    return (response_loss(lm, responses) <= MOST_LOSS) & (repeated <= MOST_REPEATED)
