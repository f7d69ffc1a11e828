"""Vectors in the vocabulary: the read-out is the model's own head, and a fitted vector says what it was fitted to."""

import mlx.core as mx
import numpy as np
import pytest
import tiny
from plain import head

from assay.errors import AssayError
from assay.methods.function_vectors.vocabulary import prefers_tokens, reconstruct_vectors, vocabulary_log_probs


@pytest.mark.parametrize("name", ["llama", "gemma2", "qwen2"])
def test_says_is_the_models_own_head(name):
    lm, vectors = tiny.lm(name), mx.random.normal((3, 64), key=mx.random.key(7)) * 4
    logits = head(lm.model, lm.model.model.norm(vectors))
    assert (
        tiny.difference(vocabulary_log_probs(lm, vectors), logits - mx.logsumexp(logits, axis=-1, keepdims=True)) < 1e-6
    )


def test_prefers_counts_pairs():
    log_probs = np.array([0.0, -1.0, -2.0, -3.0, -1.0])
    assert prefers_tokens(log_probs, [0, 1], [2, 3]) == 1
    assert prefers_tokens(log_probs, [2, 3], [0, 1]) == 0
    assert prefers_tokens(log_probs, [1], [0, 4, 3]) == pytest.approx((0 + 0.5 + 1) / 3)
    assert prefers_tokens(log_probs, [0, 3, 3], [3, 2]) == 1  # what both have counts for neither
    with pytest.raises(AssayError, match="0 tokens of its own"):
        prefers_tokens(log_probs, [1], [1, 2])


@pytest.mark.parametrize("top", [None, 20])
@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_a_fitted_vector_says_the_same_and_is_another(name, top):
    lm, given = tiny.lm(name), mx.random.normal((2, 64), key=mx.random.key(7)) * 3
    found, kl = reconstruct_vectors(lm, given, steps=150, rate=0.1, top=top)
    _, start = reconstruct_vectors(lm, given, steps=1, rate=1e-6, top=top)
    assert (kl < 0.05 * start).all()
    assert tiny.difference(mx.linalg.norm(found, axis=-1), mx.linalg.norm(given, axis=-1)) < 1e-5
    if top is None:
        p, q = np.array(vocabulary_log_probs(lm, given)), np.array(vocabulary_log_probs(lm, found))
        assert np.allclose((np.exp(p) * (p - q)).sum(axis=-1), kl, atol=1e-4)


def test_kl_of_the_likeliest_tokens_is_over_them_alone():
    lm, given = tiny.lm("llama"), mx.random.normal((1, 64), key=mx.random.key(7)) * 3
    found, kl = reconstruct_vectors(lm, given, steps=5, top=20)
    p, q = np.array(vocabulary_log_probs(lm, given))[0], np.array(vocabulary_log_probs(lm, found))[0]
    best = np.argsort(-p)[:20]
    p, q = (x[best] - np.logaddexp.reduce(x[best]) for x in (p, q))
    assert kl[0] == pytest.approx((np.exp(p) * (p - q)).sum(), rel=1e-4)


def test_the_seed_decides():
    lm, given = tiny.lm("llama"), mx.random.normal((1, 64), key=mx.random.key(7))
    first, again, other = (np.array(reconstruct_vectors(lm, given, steps=3, seed=seed)[0]) for seed in (0, 0, 1))
    assert (first == again).all()
    assert not (first == other).any()


def test_no_steps():
    with pytest.raises(AssayError, match="1 or more, got 0"):
        reconstruct_vectors(tiny.lm("llama"), mx.zeros((1, 64)), steps=0)
