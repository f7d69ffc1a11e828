"""Function vectors in the vocabulary: the tokens that they favour (FV-10), and whether those explain their effect (FV-11).

    >>> vector = lm.run("The capital of France is", keep="resid_post").at_last("resid_post", 7)[0]
    >>> log_probs = vocabulary_log_probs(lm, vector[None])
    >>> lm.decode([int(log_probs[0].argmax())])
    ' Paris'
    >>> found, left = reconstruct_vectors(lm, vector[None], steps=50)                   # another vector that says the same
    >>> found.shape, bool(left[0] < 0.5)
    ((1, 128), True)

`reconstruct_vectors` finds, from a random start, a vector that the final norm and the unembedding turn into the same next-token
distribution. If that vector does not make the model do the task, the favoured tokens do not explain the function vector's
effect (Todd et al. 2024, section 3.2 and appendix).
"""

from collections.abc import Sequence

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np

from assay.errors import AssayError
from assay.forward.lm import LM
from assay.methods.distributions import kl_divergence, log_softmax
from assay.methods.separation import auroc


def vocabulary_log_probs(lm: LM, vectors: mx.array) -> mx.array:
    """Vectors [n, E] as if they were the last residual stream: log-probabilities of the next token [n, V], float32."""
    return log_softmax(lm.unembed(vectors))


def prefers_tokens(log_probs: np.ndarray, own: Sequence[int], others: Sequence[int]) -> float:
    """How often a token of `own` is likelier than one of `others`, over all pairs: the area under the ROC curve, 0.5 is chance.

    log_probs: [V]. Tokens in both sets are left out. Raises AssayError when a set is then empty.
    """
    mine, theirs = sorted(set(own) - set(others)), sorted(set(others) - set(own))
    if not mine or not theirs:
        raise AssayError(f"nothing to compare: {len(mine)} tokens of its own against {len(theirs)} others")
    return auroc(log_probs[mine], log_probs[theirs])


def reconstruct_vectors(
    lm: LM, vectors: mx.array, *, steps: int = 1000, top: int | None = None, rate: float = 0.5, seed: int = 0
) -> tuple[mx.array, np.ndarray]:
    """Vectors that decode as the given ones [n, E] do -> ([n, E] at the lengths of the given, remaining KL [n] in nats).

    Adam from a Gaussian start minimises KL(given || found) over the whole vocabulary, or over the `top` likeliest tokens of
    each given vector, with both distributions normalised over them.
    """
    if steps < 1:
        raise AssayError(f"steps must be 1 or more, got {steps}")
    goal = vocabulary_log_probs(lm, vectors)
    chosen = None if top is None else mx.argsort(-goal, axis=-1)[:, :top]

    def compared(log_probs: mx.array) -> mx.array:
        if chosen is None:
            return log_probs
        return log_softmax(mx.take_along_axis(log_probs, chosen, axis=-1))

    goal = compared(goal)

    def kl(found: mx.array) -> mx.array:
        return kl_divergence(goal, compared(vocabulary_log_probs(lm, found)))

    step = mx.value_and_grad(lambda parameters: kl(parameters["found"]).sum())
    parameters = {"found": mx.random.normal(vectors.shape, key=mx.random.key(seed))}
    adam = optim.Adam(learning_rate=rate)
    for _ in range(steps):
        _, gradients = step(parameters)
        parameters = adam.apply_gradients(gradients, parameters)
        mx.eval(parameters, adam.state)
    found = parameters["found"]
    left = np.array(kl(found))
    lengths = mx.linalg.norm(vectors.astype(mx.float32), axis=-1, keepdims=True)
    return found / mx.linalg.norm(found, axis=-1, keepdims=True) * lengths, left
