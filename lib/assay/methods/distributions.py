"""Distributions over the next token: log-probabilities, KL divergence, ranks of tokens.

>>> base, edited = np.array([2.0, 1.0, 0.0]), np.array([0.0, 1.0, 2.0])
>>> np.exp(log_probs(base)).round(2)
array([0.67, 0.24, 0.09])
>>> kl_of_logits(base, edited).round(2), token_ranks(edited, [0])
(np.float64(1.15), np.int64(2))

A *rank* counts the tokens that are likelier: rank 0 is the top token. KL(p || q) is in nats, 0 for equal distributions.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import mlx.core as mx
import numpy as np

Array = TypeVar("Array", np.ndarray, mx.array)


def log_probs(logits: Any) -> np.ndarray:
    """Log-probabilities from logits [.., V], in float64."""
    logits = np.asarray(logits, np.float64)
    top = logits.max(axis=-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))


def log_softmax(logits: mx.array) -> mx.array:
    """Log-probabilities from logits [.., V], in the dtype of the logits; MLX can differentiate it."""
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)


def kl_divergence(p: Array, q: Array) -> Array:
    """KL(p || q) in nats, from log-probabilities [.., V] that broadcast against each other: [..].

    Rounding may leave a value slightly below 0.
    """
    exp = mx.exp if isinstance(p, mx.array) else np.exp
    return (exp(p) * (p - q)).sum(axis=-1)  # type: ignore[arg-type,operator]


def kl_of_logits(base: Any, edited: Any) -> np.ndarray:
    """KL(base || edited) in nats, float64, never below 0, from logits [.., V] that broadcast against each other."""
    return np.maximum(kl_divergence(log_probs(base), log_probs(edited)), 0.0)


def token_ranks(values: np.ndarray, tokens: Sequence[int]) -> np.ndarray:
    """How many tokens are likelier than the likeliest of `tokens`, from logits or log-probabilities [.., V]: [..]."""
    best = values[..., list(tokens)].max(axis=-1, keepdims=True)
    return (values > best).sum(axis=-1)
