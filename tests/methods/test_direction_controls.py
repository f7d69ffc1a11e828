"""Controls are as long as what they control for and know nothing of it; stability separates signal from noise."""

import numpy as np
import pytest

from assay.errors import DataError
from assay.methods.direction_controls import (
    cosine_pseudo_values,
    mean_cosine,
    permuted_differences,
    random_control,
    shuffled_control,
    split_half,
)  # fmt: skip
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


def test_permuted_differences_are_those_of_permuted_labels():
    drawn = permuted_differences(POSITIVE[:2], NEGATIVE[:1], np.random.default_rng(0), draws=60)
    by_hand = [
        (a + b) / 2 - c
        for a, b, c in (
            (POSITIVE[0], POSITIVE[1], NEGATIVE[0]),
            (POSITIVE[0], NEGATIVE[0], POSITIVE[1]),
            (POSITIVE[1], NEGATIVE[0], POSITIVE[0]),
        )
    ]
    nearest = [int(np.argmin([np.abs(one - other).max() for other in by_hand])) for one in drawn]
    np.testing.assert_allclose(drawn, [by_hand[i] for i in nearest], rtol=1e-12)
    assert set(nearest) == {0, 1, 2}


def test_permuted_differences_point_along_the_direction_and_against_it():
    drawn = permuted_differences(POSITIVE, NEGATIVE, np.random.default_rng(0), draws=400)
    along = drawn @ DIRECTION.unit
    assert drawn.shape == (400, 64)
    assert abs(along.mean()) < 0.2
    assert along.std() > 0.5  # the orthogonal control has 0 there


def languages(seed, n=24, noise=1.0):
    """States of the same prompts in three languages: a common direction, and noise of the prompt and of the language."""
    rng = np.random.default_rng(seed)
    shared = [rng.standard_normal((n, 32)) + shift for shift in (0.4, 0.0)]
    return [tuple(kind + noise * rng.standard_normal(kind.shape) for kind in shared) for _ in range(3)]


def test_pseudo_values_have_the_cosine_for_mean():
    pairs = languages(0)
    whole = mean_cosine(np.array([a.mean(axis=0) - b.mean(axis=0) for a, b in pairs]))
    assert cosine_pseudo_values(pairs).shape == (48,)
    assert cosine_pseudo_values(pairs).mean() == pytest.approx(whole)
    without = [(a[1:], b) for a, b in pairs]
    less = mean_cosine(np.array([a.mean(axis=0) - b.mean(axis=0) for a, b in without]))
    every = [
        mean_cosine(np.array([np.delete(a, i, 0).mean(axis=0) - b.mean(axis=0) for a, b in pairs])) for i in range(24)
    ]
    assert cosine_pseudo_values(pairs)[0] == pytest.approx(whole + 2 * 23 * (np.mean(every) - less))
    with pytest.raises(DataError, match="two sets or more"):
        cosine_pseudo_values(pairs[:1])


def test_pseudo_values_spread_as_the_cosine_does():
    """The standard error of their mean is the spread of the cosine over new prompts, to a third."""
    found = [cosine_pseudo_values(languages(seed)) for seed in range(60)]
    error = np.mean([values.std(ddof=1) / np.sqrt(len(values)) for values in found])
    assert error == pytest.approx(np.std([values.mean() for values in found], ddof=1), rel=0.35)
