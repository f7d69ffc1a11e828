"""Function vectors: what a few heads write, summed to one vector that makes a prompt do a task (Todd et al. 2024, 2.3; FV-4).

    >>> heads = top_heads(effects.mean(axis=0), k=10)              # [(layer, head), ...], the strongest first  # doctest: +SKIP
    >>> vector = function_vector(lm, means, heads)                 # [E]                                        # doctest: +SKIP
    >>> lm.run("Q: big\\nA:", edits=inject(vector, layer=9))       # " small"                                   # doctest: +SKIP

The vector is the sum of the heads' mean writes to the stream at the last token of the task's prompts (`head_writes`). It is
added to the residual stream that leaves a layer, at the last token of a prompt that does not show the task. Controls are
vectors of the same length: other heads of the same layers, the same heads over corrupted prompts, another task's vector.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from assay.errors import LayerError
from assay.forward.edits import Edit, add
from assay.forward.lm import LM
from assay.methods.function_vectors.head_means import HeadMeans, head_writes
from assay.methods.function_vectors.in_context import Trial

Head = tuple[int, int]
"""A layer and a head of it."""


def top_heads(effects: np.ndarray, k: int) -> list[Head]:
    """The k heads with the largest effects [layers, H], the largest first; equals in the order of layers and heads.

    Raises LayerError when the model has fewer heads.
    """
    if not 0 < k <= effects.size:
        raise LayerError(f"{k} heads cannot be chosen: this model has {effects.size}; ask for 1 or more")
    return ranked(effects)[:k]


def ranked(effects: np.ndarray) -> list[Head]:
    """All heads by their effects [layers, H], the largest first; equals in the order of layers and heads."""
    order = np.argsort(-effects, axis=None, kind="stable")
    return [divmod(int(i), effects.shape[1]) for i in order]


def other_heads(lm: LM, heads: Sequence[Head], seed: int) -> list[Head]:
    """As many random heads of the same layers, none of them in `heads`: the control for a choice of heads.

    A layer that has too few others gives what it has, and the rest comes from random layers. Raises LayerError when more
    than half of the model's heads were chosen.
    """
    rng = np.random.default_rng(seed)
    free = [(layer, head) for layer in range(lm.n_layers) for head in range(lm.n_heads) if (layer, head) not in heads]
    if len(free) < len(heads):
        raise LayerError(f"{len(heads)} heads have no control: this model has {len(free)} others")
    free = [free[i] for i in rng.permutation(len(free))]
    drawn: list[Head] = []
    for layer, _ in heads:
        drawn.append(free.pop(next((i for i, head in enumerate(free) if head[0] == layer), 0)))
    return drawn


def function_vector(lm: LM, means: HeadMeans, heads: Sequence[Head]) -> mx.array:
    """The sum of what the heads write on average [E], float32. Raises LayerError for no head or one that does not exist."""
    if not heads:
        raise LayerError("a function vector is the sum of heads, and none was given")
    for layer, head in heads:
        if not (0 <= layer < lm.n_layers and 0 <= head < lm.n_heads):
            raise LayerError(f"head {(layer, head)} is none of {lm.n_layers} layers x {lm.n_heads} heads")
    total = mx.zeros(lm.width)
    for layer in sorted({layer for layer, _ in heads}):
        of_layer = mx.array([head for at, head in heads if at == layer])
        total = total + head_writes(lm, layer, means.z[layer], means.rms[layer])[of_layer].sum(axis=0)
    return total


def nested_vectors(lm: LM, means: HeadMeans, heads: Sequence[Head], counts: Sequence[int]) -> list[mx.array]:
    """Function vectors of the first k heads, for each k of `counts` (FV-12)."""
    return [function_vector(lm, means, heads[:k]) for k in counts]


def as_long_as(vector: mx.array, other: mx.array) -> mx.array:
    """`vector` with the length of `other`."""
    return vector * (mx.linalg.norm(other) / mx.linalg.norm(vector))


def inject(vector: mx.array, layer: int, *, generated: bool = False, position: int = -1) -> list[Edit]:
    """Edits that add a vector to the stream that leaves `layer`, at the prompt's last token, and (`generated`) all later ones."""
    edits = [add("resid_post", vector, layer=layer, position=position)]
    return [*edits, add("resid_post", vector, layer=layer, position="generated")] if generated else edits


@dataclass(frozen=True, eq=False)
class Injected:
    """One trial under each vector at each layer: rank and log-probability of the right first token."""

    plain_rank: int
    plain_log_prob: float
    ranks: Mapping[str, np.ndarray]  # by kind of vector: [layers]
    log_probs: Mapping[str, np.ndarray]


def inject_everywhere(lm: LM, one: Trial, vectors: Mapping[str, mx.array]) -> Injected:
    """Add each vector after each layer in turn, at the last token; one sweep (FV-5, FV-7).

    vectors: by kind, [E], or [layers, E] for one that differs from layer to layer.
    """
    layers = range(lm.n_layers)
    variants = [
        inject(vector if vector.ndim == 1 else vector[layer], layer) for vector in vectors.values() for layer in layers
    ]
    sweep = lm.sweep(one.prompt, variants, targets=[one.token], progress=False)
    clean = sweep.clean.log_probs()[0]
    ranks = sweep.target_ranks.reshape(len(vectors), lm.n_layers)
    log_probs = sweep.target_log_probs.reshape(len(vectors), lm.n_layers)
    return Injected(
        int((clean > clean[one.token]).sum().item()),
        float(clean[one.token].item()),
        dict(zip(vectors, ranks, strict=True)),
        dict(zip(vectors, log_probs, strict=True)),
    )
