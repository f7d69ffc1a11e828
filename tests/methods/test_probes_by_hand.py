"""Probes against closed forms, and on states in which a direction was planted."""

import numpy as np
import pytest
from scipy.optimize import minimize

from assay.errors import DataError
from assay.methods.confidence.probes import (
    Probe,
    ccs_probe,
    centred,
    component_probe,
    contrast_probe,
    logistic_probe,
    mass_mean_iid_probe,
    mass_mean_probe,
    principal_components,
    signed,
)

RNG = np.random.default_rng(0)
TRUE = np.arange(60) % 2 == 0
SIGN = np.where(TRUE, 1.0, -1.0)[:, None]
STATES = RNG.standard_normal((60, 8)) + SIGN * RNG.standard_normal(8)


def unit(vector):
    return vector / np.linalg.norm(vector)


def test_mass_mean_is_the_difference_in_means():
    probe = mass_mean_probe([[3.0, 1.0], [1.0, 1.0], [0.0, 0.0], [0.0, 2.0]], [True, True, False, False])
    assert probe.direction.tolist() == [2.0, 0.0]
    assert probe.scores(np.array([[1.0, 7.0], [2.0, 0.0], [0.0, 0.0]])).tolist() == [0.0, 2.0, -2.0]


def test_mass_mean_of_identical_distributions_is_fishers_discriminant():
    a, b = STATES[TRUE], STATES[~TRUE]
    around = np.concatenate([a - a.mean(axis=0), b - b.mean(axis=0)])
    by_hand = np.linalg.inv(around.T @ around / 60) @ (a.mean(axis=0) - b.mean(axis=0))
    probe = mass_mean_iid_probe(STATES, TRUE, tolerance=1e-12)
    np.testing.assert_allclose(probe.direction, by_hand, rtol=1e-9)
    np.testing.assert_allclose(probe.scores((a.mean(axis=0) + b.mean(axis=0)) / 2), 0, atol=1e-9)


def test_the_inverse_covariance_undoes_a_wide_axis_that_says_nothing():
    wide = STATES + 50 * RNG.standard_normal((60, 1)) * np.eye(8)[3]
    right = lambda probe: np.mean((probe.scores(wide) > 0) == TRUE)  # noqa: E731
    assert right(mass_mean_iid_probe(wide, TRUE, tolerance=1e-6)) > 0.9 > right(mass_mean_probe(wide, TRUE))


@pytest.mark.parametrize("n", [60, 6])  # more states than dimensions, and fewer
def test_logistic_regression_is_the_minimum_of_its_loss(n):
    x, y = STATES[:n], TRUE[:n]
    scaled = centred(x) / np.sqrt((centred(x) ** 2).sum(axis=1).mean())

    def loss(w):
        return np.logaddexp(0, -np.where(y, 1, -1) * (scaled @ w[:-1] + w[-1])).mean() + 0.05 * (w[:-1] ** 2).sum()

    found = minimize(loss, np.zeros(9), tol=1e-12)
    probe = logistic_probe(x, y, penalty=0.1)
    np.testing.assert_allclose(probe.scores(x), scaled @ found.x[:-1] + found.x[-1], atol=1e-4)


def test_logistic_regression_of_two_points_by_hand():
    probe = logistic_probe([[1.0], [-1.0]], [True, False], penalty=0.5)
    (w,) = probe.direction
    assert probe.bias == pytest.approx(0)
    assert 1 / (1 + np.exp(w)) == pytest.approx(0.5 * w)  # slope of the loss = slope of the penalty


def test_components_are_eigenvectors_of_the_covariance():
    values, vectors = np.linalg.eigh(np.cov(STATES.T))
    for i, axis in enumerate(principal_components(STATES, 3)):
        assert abs(axis @ vectors[:, np.argsort(-values)[i]]) == pytest.approx(1)
    truth = np.eye(8)[5]
    probe = component_probe(RNG.standard_normal((60, 8)) + 3 * SIGN * truth, TRUE)
    assert probe.direction @ truth > 0.95
    second = component_probe(
        RNG.standard_normal((60, 8)) + 3 * SIGN * truth + 9 * RNG.standard_normal((60, 1)), TRUE, component=1
    )
    assert second.direction @ truth > 0.7


