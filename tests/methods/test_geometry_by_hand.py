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
    assert np.allclose(within, [HALF, HALF, 0, 0])
    assert np.allclose(between, [-0.5, 0, HALF / 2, (-1 - HALF) / 2])


def test_a_vector_is_not_its_own_neighbour():
    assert nearest_is_own_kind(cosine_matrix(VECTORS), ["a", "a", "b", "b"]).tolist() == [True, True, False, True]


def test_what_has_no_closeness():
    with pytest.raises(DataError, match="vector 1 is zero"):
        cosine_matrix(np.array([[1.0, 0.0], [0.0, 0.0]]))
    for kinds in (["a", "a", "b", "c"], ["a"] * 4):
        with pytest.raises(DataError, match="two kinds or more"):
            within_and_between_kinds(cosine_matrix(VECTORS), kinds)
