"""The sign test against counting by hand."""

import pytest

from assay.stats import sign_test


def test_sign_test_counts_coins():
    assert sign_test([1, 2, 3]) == 1 / 8
    assert sign_test([1, -1, 1]) == 4 / 8
    assert sign_test([0, 0, 5]) == 1 / 2
    assert sign_test([-1, -1]) == 1.0
    assert sign_test([]) == 1.0
    assert sign_test([0.5] * 10 + [-0.5]) == pytest.approx(12 / 2048)
