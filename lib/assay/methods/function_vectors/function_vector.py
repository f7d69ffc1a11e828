"""Function vectors: the summed writes of a few heads, a vector that makes a model do a task (Todd et al. 2024, 2.3; FV-4).

    >>> from assay import methods
    >>> from assay.data.tasks import task
    >>> trials = methods.draw_trials(lm, task("country-capital"), n_shots=5, split="valid", limit=2)
    >>> vector = function_vector(lm, methods.record_heads(lm, trials).means(), heads=[(3, 2), (3, 5)])
    >>> [lm.generate("Q: Italy\\nA:", edits=edits, max_tokens=1).text for edits in ([], inject_vector(vector, layer=4))]
    [' Euro', ' Rome']

The vector is the sum of the heads' mean writes to the stream at the last token of the task's prompts (`head_writes`). It is
added to resid_post of a layer, at the last token of a prompt that does not show the task. Controls are vectors of the same
length: from other heads of the same layers, from the same heads over corrupted prompts, and another task's vector.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from assay.errors import LayerError
from assay.forward.edits import Edit, add
from assay.forward.lm import LM
from assay.methods.distributions import token_ranks
from assay.methods.function_vectors.head_means import HeadMeans
from assay.methods.function_vectors.in_context import Trial
from assay.methods.heads import Head, head_writes


def function_vector(lm: LM, means: HeadMeans, heads: Sequence[Head]) -> mx.array:
    """The sum of the heads' mean writes, [E] float32. Raises LayerError for no head, or one that does not exist."""
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


def nested_function_vectors(lm: LM, means: HeadMeans, heads: Sequence[Head], counts: Sequence[int]) -> list[mx.array]:
    """Function vectors of the first k heads, for each k of `counts` (FV-12)."""
    return [function_vector(lm, means, heads[:k]) for k in counts]


def as_long_as(vector: mx.array, other: mx.array) -> mx.array:
    """`vector` with the length of `other`."""
    return vector * (mx.linalg.norm(other) / mx.linalg.norm(vector))


def inject_vector(vector: mx.array, layer: int, *, generated: bool = False, position: int = -1) -> list[Edit]:
    """Edits that add a vector [E] to resid_post of `layer` at one position, and, if `generated`, at all generated tokens."""
    edits = [add("resid_post", vector, layer=layer, position=position)]
    return [*edits, add("resid_post", vector, layer=layer, position="generated")] if generated else edits


@dataclass(frozen=True, eq=False)
class Injected:
    """One trial under each vector at each layer: rank and log-probability of the right first token."""

    plain_rank: int
    plain_log_prob: float
    ranks: Mapping[str, np.ndarray]  # by kind of vector: [layers asked for]
    log_probs: Mapping[str, np.ndarray]


def inject_at_every_layer(
    lm: LM, one: Trial, vectors: Mapping[str, mx.array], layers: Sequence[int] | None = None
) -> Injected:
    """Add each vector to resid_post of each layer in turn, at the last token; one sweep (FV-5, FV-7).

    vectors: by kind, [E], or [layers, E] for a vector that differs from layer to layer. layers: these alone; by default all.
    """
    layers = range(lm.n_layers) if layers is None else layers
    variants = [
        inject_vector(vector if vector.ndim == 1 else vector[layer], layer)
        for vector in vectors.values()
        for layer in layers
    ]
    sweep = lm.sweep(one.prompt, variants, targets=[one.token], progress=False)
    clean = np.array(sweep.clean.log_probs()[0])
    ranks = sweep.target_ranks.reshape(len(vectors), len(layers))
    log_probs = sweep.target_log_probs.reshape(len(vectors), len(layers))
    return Injected(
        int(token_ranks(clean, [one.token])),
        float(clean[one.token]),
        dict(zip(vectors, ranks, strict=True)),
        dict(zip(vectors, log_probs, strict=True)),
    )
