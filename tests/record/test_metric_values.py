"""A metric behaves as its number; its stored form loses nothing that matters."""

import math

import numpy as np
import pytest

from assay.errors import DataError
from assay.plugin import Metric, Result, not_eligible, wilson
from assay.plugin.results.result import forget_reads, read_since
from assay.record.metric import from_row, number, to_row
from assay.stats import difference_interval


def test_it_is_its_number():
    half, third = Metric(0.5), Metric(1 / 3)
    assert half > third
    assert half >= 0.5
    assert not half < 0.5
    assert third <= 0.34 < half
    assert half == 0.5
    assert half != third
    assert half == pytest.approx(0.5000001)
    assert (half + third, half - 0.1, 1 - half, half * 2, 1 / half, -half) == (0.5 + 1 / 3, 0.4, 0.5, 1.0, 2.0, -0.5)
    assert (abs(Metric(-2)), float(half), int(Metric(3.9)), round(third, 2), f"{third:.2f}") == (
        2,
        0.5,
        3,
        0.33,
        "0.33",
    )
    assert [10, 20, 30][Metric(1)] == 20
    assert Metric(True)
    assert not Metric(False)
    assert not Metric(math.nan) > 0


def test_it_is_its_list():
    grid = Metric([[1, 2], [3, 4]])
    assert grid[1][0] == 3
    assert len(grid) == 2
    assert [3, 4] in grid
    assert list(grid) == [[1, 2], [3, 4]]
    assert np.array(grid.value).shape == (2, 2)


def test_an_index_must_be_an_integer():
    with pytest.raises(TypeError, match="float is not an index"):
        [1, 2][Metric(1.0)]


def test_interval():
    rate = Metric.rate(24, 30)
    assert (rate.low, rate.high) == wilson(24, 30)
    with pytest.raises(DataError, match=r"measured without an interval: .*Metric.rate"):
        _ = Metric(0.8).low
    nothing = Metric.rate(0, 0)
    assert math.isnan(nothing.value)
    assert (nothing.low, nothing.high) == (0, 1)
    mean = Metric.mean([1.0, 2.0, 4.0], tol=0.1)
    assert mean.n == 3
    assert mean == 7 / 3
    assert mean.low < 1 < mean < 4 < mean.high  # three values without bounds
    low, high = Metric.mean([0.2, 0.4, 0.8] * 4, (0, 1)).ci
    assert 0.2 < low < 7 / 15 < high < 0.7


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (0.123456789, 0.123457),
        (1e-9, 1e-9),
        (-0.0, 0.0),
        (17, 17),
        (True, True),
        ("text", "text"),
        (None, None),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (np.float32(0.1), 0.1),
        (np.int64(3), 3),
        (np.arange(3) / 3, [0.0, 0.333333, 0.666667]),
        ([[0.5, math.inf]], [[0.5, "inf"]]),
        ({"b": 1, "a": (2.0,)}, {"a": [2.0], "b": 1}),
    ],
    ids=repr,
)
def test_stored_form(value, stored):
    row = to_row(value)
    assert row == {"value": stored}
    assert type(row["value"]) is type(stored)
    again = to_row(from_row(row))
    assert again == row


def test_mlx_arrays_are_stored():
    mx = pytest.importorskip("mlx.core")
    assert to_row(mx.array([1.0, 0.5], dtype=mx.bfloat16)) == {"value": [1.0, 0.5]}


@pytest.mark.parametrize("value", ["nan", ..., {1, 2}, b"x", [...]], ids=repr)
def test_what_cannot_be_stored(value):
    with pytest.raises(DataError):
        to_row(value)


def test_result_by_attribute_and_key():
    result = Result("exp", {"rate": Metric.rate(1, 2, control="null"), "null": 0.1, "rate[en]": 3})
    assert result.rate.value == 0.5
    assert result["rate[en]"] == 3
    assert list(result) == ["rate", "null", "rate[en]"]
    assert "rate" in dir(result)
    with pytest.raises(AttributeError, match=r"exp has no metric 'rat'; measured: rate, null, rate\[en\]"):
        _ = result.rat
    with pytest.raises(KeyError, match="exp has no metric"):
        result["rat"]


def test_a_result_remembers_what_was_read():
    result = Result("exp", {"a": 1, "b": 2, "c": 3})
    forget_reads(result)
    assert result.c > result["a"]
    assert read_since(result) == ["c", "a"]
    forget_reads(result)
    assert read_since(result) == []