def test_the_component_of_differences_is_that_of_their_second_moment():
    shared = 20 * RNG.standard_normal((60, 8))  # what both states of a pair have in common
    first, second = shared + RNG.standard_normal((60, 8)) + 3, shared + RNG.standard_normal((60, 8))
    values, vectors = np.linalg.eigh((first - second).T @ (first - second))
    probe = contrast_probe(first, second)
    assert abs(probe.direction @ vectors[:, np.argmax(values)]) == pytest.approx(1)
    assert (probe.scores(first) > probe.scores(second)).mean() > 0.95
    np.testing.assert_allclose(probe.scores((first.mean(axis=0) + second.mean(axis=0)) / 2), 0, atol=1e-9)
    assert contrast_probe(second, first).cosine(probe) == pytest.approx(-1)


def planted_pairs(n=80, width=20):
    """Pairs in which the true one lies on one side of an axis, and the second of each has another form."""
    rng = np.random.default_rng(3)
    truth, form = np.eye(width)[:2]
    first_is_true = rng.random(n) < 0.5
    sign = np.where(first_is_true, 1.0, -1.0)[:, None]
    about = rng.standard_normal((n, width))
    first, second = (about + 0.3 * rng.standard_normal((n, width)) + way * 2 * sign * truth for way in (1, -1))
    return first, second + 10 * form, first_is_true, truth


def test_contrast_consistent_search_finds_what_was_planted():
    first, second, first_is_true, truth = planted_pairs()
    probe = ccs_probe(first, second)
    assert abs(unit(probe.direction) @ truth) > 0.9
    right = np.mean((probe.scores(centred(first)) > probe.scores(centred(second))) == first_is_true)
    assert max(right, 1 - right) > 0.97
    turned = signed(probe, centred(first), first_is_true)
    assert np.mean((turned.scores(centred(first)) > turned.scores(centred(second))) == first_is_true) > 0.97


def test_contrast_consistent_search_is_deterministic_and_at_a_minimum():
    first, second, *_ = planted_pairs(30, 6)
    probe = ccs_probe(first, second)
    assert (probe.direction == ccs_probe(first, second).direction).all()
    a, b = centred(first), centred(second)
    scale = np.sqrt((np.concatenate([a, b]) ** 2).sum(axis=1).mean())

    def loss(direction):
        p, q = (1 / (1 + np.exp(-side @ direction)) for side in (a, b))
        return np.mean((p + q - 1) ** 2 + np.minimum(p, q) ** 2) + 0.005 * scale**2 * direction @ direction

    near = [loss(probe.direction + 0.01 * np.random.default_rng(i).standard_normal(6)) for i in range(20)]
    assert loss(probe.direction) < min(near)


def test_a_constant_difference_of_form_is_no_contrast():
    """Pairs that differ in their form alone: centred by side, nothing is left of it."""
    about = RNG.standard_normal((40, 10))
    probe = ccs_probe(about, about + 5 * np.eye(10)[0])
    assert abs(unit(probe.direction) @ np.eye(10)[0]) < 0.9


def test_a_probe_is_turned_by_labels():
    probe = Probe(np.array([-1.0, 0.0]), 0.5)
    turned = signed(probe, np.array([[1.0, 0.0], [0.0, 0.0]]), [True, False])
    assert turned.direction.tolist() == [1.0, 0.0]
    assert turned.bias == -0.5
    assert turned.cosine(probe) == -1


@pytest.mark.parametrize("fit", [mass_mean_probe, mass_mean_iid_probe, logistic_probe, component_probe])
def test_labels_of_one_kind_are_refused(fit):
    with pytest.raises(DataError, match="states of both kinds, got 2 true and 0 false"):
        fit(np.eye(2), [True, True])
    with pytest.raises(DataError, match=r"N labels, got \(2, 2\) and \(3,\)"):
        fit(np.eye(2), [True, True, False])


def test_what_is_no_pair_and_no_penalty_is_refused():
    for fit in (contrast_probe, ccs_probe):
        with pytest.raises(DataError, match="pairs need two sets"):
            fit(np.eye(3), np.eye(2))
    with pytest.raises(DataError, match="penalty above 0, got 0"):
        logistic_probe(np.eye(2), [True, False], penalty=0)
    with pytest.raises(DataError, match="no component 5"):
        component_probe(STATES[:4], TRUE[:4], component=5)
