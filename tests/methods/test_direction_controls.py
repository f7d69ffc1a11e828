"""Controls are as long as what they control for and know nothing of it; stability separates signal from noise."""

import numpy as np
import pytest

from assay.errors import DataError
from assay.methods.direction_controls import random_control, shuffled_control, split_half
from assay.methods.directions import Direction

RANDOM = np.random.default_rng(0)
SIGNAL = np.zeros(64)
SIGNAL[3] = 6
POSITIVE, NEGATIVE = RANDOM.standard_normal((24, 64)) + SIGNAL, RANDOM.standard_normal((20, 64))
DIRECTION = Direction((POSITIVE.mean(axis=0) - NEGATIVE.mean(axis=0)).astype(np.float32), 4, -1, 10.0)


def test_controls_have_the_length_and_the_place():
    for control in (
        random_control(DIRECTION, np.random.default_rng(1)),
        shuffled_control(DIRECTION, POSITIVE, NEGATIVE, np.random.default_rng(1)),
    ):
        assert control.norm == pytest.approx(DIRECTION.norm, rel=1e-6)
        assert (control.layer, control.site) == (DIRECTION.layer, DIRECTION.site)
        assert abs(control.unit @ DIRECTION.unit) < 0.5


def test_the_shuffled_control_is_orthogonal_and_repeatable():
    one, two = (shuffled_control(DIRECTION, POSITIVE, NEGATIVE, np.random.default_rng(2)) for _ in range(2))
    assert abs(one.unit @ DIRECTION.unit) < 1e-6
    np.testing.assert_array_equal(one.vector, two.vector)


def test_halves_agree_on_a_signal_and_not_without_labels():
    real = split_half(POSITIVE, NEGATIVE, np.random.default_rng(0))
    null = split_half(POSITIVE, NEGATIVE, np.random.default_rng(0), shuffled=True)
    assert real.mean() > 0.6
    assert abs(null.mean()) < 0.2
    with pytest.raises(DataError, match="two states of each kind, got 1 and 20"):
        split_half(POSITIVE[:1], NEGATIVE, RANDOM)
