"""The fast functions are mlx's own, and so are their gradients."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from assay.testbed import fast

X = mx.concatenate([4 * mx.random.normal((30, 9), key=mx.random.key(0)), mx.array([[-200.0, 0.0, 200.0] * 3])])
WEIGHTS = mx.random.normal(X.shape, key=mx.random.key(1))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (fast.softmax, lambda x: mx.softmax(x, axis=-1)),
        (fast.sigmoid, mx.sigmoid),
        (fast.tanh, mx.tanh),
        (fast.silu, nn.silu),
        (fast.gelu_approx, nn.gelu_approx),
    ],
    ids=["softmax", "sigmoid", "tanh", "silu", "gelu"],
)
def test_values_and_gradients(ours, theirs):
    np.testing.assert_allclose(np.array(ours(X)), np.array(theirs(X)), atol=2e-6, rtol=2e-6)
    of_ours = mx.grad(lambda x: (ours(x) * WEIGHTS).sum())(X)
    of_theirs = mx.grad(lambda x: (theirs(x) * WEIGHTS).sum())(X)
    np.testing.assert_allclose(np.array(of_ours), np.array(of_theirs), atol=2e-5, rtol=2e-5)


def test_the_argument_is_left_as_it_is():
    before = np.array(X)
    mx.eval(fast.softmax(X), fast.sigmoid(X))
    assert np.array_equal(np.array(X), before)
