"""The two constraints that decide in which layers a built-in model computes what.

    >>> blind = Rule(queries=(2, 3), keys=((0, 1),))                          # token 2 cannot see token 0
    >>> layer_mask([[blind]], layer=0, length=3, n_heads=8)[0, 0].tolist()
    [[True, False, False], [True, True, False], [False, True, True]]

1. *Rules* (`assay.testbed.documents.Rule`) say which tokens cannot attend to which others: information of a hidden token must
   then be read from another token, where a method should find it.
2. *Logit lens*: a loss makes the logit lens read a given word at some token after a given layer.

The files of the behaviours (two_hop.py, lists.py, refusal.py, ...) use both.
"""

from collections.abc import Callable, Sequence

import mlx.core as mx
import numpy as np

from assay.forward.attention import Attend, hide
from assay.forward.families.base import Family
from assay.forward.layers import read_heads, write_heads, write_mlp
from assay.forward.taps import NO_TAP, Tap
from assay.testbed import fast
from assay.testbed.documents import Rule

ACTIVATIONS = {"gemma2": fast.gelu_approx, "llama": fast.silu, "qwen2": fast.silu}
FIRST_TOKEN = 0.7  # weight of a word's first token in the lens target; its other tokens share the rest


def shaped_layer(
    family: Family, i: int, x: mx.array, attend: Attend, written: Callable[[mx.array], mx.array] = lambda x: x
) -> mx.array:
    """Layer `i` of the forward pass in `assay.forward.layers`, [B, L, E] -> [B, L, E], with the fast activation functions.

    written: gets the stream after each of the layer's two writes and returns the stream to continue with.
    """
    x = written(write_heads(family, i, read_heads(family, i, (x,), attend, NO_TAP), attend, NO_TAP)[0])
    gate, up = family.gate_up(i, family.mlp_reads(i, x))
    made = family.down(i)(ACTIVATIONS[family.model.model_type](gate) * up)
    return written(write_mlp(family, i, (x, made), attend, NO_TAP)[0])


class AttendShaped:
    """Attention of whole rows (without a KV cache) under the rules of each row."""

    def __init__(self, family: Family, rules: Sequence[Sequence[Rule]], length: int):
        self.family = family
        made: dict[tuple[bool, ...], mx.array] = {}  # layers in which the same rules hold share a mask
        self.masks: list[mx.array] = []
        for i in range(family.n_layers):
            holds = tuple(i in rule.layers for row in rules for rule in row)
            if holds not in made:
                made[holds] = mx.array(layer_mask(rules, i, length, family.n_heads))
            self.masks.append(made[holds])

    def __call__(self, i: int, q: mx.array, k: mx.array, v: mx.array, tap: Tap) -> mx.array:
        family, cap = self.family, self.family.softcap
        q, k = family.rotate(i, q, 0) * family.query_scale(i), family.rotate(i, k, 0)
        B, H, L, D = q.shape
        K = k.shape[1]
        scores = (q.reshape(B, K, H // K, L, D) @ k[:, :, None].swapaxes(-1, -2)).reshape(B, H, L, L)
        if cap:
            scores = fast.tanh(scores / cap) * cap
        pattern = fast.softmax(hide(scores, self.masks[i]))
        return (pattern.reshape(B, K, H // K, L, L) @ v[:, :, None]).reshape(B, H, L, -1)


def layer_mask(rules: Sequence[Sequence[Rule]], layer: int, length: int, n_heads: int) -> np.ndarray:
    """The mask of a layer, [B, 1 or H, L, L] bool, True where a query (third axis) sees a key: causal, and the rules.

    rules: of each row, with places in tokens. The second axis is H if a rule is for some heads only.
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


def lens_targets(texts: Sequence[Sequence[int]], weights: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [N, K] that the lens should read, and their weights [N, K]: `FIRST_TOKEN` for a text's first token.

    A logit lens is read for the first token. The other tokens tell bridges apart that begin alike (New York, New Mexico).
    """
    width = max(map(len, texts))
    tokens, shares = np.zeros((len(texts), width), np.int32), np.zeros((len(texts), width), np.float32)
    for i, (text, weight) in enumerate(zip(texts, weights, strict=True)):
        first = FIRST_TOKEN if len(text) > 1 else 1.0
        tokens[i, : len(text)] = text
        shares[i, : len(text)] = [first] + (len(text) - 1) * [(1 - first) / max(1, len(text) - 1)]
        shares[i] *= weight
    return tokens, shares


def cross_entropy(family: Family, states: mx.array, tokens: mx.array, weights: mx.array) -> mx.array:
    """The cross-entropy, summed over N, of states [N, E] read by the logit lens against tokens [N, K] with weights [N, K].

    For states of the last layer this is the loss of the next token.
    """
    logits = unembed(family, family.final_norm(states))
    p = mx.take_along_axis(fast.softmax(logits), tokens, axis=-1)
    return -(weights * mx.log(mx.maximum(p, 1e-30))).sum()


def unembed(family: Family, x: mx.array) -> mx.array:
    """The family's own unembedding, with the fast hyperbolic tangent."""
    logits = family.core.embed_tokens.as_linear(x) if family.tied else family.model.lm_head(x)
    cap = getattr(family.model, "final_logit_softcapping", None)
    return fast.tanh(logits / cap) * cap if cap else logits
