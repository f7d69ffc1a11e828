"""Inference-time intervention against the same by hand: folds, shifts, and what is added to the stream."""

import mlx.core as mx
import numpy as np
import pytest
import tiny

from assay.errors import DataError
from assay.methods.confidence.inference_time import (
    head_accuracies,
    head_outputs_at_end,
    head_shifts,
    random_shifts,
    shift_edits,
)
from assay.methods.confidence.probes import logistic_probe

RNG = np.random.default_rng(0)
TRUE = np.arange(40) % 2 == 0
ABOUT = [i // 2 for i in range(40)]
Z = RNG.standard_normal((40, 2, 3, 4)).astype(np.float32)
Z[:, 1, 2] += np.where(TRUE, 3.0, -3.0)[:, None] * np.array([1.0, 0.0, 0.0, 0.0], np.float32)


def test_the_head_that_knows_is_found():
    accuracy = head_accuracies(Z, TRUE, ABOUT)
    assert accuracy.shape == (2, 3)
    assert accuracy[1, 2] > 0.95
    assert np.delete(accuracy.ravel(), 5).max() < 0.8


def test_accuracy_is_that_of_two_folds():
    order = np.random.default_rng(0).permutation(20)
    fold = np.isin(ABOUT, np.array(sorted(range(20), key=repr))[order[:10]])
    right = 0
    for held_out in (fold, ~fold):
        probe = logistic_probe(Z[~held_out, 0, 1], TRUE[~held_out])
        right += int(((probe.scores(Z[held_out, 0, 1]) > 0) == TRUE[held_out]).sum())
    assert head_accuracies(Z, TRUE, ABOUT)[0, 1] == right / 40


def test_a_shift_is_the_spread_along_the_difference_in_means():
    x = Z[:, 1, 2].astype(np.float64)
    theta = x[TRUE].mean(axis=0) - x[~TRUE].mean(axis=0)
    theta /= np.linalg.norm(theta)
    shift = head_shifts(Z, TRUE, [(1, 2)])[1, 2]
    np.testing.assert_allclose(shift, np.std(x @ theta) * theta, rtol=1e-12)


def test_a_shift_without_another_has_nothing_of_it():
    x, along = Z[:, 0, 1].astype(np.float64), np.array([0.0, 2.0, 0.0, 0.0])
    theta = x[TRUE].mean(axis=0) - x[~TRUE].mean(axis=0)
    theta[1] = 0.0
    theta /= np.linalg.norm(theta)
    shift = head_shifts(Z, TRUE, [(0, 1)], without={(0, 1): along})[0, 1]
    np.testing.assert_allclose(shift, np.std(x @ theta) * theta, rtol=1e-12, atol=1e-15)


def test_random_shifts_have_the_same_lengths():
    shifts = head_shifts(Z, TRUE, [(1, 2), (0, 0)])
    drawn = random_shifts(shifts, np.random.default_rng(1))
    assert drawn.keys() == shifts.keys()
    for head, shift in shifts.items():
        assert np.linalg.norm(drawn[head]) == pytest.approx(np.linalg.norm(shift))
        assert abs(drawn[head] @ shift) < 0.99 * shift @ shift


def test_shifts_are_added_to_the_heads_outputs():
    lm = tiny.lm("llama")
    prompt = lm.prompt(tiny.ids(9))
    z = head_outputs_at_end(lm, [prompt])
    assert z.shape == (1, lm.n_layers, lm.n_heads, lm.run(prompt, keep="z")["z", 0].shape[-1])
    shift = RNG.standard_normal(z.shape[-1])
    edited = lm.run(prompt, keep="z", edits=shift_edits({(0, 1): shift}, 3.0))
    moved = (
        np.array(edited["z", 0].astype(mx.float32))[0]
        - np.array(lm.run(prompt, keep="z")["z", 0].astype(mx.float32))[0]
    )
    np.testing.assert_allclose(moved[-1, 1], 3 * shift, atol=1e-5)
    moved[-1, 1] = 0
    assert not moved.any()


def test_folds_need_subjects():
    with pytest.raises(DataError, match="two folds need two subjects"):
        head_accuracies(Z, TRUE, ["one"] * 40)
