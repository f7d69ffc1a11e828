"""How many heads are in a function vector, and the layer that it is added to (Todd et al. 2024, section 2.3; FV-12).

    >>> head_counts(lm)                                            # of a model with 64 heads
    (1, 2, 4, 8)
    >>> from assay import methods
    >>> from assay.data.tasks import task
    >>> trials = methods.draw_trials(lm, task("country-capital"), n_shots=5, split="valid", limit=2)
    >>> means = methods.record_heads(lm, trials).means()
    >>> vectors = methods.nested_function_vectors(lm, means, [(3, 2), (3, 5)], counts=(1, 2))
    >>> asked = methods.draw_trials(lm, task("country-capital"), n_shots=0, split="valid", limit=3)
    >>> choose_heads(lm, [(one, vectors) for one in asked], counts=(1, 2)).accuracy.shape          # counts, layers
    (2, 8)

Both are chosen on queries that no reported number uses.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from assay.forward.lm import LM
from assay.methods.function_vectors.function_vector import inject_at_every_layer
from assay.methods.function_vectors.in_context import Trial


@dataclass(frozen=True, eq=False)
class HeadChoice:
    """The number of heads in the vector, and the layer whose resid_post it is added to, chosen by `accuracy` [counts, layers]."""

    count: int
    layer: int
    counts: tuple[int, ...]
    accuracy: np.ndarray


def head_counts(lm: LM) -> tuple[int, ...]:
    """The numbers of heads to try: 1, 2, 4... up to an eighth of all heads (the paper chooses a fiftieth), at least 1 and 2."""
    most = max(2, lm.n_layers * lm.n_heads // 8)
    return tuple(2**i for i in range(most.bit_length()))


def choose_heads(lm: LM, jobs: Iterable[tuple[Trial, Sequence[mx.array]]], counts: Sequence[int]) -> HeadChoice:
    """The number of heads and the layer whose vector answers best.

    By accuracy, then by the log-probability of the right answers, then the fewest heads and the lowest layer.
    jobs: trials, each with the vectors [E] of its task, one for each of `counts`.
    """
    right, log_probs = [], []
    for one, vectors in jobs:
        tried = inject_at_every_layer(lm, one, dict(zip(map(str, counts), vectors, strict=True)))
        right.append(np.stack([ranks == 0 for ranks in tried.ranks.values()]))
        log_probs.append(np.stack(list(tried.log_probs.values())))
    accuracy, likely = np.mean(right, axis=0), np.mean(log_probs, axis=0)
    best = np.lexsort((-likely.ravel(), -accuracy.ravel()))[0]
    count, layer = np.unravel_index(best, accuracy.shape)
    return HeadChoice(counts[count], int(layer), tuple(counts), accuracy)
