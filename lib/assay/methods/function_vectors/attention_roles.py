"""Attention of heads to tokens of each role in a prompt (FV-15), and the prefix-matching score of induction heads (FV-16).

    >>> from assay import methods
    >>> from assay.data.tasks import task
    >>> trials = methods.draw_trials(lm, task("country-capital"), n_shots=5, limit=1)
    >>> attention_by_role(lm, trials, heads=[(3, 2), (3, 5)])["label"].round(1)         # [trials, heads]
    array([[1., 1.]])
    >>> prefix_matching(lm, length=10, n=1).shape                                       # layers, heads
    (8, 8)

Attention to a token whose value vector is almost zero has no effect (the first token of a prompt often is such a token). So
weights are multiplied by the norm of the value vector and normalised to sum to 1: *value-weighted attention* (Todd et al.
2024, figure 3). An *induction head* attends, from a token that occurred before, to the token after its first occurrence.
"""

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from assay.data.in_context import ROLES
from assay.errors import PromptError
from assay.forward.lm import LM
from assay.methods.function_vectors.in_context import Trial
from assay.methods.function_vectors.mediation import prompt_pieces
from assay.methods.heads import Head


def attention_by_role(lm: LM, trials: Sequence[Trial], heads: Sequence[Head]) -> dict[str, np.ndarray]:
    """The share of value-weighted attention that each head gives, at the last token, to each role: {role: [trials, heads]}.

    The shares of a head sum to less than 1: tokens without a role, such as BOS, get the rest.
    """
    shares = np.zeros((len(ROLES), len(trials), len(heads)))
    layers = sorted({layer for layer, _ in heads})
    keep = [(site, layer) for layer in layers for site in ("pattern", "v")]
    for i, one in enumerate(trials):
        run = lm.run(one.prompt, keep=keep)
        weights = {
            layer: value_weighted_attention(run["pattern", layer][0, :, -1], run["v", layer][0]) for layer in layers
        }
        for role, tokens in prompt_pieces(one):
            for j, (layer, head) in enumerate(heads):
                shares[ROLES.index(role), i, j] += weights[layer][head, list(tokens)].sum()
    return dict(zip(ROLES, shares, strict=True))


def value_weighted_attention(pattern: mx.array, v: mx.array) -> np.ndarray:
    """pattern [H, S] of one query, v [K, S, D] -> weights times norms of value vectors, normalised to sum to 1: [H, S]."""
    lengths = mx.repeat(mx.linalg.norm(v.astype(mx.float32), axis=-1), pattern.shape[0] // v.shape[0], axis=0)
    weighted = pattern.astype(mx.float32) * lengths
    return np.array(weighted / weighted.sum(axis=-1, keepdims=True))


def prefix_matching(lm: LM, *, length: int, n: int, seed: int = 0) -> np.ndarray:
    """Mean attention, in n repeated random sequences, from a token to the one after its first occurrence: [layers, H].

    length: tokens of a sequence before it repeats. Chance is about 1 / (1.5 length). Raises PromptError for a length below 2.
    """
    if length < 2 or n < 1:
        raise PromptError(
            f"a sequence of {length} tokens, {n} times, has no prefix to match: give 2 or more, 1 or more"
        )
    special = set(lm.tokenizer.all_special_ids)
    words = [t for t in range(len(lm.tokenizer.vocab)) if t not in special and t < lm.family.vocab]
    bos = [] if lm.tokenizer.bos_token_id is None else [lm.tokenizer.bos_token_id]
    total = np.zeros((lm.n_layers, lm.n_heads))
    rng = np.random.default_rng(seed)
    queries = len(bos) + length + np.arange(length)  # positions of the repetition
    for _ in range(n):
        once = rng.choice(words, length, replace=False).tolist()
        run = lm.run([*bos, *once, *once], keep="pattern")
        for layer in range(lm.n_layers):
            total[layer] += np.array(run["pattern", layer][0].astype(mx.float32))[
                :, queries, queries - length + 1
            ].mean(axis=1)
    return total / n
