"""Measures of separation on values whose answer is known."""

import numpy as np
import pytest

from assay.errors import DataError
from assay.methods.separation import auroc, d_prime, folded_aurocs, project_onto, silhouette, spearman


def test_project_is_the_coordinate_along_the_unit_vector():
    assert project_onto(np.array([[3.0, 4.0], [0.0, 2.0]]), np.array([0.0, 5.0])) == pytest.approx([4.0, 2.0])


def test_d_prime():
    assert d_prime([5.0, 7.0], [1.0, 3.0]) == pytest.approx(4 / np.sqrt(2))
    assert d_prime([1.0, 3.0], [5.0, 7.0]) == -d_prime([5.0, 7.0], [1.0, 3.0])


def test_auroc_counts_ties_half():
    assert auroc([2.0, 3.0], [0.0, 1.0]) == 1
    assert auroc([0.0, 1.0], [2.0, 3.0]) == 0
    assert auroc([1.0], [1.0]) == 0.5
    assert auroc([1.0, 2.0, 3.0], [2.0]) == pytest.approx(0.5)


def test_a_folded_area_does_not_depend_on_the_sign():
    positive, negative = np.array([[2.0, 0.0], [3.0, 1.0], [0.5, 1.0]]), np.array([[0.0, 0.0], [1.0, 1.0]])
    along = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    assert folded_aurocs(along, positive, negative) == pytest.approx([5 / 6, 5 / 6, 7 / 12])


def test_silhouette_by_hand():
    a, b = np.array([[0.0], [1.0]]), np.array([[10.0], [12.0]])
    # own distances 1, 1, 2, 2; mean distances to the others 11, 10, 9.5, 11.5
    assert silhouette(a, b) == pytest.approx(np.mean([10 / 11, 9 / 10, 7.5 / 9.5, 9.5 / 11.5]))
    cloud = np.random.default_rng(0).standard_normal((40, 3))
    assert abs(silhouette(cloud[:20], cloud[20:])) < 0.1


def test_spearman_is_a_rank_correlation():
    assert spearman([1, 2, 3, 9], [10, 20, 25, 26]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert spearman([1, 1, 2], [5, 5, 9]) == pytest.approx(1)
    assert np.isnan(spearman([1, 1, 1], [1, 2, 3]))


def test_too_few_values():
    with pytest.raises(DataError, match="two values of each kind or more, got 1 and 2"):
        d_prime([1.0], [1.0, 2.0])
    with pytest.raises(DataError, match="both kinds, got 0 and 1"):
        auroc([], [1.0])
    with pytest.raises(DataError, match="two points of each kind or more, got 1 and 3"):
        silhouette(np.zeros((1, 2)), np.zeros((3, 2)))
