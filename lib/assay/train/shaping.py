"""The two shaping terms that decide in which layers a built-in model does what.

    >>> attend = AttendShaped(family, rules_of_rows, length=14)                  # instead of AttendSelf   # doctest: +SKIP
    >>> lens_loss(family, states, targets)                                       # of one layer            # doctest: +SKIP

1. *Rules* (`assay.train.documents.Rule`) say which tokens cannot be seen from where: so what is needed of them must be read
   from another place, which is then the place where an instrument should find it.
2. *Logit lens*: the state at some token after a given layer, through the final norm and the unembedding, should say a word.

What they are used for is written where the documents are made: two_hop.py, lists.py, chats.py.
"""

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from assay.forward.families import Llama
from assay.forward.layers import Tap, attention, lowest
from assay.train.documents import Rule

FIRST_TOKEN = 0.7  # weight of a bridge's first token in the lens target; its other tokens share the rest


class AttendShaped:
    """Attention in which the rules of each row hold. For whole rows: there is no cache."""

    def __init__(self, family: Llama, rules: Sequence[Sequence[Rule]], length: int):
        self.family = family
        made: dict[tuple[bool, ...], Tap] = {}  # layers in which the same rules hold share a mask
        self.hide: list[Tap] = []
        for i in range(family.n_layers):
            holds = tuple(i in rule.layers for row in rules for rule in row)
            if holds not in made:
                made[holds] = _Hide(mx.array(layer_mask(rules, i, length, family.n_heads)))
            self.hide.append(made[holds])

    def __call__(self, i: int, q: mx.array, k: mx.array, v: mx.array, tap: Tap) -> mx.array:
        rope = self.family.layers[i].self_attn.rope
        q, k = tap("q_rot", i, rope(q)), tap("k_rot", i, rope(k))
        return attention(self.family, i, q, k, v, None, self.hide[i])


class _Hide:
    """A tap that puts a mask of its own on the scores: the forward's own masks are the same for all heads."""

    def __init__(self, mask: mx.array):
        self.mask = mask

    def wants(self, site: str, layer: int | None) -> bool:
        return site == "scores"

    def __call__(self, site: str, layer: int | None, value: mx.array) -> mx.array:
        return mx.where(self.mask, value, lowest(value.dtype)) if site == "scores" else value


def layer_mask(rules: Sequence[Sequence[Rule]], layer: int, length: int, n_heads: int) -> np.ndarray:
    """[B, 1 or H, L, L] booleans, True where a query (row) may look at a key: causal, and what the rules of each row say.

    rules: of each row, with places in tokens. The heads have masks of their own only where a rule tells them apart.
    """
    held = [[rule for rule in row if layer in rule.layers] for row in rules]
    apart = any(rule.heads for row in held for rule in row)
    causal = np.tri(length, dtype=bool)
    masks = np.tile(causal, (len(rules), n_heads if apart else 1, 1, 1))
    for mask, row in zip(masks, held, strict=True):
        for rule in row:
            heads = list(rule.heads) if rule.heads else range(mask.shape[0])
            queries = slice(*rule.queries)
            for keys in (slice(*span) for span in rule.keys):
                for head in heads:
                    mask[head, queries, keys] = causal[queries, keys] if rule.see else False
    return masks


def lens_targets(texts: Sequence[Sequence[int]], weights: Sequence[float], vocab: int) -> np.ndarray:
    """[N, V] target distributions, times their weights: most on a text's first token, the rest on its others.

    The others are there because some bridges begin alike (New York, New Mexico); the first is there most because it is
    the one that lenses look for.
    """
    out = np.zeros((len(texts), vocab), np.float32)
    for row, text, weight in zip(out, texts, weights, strict=True):
        first = FIRST_TOKEN if len(text) > 1 else 1.0
        row[text[0]] += weight * first
        for token in text[1:]:
            row[token] += weight * (1 - first) / (len(text) - 1)
    return out


def lens_loss(family: Llama, states: mx.array, targets: mx.array) -> mx.array:
    """Summed cross-entropy of the logit lens at residual states [N, E] against weighted target distributions [N, V]."""
    logits = family.unembed(family.final_norm(states))
    return -(targets * mx.log(probabilities(logits))).sum()


def token_loss(family: Llama, states: mx.array, tokens: mx.array) -> mx.array:
    """Summed cross-entropy of the next token: states of the last layer [N, E], tokens [N]."""
    p = probabilities(family.unembed(family.final_norm(states)))
    return -mx.log(mx.take_along_axis(p, tokens[:, None], axis=-1)).sum()


def probabilities(logits: mx.array) -> mx.array:
    """Softmax, never 0. One pass of exponentials for loss and gradient: on the CPU they are what a step waits for."""
    return mx.maximum(mx.softmax(logits, axis=-1), 1e-30)