@pytest.mark.parametrize(
    ("measured", "message"),
    [
        ({"items": 1}, "cannot be called 'items'"),
        ({"_x": 1}, "cannot be called '_x'"),
        ({"ineligible": 1}, "cannot be called 'ineligible'"),
        ({"a": ...}, "experiment exp, metric a: a metric holds numbers"),
        ({"a": Metric(1, control="b")}, "a has the control 'b', which was not measured"),
        ([("a", 1)], "returned list, not a mapping"),
        (None, "returned NoneType, not a mapping"),
    ],
    ids=str,
)
def test_what_an_experiment_cannot_return(measured, message):
    with pytest.raises(DataError, match=message):
        Result("exp", measured)


def test_not_eligible():
    result = Result("exp", not_eligible("nothing passed", gate=Metric.rate(0, 5)))
    assert result.ineligible == "nothing passed"
    assert result.gate == 0
    with pytest.raises(pytest.skip.Exception, match="not eligible: nothing passed"):
        _ = result.rate
    assert Result("exp", {"a": 1}).ineligible is None


def test_recorded_and_measured_are_the_same():
    measured = Result("exp", {"a": Metric(1 / 3, n=3, ci=(0.1, 2 / 3), tol=0.1, unit="nats"), "b": [math.inf]})
    again = Result.from_rows("exp", {name: to_row(metric) for name, metric in measured.items()})
    assert measured.a.value == again.a.value == 0.333333
    assert measured.a.ci == again.a.ci == (0.1, 0.666667)
    assert (again.a.unit, again.a.n, again.a.tol, again.b.value) == ("nats", 3, 0.1, [math.inf])


# --- intervals ---


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (18, 30), (1, 1), (3, 4000)])
def test_wilson_ends_are_1_96_standard_errors_from_the_rate(hits, n):
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n <= high <= 1
    for end in {low, high} - {0.0, 1.0}:
        assert abs(end - hits / n) == pytest.approx(1.959964 * (end * (1 - end) / n) ** 0.5, rel=1e-6)


def test_wilson_of_nothing_supports_no_claim():
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("hits", "n"), [(3, 2), (-1, 2), (1, 0)])
def test_wilson_of_nonsense(hits, n):
    with pytest.raises(ValueError, match="is not a rate"):
        wilson(hits, n)


def test_wilson_covers():
    rng = np.random.default_rng(0)
    hits = rng.binomial(40, 0.1, 2000)
    covered = np.mean([low <= 0.1 <= high for low, high in (wilson(int(k), 40) for k in hits)])
    assert 0.93 < covered < 0.985


def test_one_value_and_none_support_no_claim():
    assert Metric.mean([0.4], (0, 1)).ci == (0, 1)
    assert Metric.mean([0.4]).ci == (-math.inf, math.inf)
    none = Metric.mean([])
    assert none.n == 0
    assert math.isnan(none.value)
    assert not none.low > 0
    assert not none.low < 0


def test_clusters_widen_an_interval_and_are_stored():
    flags, groups = [True] * 6 + [False] * 6, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    wide, narrow = Metric.share(flags, clusters=groups), Metric.share(flags)
    assert wide.low < narrow.low
    assert narrow.high < wide.high
    assert to_row(wide)["clusters"] == 4
    assert from_row(to_row(wide)).clusters == 4
    assert number(to_row(wide)).endswith("n 12 in 4 clusters")


def test_an_area_of_one_has_an_interval():
    assert 0.9 < Metric.auroc(1.0, 24, 24).low < 1


def test_a_difference_from_several_draws_is_paired_and_has_room_for_one_more():
    own, draws = [0.9, 0.7, 0.8, 0.6], [[0.1, 0.2, 0.1, 0.2], [0.3, 0.4, 0.3, 0.4]]
    found = Metric.difference(own, draws, clusters=list("abcd"), tol=0.1)
    assert (found.value, found.n, found.clusters, found.tol) == (pytest.approx(0.5), 4, 4, 0.1)
    assert found.ci == difference_interval(own, draws, (-1, 1), list("abcd"))
    one = Metric.difference(own, draws[:1])
    assert one.ci == Metric.mean([a - b for a, b in zip(own, draws[0], strict=True)], (-1, 1)).ci
