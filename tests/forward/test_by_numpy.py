"""What NumPy computes in place of MLX is the same: any edits, every family, and the functions against float64."""

import mlx.core as mx
import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from test_sweep import MODELS, TARGETS, draws, edits_of

from assay.forward import by_numpy, lanes
from assay.forward.arithmetic import Machine
from assay.forward.by_numpy import at_any_size, by_mlx
from assay.forward.exactness import difference
from assay.forward.positions import Prompt
from assay.forward.sweep import SWEEPABLE
from assay.forward.sweep import engine as sweep

LIMIT = tiny.ROUNDING[mx.float32]
"""Of the largest value: where another order of sums is allowed, so are other last bits of exponentials."""


@pytest.fixture(autouse=True, scope="module")
def whatever_the_size():
    """NumPy takes every exponential, whatever the BLAS; sweeps are dealt out to two threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_numpy, "machine", lambda: Machine(rows=False, float32=True))
        patch.setattr(sweep, "LEAST_WORK", 1)
        with lanes.use(2), at_any_size():
            yield


def close(a, b) -> bool:
    return difference(a, b) <= LIMIT


# ------------------------------------------------------------------------------------------------------- any edits


@given(
    name=st.sampled_from(MODELS),
    length=st.integers(1, 14),
    variants=st.lists(st.lists(draws, max_size=3), min_size=1, max_size=6),
)
def test_sweeps_and_runs_are_those_of_mlx(name, length, variants):
    lm, prompt = tiny.lm(name), Prompt(tuple(tiny.ids(length, seed=length)))
    variants = edits_of(variants, lm, length)
    options = {"targets": TARGETS, "top_k": 4, "logits": True, "progress": False}
    fast, runs = lm.sweep(prompt, variants, **options), [lm.run(prompt, edits=edits) for edits in variants]
    with by_mlx():
        exact, exact_runs = lm.sweep(prompt, variants, **options), [lm.run(prompt, edits=e) for e in variants]
    assert close(fast.logits, exact.logits)
    assert close(fast.target_log_probs, exact.target_log_probs)
    assert close(fast.top_log_probs, exact.top_log_probs)
    assert all(close(one.logits, other.logits) for one, other in zip(runs, exact_runs, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_every_site_is_that_of_mlx(name):
    lm = tiny.lm(name)
    keep = [*SWEEPABLE, "scores", "pattern"]
    fast = lm.run([tiny.ids(), tiny.ids(5)], keep=keep)
    with by_mlx():
        exact = lm.run([tiny.ids(), tiny.ids(5)], keep=keep)
    assert [key for key in exact.kept if not close(fast[key], exact[key])] == []


@pytest.mark.parametrize("name", MODELS)
def test_prompts_of_several_lengths_are_continued_the_same(name):
    """One query at a time against caches with and without padding: the way of its own."""
    lm, prompts = tiny.lm(name), ["The capital of France is", "Dallas", "A man of"]
    fast = lm.generate(prompts, max_tokens=6)
    with by_mlx():
        assert fast == lm.generate(prompts, max_tokens=6)


def test_gradients_are_those_of_mlx_bit_for_bit():
    lm = tiny.lm("gemma2")
    _, fast = lm.gradients(tiny.ids(), sites=["resid_post", "z"], target=7)
    with by_mlx():
        _, exact = lm.gradients(tiny.ids(), sites=["resid_post", "z"], target=7)
    assert [key for key in exact if not tiny.same(fast[key], exact[key])] == []


# ------------------------------------------------------------------------------------------------------- the functions

X = np.concatenate([np.linspace(-100, 100, 40_001), np.linspace(-8, 8, 40_001)]).astype(np.float32)
ULP = 2.0**-23


@pytest.mark.parametrize("activation", ["silu", "gelu_approx"])
def test_gates_against_float64(activation):
    x = X.astype(np.float64)
    y = x if activation == "silu" else 2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    with np.errstate(over="ignore"):
        expected = x / (1 + np.exp(-y)) * 2
    found = by_numpy.gated(activation, X, np.full_like(X, 2))
    ours = np.abs(found - expected) / np.maximum(np.abs(expected), 1e-30)
    normal = np.abs(expected) > 1e-30  # exp(-y) is a float32 there
    # y itself is rounded, and exp turns |y| half units of its last place into as many relative ones of the result.
    assert (ours[normal] <= ULP * (6 + 2 * np.abs(y[normal]) * (activation == "gelu_approx"))).all()
    assert np.abs(found[~normal]).max() <= 1e-30


def test_softmax_and_logsumexp_against_float64():
    x = np.random.default_rng(0).normal(size=(50, 333)).astype(np.float32) * 20
    wide = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
    total = wide.sum(-1, keepdims=True)
    assert np.abs(by_numpy.softmax(x) - wide / total).max() < 8 * ULP
    found = np.array(by_numpy.logsumexp(mx.array(x)))
    assert found.shape == (50, 1)
    assert np.abs(found / (np.log(total) + x.max(-1, keepdims=True)) - 1).max() < 4 * ULP


def test_rows_that_see_little():
    """Hidden keys have no weight, a row that sees nothing no NaN, and an infinity is what it is in MLX."""
    low, inf = np.finfo(np.float32).min, np.inf
    rows = np.array([[low, 3, low], [low, low, low], [-inf, 0, 1], [-inf, -inf, -inf]], np.float32)
    assert np.allclose(by_numpy.softmax(rows), np.array(mx.softmax(mx.array(rows), axis=-1)), equal_nan=True)


def test_searches():
    x = np.random.default_rng(0).normal(size=(7, 99)).astype(np.float32)
    x[2, [5, 9]] = 40.0  # the first of equals
    assert list(by_numpy.argmax(mx.array(x))) == mx.argmax(mx.array(x), axis=-1).tolist()
    assert by_numpy.all_finite(mx.array(x))
    assert by_numpy.all_finite(mx.array(np.full(9, 3e38, np.float32))), "their sum is not"
    for bad in (np.nan, np.inf, -np.inf):
        x[3, 4] = bad
        assert not by_numpy.all_finite(mx.array(x))
        assert not by_numpy.all_finite(mx.array(x).astype(mx.bfloat16))


# ------------------------------------------------------------------------------------------------------- when


def test_when(monkeypatch):
    on_cpu = by_numpy._on_cpu()
    assert by_numpy.chosen(1, mx.float32) == on_cpu
    assert not by_numpy.chosen(10**6, mx.bfloat16)
    with by_mlx():
        assert not by_numpy.chosen(10**6, mx.float32)
    least, token = by_numpy.LEAST, by_numpy._least.set(None)
    with lanes.use(1):
        assert not by_numpy.chosen(least - 1, mx.float32)
        assert by_numpy.chosen(least, mx.float32) == on_cpu
    assert not by_numpy.chosen(least, mx.float32), "lanes wait for each other"
    by_numpy._least.reset(token)
    monkeypatch.setattr(by_numpy, "machine", lambda: Machine(rows=True, float32=True))
    assert not by_numpy.chosen(10**6, mx.float32), "where rows are exact, every bit is MLX's"
