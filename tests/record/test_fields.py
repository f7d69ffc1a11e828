"""A field of a metric is described once: files, diffs and tables follow."""

from dataclasses import dataclass, fields

import pytest

from assay.errors import SnapshotError
from assay.record import files, metric
from assay.record.compare import diff, merge
from assay.record.metric import FIELDS, Field, Metric, from_row, number, to_row

FULL = Metric(0.6, n=30, ci=(0.42, 0.75), tol=0.07, unit="nats", control="null", clusters=9)


def test_every_field_is_described():
    assert FIELDS.keys() == {field.name for field in fields(Metric)}


def test_a_row_has_the_order_of_the_class_and_a_text_that_of_the_table():
    assert list(to_row(FULL)) == [field.name for field in fields(Metric)]
    assert number(to_row(FULL)) == "0.6 nats [0.42, 0.75] n 30 in 9 clusters"
    assert number({}) == ""


@pytest.mark.parametrize(
    ("value", "text"), [(1 / 3, "0.333"), (7, "7"), (True, "true"), (float("nan"), "nan"), ([1, 2], "[1, 2]")]
)
def test_a_number_is_short(value, text):
    assert number(to_row(value)) == text


@dataclass(frozen=True, eq=False)
class Salted(Metric):
    """A metric with one more field."""

    salt: int | None = None


@pytest.fixture
def salted(monkeypatch):
    """The library with that field: the class and its line in the table, and nothing else."""
    monkeypatch.setattr(metric, "Metric", Salted)
    monkeypatch.setitem(FIELDS, "salt", Field("salt", text=lambda salt: f" salt {salt}"))


def test_a_new_field_needs_its_line_and_nothing_else(salted, tmp_path):
    row = to_row(Salted(0.6, n=30, salt=7))
    assert row == {"value": 0.6, "n": 30, "salt": 7}
    files.write(tmp_path / "x.json", {"a@quick": {"rate": row}})
    assert from_row(files.read(tmp_path / "x.json")["a@quick"]["rate"]).salt == 7
    assert number(row) == "0.6 n 30 salt 7"
    assert list(diff({"rate": {**row, "salt": 8}}, {"rate": row})) == ["~ rate  salt 7 -> 8"]


def test_a_new_measured_field_is_compared_within_the_tolerance(salted, monkeypatch):
    monkeypatch.setitem(FIELDS, "salt", Field("salt", measured=True))
    old, near, far = ({"rate": to_row(Salted(0.6, tol=1, salt=salt))} for salt in (7, 8, 9))
    assert list(diff(near, old)) == []
    assert merge(near, old, {}, {}) == old
    assert list(diff(far, old)) == ["~ rate  salt 7 -> 9"]


def test_a_field_without_its_line_stops_the_first_measurement(monkeypatch):
    monkeypatch.setattr(metric, "Metric", Salted)
    with pytest.raises(KeyError, match="salt"):
        to_row(Salted(0.6, salt=7))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            '{"value": 1, "toll": 2}',
            r"'rate' has an unknown field 'toll'; a metric has value, unit, ci, n, tol, control, clusters",
        ),
        ('{"value": 1, "ci": 3}', r"'rate' has the interval 3, not \[low, high\]"),
        ('{"value": 1, "ci": [3]}', r"'rate' has the interval \[3\], not \[low, high\]"),
        ('{"n": 1}', "'rate' is not a metric"),
    ],
)
def test_a_row_that_is_none_is_refused(tmp_path, row, message):
    (tmp_path / "x.json").write_text(f'{{"a@quick": {{"rate": {row}}}}}', encoding="utf-8")
    with pytest.raises(SnapshotError, match=message):
        files.read(tmp_path / "x.json")
