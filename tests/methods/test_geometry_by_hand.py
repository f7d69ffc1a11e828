"""Cosines within and between kinds, on vectors whose angles are known."""

import numpy as np
import pytest

from assay.errors import DataError
from assay.methods.geometry import cosine_matrix, nearest_is_own_kind, within_and_between_kinds

VECTORS = np.array([[1.0, 0.0], [2.0, 2.0], [0.0, 3.0], [-1.0, 0.0]])
HALF = 0.5**0.5


def test_cosines_do_not_depend_on_lengths():
    expected = [[1, HALF, 0, -1], [HALF, 1, HALF, -HALF], [0, HALF, 1, 0], [-1, -HALF, 0, 1]]
    assert np.allclose(cosine_matrix(VECTORS), expected)


def test_within_and_between():
    within, between = within_and_between_kinds(cosine_matrix(VECTORS), ["a", "a", "b", "b"])
    assert np.allclose(within, [HALF, 0])
    assert np.allclose(between, [(0 - 1 + HALF - HALF) / 4] * 2)


def test_a_kind_is_one_value_however_many_vectors_it_has():
    cosines = cosine_matrix(np.array([[1, 0], [0, 1], [1, 1], [0, -1], [0, -2]]))
    within, between = within_and_between_kinds(cosines, ["b", "a", "b", "a", "b"])
    assert np.allclose(within, [(HALF + 0 - HALF) / 3, -1])
    assert np.allclose(between, [(0 + 0 + HALF - HALF - 1 + 1) / 6] * 2)


def test_a_vector_is_not_its_own_neighbour():
    assert nearest_is_own_kind(cosine_matrix(VECTORS), ["a", "a", "b", "b"]).tolist() == [True, True, False, True]


def test_what_has_no_closeness():
    with pytest.raises(DataError, match="vector 1 is zero"):
        cosine_matrix(np.array([[1.0, 0.0], [0.0, 0.0]]))
    for kinds in (["a", "a", "b", "c"], ["a"] * 4):
        with pytest.raises(DataError, match="two kinds or more"):
            within_and_between_kinds(cosine_matrix(VECTORS), kinds)
