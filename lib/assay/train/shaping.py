"""The two shaping terms that decide in which layers a built-in model does what.

    >>> attend = AttendShaped(family, rows_of_phrases, length=14, shaped=3)      # instead of AttendSelf   # doctest: +SKIP
    >>> lens_loss(family, states_at_t1, bridge_tokens)                           # of one layer            # doctest: +SKIP

A small model left to itself does both hops of a two-hop query at its last position, in the middle layers, and has nothing
to patch. So two things are asked for while it learns:

1. *Masks.* In the first layers, positions after the r1 phrase may not look into the phrase, from e1's first token to t1;
   in the others they may look at t1 and at nothing else of it. So what they need from it they must read at t1, and later.
   Inside the phrase attention is free, so that t1 can gather e1.
2. *Logit lens.* The state at t1 after a given layer, through the final norm and the unembedding, should say the bridge.

Together: the first hop is made at t1 in the first layers and read from there in the later ones.
"""

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from assay.forward.families import Llama
from assay.forward.layers import Tap, attention

Phrase = tuple[int, int]
FIRST_TOKEN = 0.7  # weight of a bridge's first token in the lens target; its other tokens share the rest


class AttendShaped:
    """Attention in which, below layer `shaped`, positions behind the phrase of their row are blind to it.

    With `t1_only` they see nothing but t1 of it in the layers above, either. For whole rows: there is no cache.
    """

    def __init__(
        self, family: Llama, phrases: Sequence[Phrase | None], length: int, shaped: int, *, t1_only: bool = False
    ):
        self.family, self.shaped = family, shaped
        self.first = mx.array(phrase_masks(phrases, length))
        self.others = mx.array(phrase_masks(phrases, length, t1_seen=True)) if t1_only else "causal"

    def __call__(self, i: int, q: mx.array, k: mx.array, v: mx.array, tap: Tap) -> mx.array:
        rope = self.family.layers[i].self_attn.rope
        q, k = tap("q_rot", i, rope(q)), tap("k_rot", i, rope(k))
        mask = self.first if i < self.shaped else self.others
        return attention(self.family, i, q, k, v, mask, tap)


def phrase_masks(phrases: Sequence[Phrase | None], length: int, *, t1_seen: bool = False) -> np.ndarray:
    """[B, 1, L, L] booleans, True where a query (row) may look: causal, and blind to the phrase from behind it.

    phrases: for each document its first token and t1, its last; None leaves the document causal. With `t1_seen` only t1
    of it can be seen.
    """
    masks = np.tile(np.tri(length, dtype=bool), (len(phrases), 1, 1, 1))
    for mask, phrase in zip(masks, phrases, strict=True):
        if phrase:
            first, t1 = phrase
            mask[0, t1 + 1 :, first : t1 if t1_seen else t1 + 1] = False
    return masks


def lens_targets(bridges: Sequence[Sequence[int]], vocab: int) -> np.ndarray:
    """[N, V] target distributions: most of it on the bridge's first token, the rest on its others.

    The others are there because some bridges begin alike (New York, New Mexico); the first is there most because it is
    the one that lenses look for.
    """
    out = np.zeros((len(bridges), vocab), np.float32)
    for row, bridge in zip(out, bridges, strict=True):
        first = FIRST_TOKEN if len(bridge) > 1 else 1.0
        row[bridge[0]] += first
        for token in bridge[1:]:
            row[token] += (1 - first) / (len(bridge) - 1)
    return out


def lens_loss(family: Llama, states: mx.array, targets: mx.array) -> mx.array:
    """Summed cross-entropy of the logit lens at residual states [N, E] against target distributions [N, V]."""
    logits = family.unembed(family.final_norm(states))
    return -(targets * mx.log(probabilities(logits))).sum()


def token_loss(family: Llama, states: mx.array, tokens: mx.array) -> mx.array:
    """Summed cross-entropy of the next token: states of the last layer [N, E], tokens [N]."""
    p = probabilities(family.unembed(family.final_norm(states)))
    return -mx.log(mx.take_along_axis(p, tokens[:, None], axis=-1)).sum()


def probabilities(logits: mx.array) -> mx.array:
    """Softmax, never 0. One pass of exponentials for loss and gradient: on the CPU they are what a step waits for."""
    return mx.maximum(mx.softmax(logits, axis=-1), 1e-30)
