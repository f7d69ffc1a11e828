"""Sign test and trend test against counting by hand and against the published example."""

from itertools import permutations, product

import pytest

from assay.stats import page_trend, sign_test


def test_sign_test_counts_coins():
    assert sign_test([1, 2, 3]) == 1 / 8
    assert sign_test([1, -1, 1]) == 4 / 8
    assert sign_test([0, 0, 5]) == 1 / 2
    assert sign_test([-1, -1]) == 1.0
    assert sign_test([]) == 1.0
    assert sign_test([0.5] * 10 + [-0.5]) == pytest.approx(12 / 2048)


def by_hand(rows):
    """All orders of all rows, listed."""

    def statistic(row):
        ranks = [sum(o < v for o in row) + (sum(o == v for o in row) + 1) / 2 for v in row]
        return sum((column + 1) * rank for column, rank in enumerate(ranks))

    observed = sum(map(statistic, rows))
    orders = list(product(*(list(permutations(row)) for row in rows)))
    return sum(sum(map(statistic, order)) >= observed - 1e-9 for order in orders) / len(orders)


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 2, 3]],
        [[3, 2, 1]],
        [[1, 2, 3, 4], [2, 1, 3, 4]],
        [[0, 0, 5], [1, 4, 4], [2, 2, 2]],  # equal values share a rank
        [[1.5, 1, 6, 6], [0, 3, 3.5, 6]],
    ],
)
def test_page_equals_the_list_of_all_orders(rows):
    assert page_trend(rows) == pytest.approx(by_hand(rows))


def test_page_has_the_published_critical_values():
    """Page (1963), table 2: k = 3, n = 5: L = 66 has p <= .05, 65 has not; k = 4, n = 3: 84 has, 83 has not."""
    up, mixed, down = [1, 2, 3], [1, 3, 2], [2, 1, 3]  # 14, 13, 13

    def with_l(values, n, total):
        for rows in product(values, repeat=n):
            if sum(sum((c + 1) * v for c, v in enumerate(row)) for row in rows) == total:
                return list(rows)
        raise AssertionError

    three = list(permutations([1, 2, 3]))
    assert page_trend(with_l(three, 5, 66)) <= 0.05 < page_trend(with_l(three, 5, 65))
    four = list(permutations([1, 2, 3, 4]))
    assert page_trend(with_l(four, 3, 84)) <= 0.05 < page_trend(with_l(four, 3, 83))
    assert page_trend([up, up]) < page_trend([up, mixed]) == page_trend([down, up])


def test_page_without_rows_and_without_order():
    assert page_trend([]) == 1.0
    assert page_trend([[4, 4, 4]]) == 1.0


@pytest.mark.parametrize("rows", [[[1, 2], [1, 2, 3]], [[]], [[1, float("nan")]]])
def test_page_refuses_rows_that_are_not_comparable(rows):
    with pytest.raises(ValueError, match="trend test"):
        page_trend(rows)
