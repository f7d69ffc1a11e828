"""Tolerance, diff lines, what an update writes, and the file that it is written to."""

import json
import math
import subprocess
import sys

import pytest

from assay.errors import SnapshotError
from assay.record import files
from assay.record.compare import close, diff, merge, other_model
from assay.record.metric import Metric, to_row

SAME = {"model": "m", "revision": "r1", "bits": 4, "prompts": "p1"}


@pytest.mark.parametrize(
    ("new", "old", "tol", "same"),
    [
        (0.67, 0.6, 0.07, True),
        (0.671, 0.6, 0.07, False),
        (17, 18, None, False),
        (17, 18, 1, True),
        (1.00001, 1.0, None, True),
        (1.001, 1.0, None, False),
        (True, 1, 5, False),
        (True, False, 5, False),
        ("a", "b", 5, False),
        ("nan", "nan", None, True),
        ("nan", 0.5, 5, False),
        ([1.0, 2.0], [1.05, 2.0], 0.1, True),
        ([1.0, 2.0], [1.0], 0.1, False),
        ([[1.0]], [[1.2]], 0.1, False),
        ({"a": 1.0}, {"a": 1.05}, 0.1, True),
        ({"a": 1.0}, {"b": 1.0}, 0.1, False),
        (None, None, None, True),
        (1, 1.0, None, True),
    ],
)
def test_close(new, old, tol, same):
    assert close(new, old, tol) is same
    assert close(old, new, tol) is same


def rows(**metrics):
    return {name: to_row(metric) for name, metric in metrics.items()}


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({"a": 0.6}, {"a": 0.8}, ["~ a  0.6 -> 0.8  (+0.2, +33.3%)"]),
        (
            {"a": Metric(0.6, n=30, ci=(0.4, 0.75), tol=0.1)},
            {"a": Metric(0.8, n=40, ci=(0.65, 0.9), tol=0.1)},
            ["~ a  0.6 -> 0.8  (+0.2, +33.3%, n 40, CI 0.65..0.9, tol 0.1); n 30 -> 40"],
        ),
        ({"a": Metric(0.6, tol=0.1)}, {"a": Metric(0.6, tol=0.3)}, ["~ a  tolerance 0.1 -> 0.3"]),
        ({"a": Metric(0.6, n=3)}, {"a": Metric(0.6)}, ["~ a  n 3 -> -"]),
        (
            {"a": Metric(0.6, ci=(0.5, 0.7))},
            {"a": Metric(0.6, ci=(0.1, 0.7))},
            ["~ a  interval [0.5, 0.7] -> [0.1, 0.7]"],
        ),
        ({"long_name": 1}, {"a": 2}, ["- long_name  1 -> (gone)", "+ a          (new) -> 2"]),
        ({"a": math.inf}, {"a": math.nan}, ["~ a  inf -> nan"]),
        ({"a": 0}, {"a": 3}, ["~ a  0 -> 3  (+3)"]),
        (
            {"a": [[1, 2], [3, 4]]},
            {"a": [[1, 2], [9, 5]]},
            ["~ a  [[1, 2], [3, 4]] -> [[1, 2], [9, 5]]  (2 of 4 values, first [1][0]: 3 -> 9)"],
        ),
        ({"a": [1, 2]}, {"a": [1]}, ["~ a  [1, 2] -> [1]  (2 values -> 1)"]),
        ({"a": 1.0, "b": Metric(2.0, tol=0.5)}, {"a": 1.0, "b": Metric(2.4, tol=0.5)}, []),
    ],
)
def test_diff(old, new, lines):
    assert list(diff(rows(**new), rows(**old))) == lines


def test_merge_keeps_old_numbers_within_tolerance():
    old = rows(a=Metric(0.6, ci=(0.4, 0.8), tol=0.1), b=1, gone=2)
    new = rows(a=Metric(0.65, ci=(0.45, 0.85), tol=0.1), b=2, more=3)
    assert merge(new, old, SAME, SAME) == rows(a=Metric(0.6, ci=(0.4, 0.8), tol=0.1), b=2, more=3)


@pytest.mark.parametrize(
    "key",
    [
        "revision",
        "prompts",
        "bits",
        "quantised",
        "datasets",
        "activations",
        "model",
        "chat_date",
        "system",
        "ignored_keys",
    ],
)
def test_numbers_of_another_model_or_other_prompts_are_not_kept(key):
    old, new = rows(a=Metric(0.6, tol=0.1)), rows(a=Metric(0.65, tol=0.1))
    assert merge(new, old, {**SAME, key: "other"}, SAME) == new
    assert merge(new, old, {**SAME, "mlx": "9"}, SAME) == old
    assert other_model({**SAME, key: "other"}, SAME)
    assert other_model(SAME, {**SAME, key: "other"})
    assert not other_model({**SAME, "mlx": "9"}, SAME)


@pytest.mark.parametrize("silent", [{}, {"mlx": "1"}, {"model": "other"}])
def test_a_block_without_a_revision_says_nothing(silent):
    assert not other_model(SAME, silent)
    assert not other_model(silent, SAME)


def test_a_value_on_another_number_of_prompts_takes_its_own_interval():
    old, new = rows(a=Metric.rate(4, 10, tol=0.5)), rows(a=Metric.rate(2, 5, tol=0.5))
    assert merge(new, old, SAME, SAME) == new
    assert list(diff(new, old)) == ["~ a  n 10 -> 5"]


def test_merge_takes_a_new_tolerance():
    old, new = rows(a=Metric(0.6, tol=0.1)), rows(a=Metric(0.65, tol=0.2))
    assert merge(new, old, SAME, SAME) == rows(a=Metric(0.6, tol=0.2))


def test_file_layout_and_round_trip(tmp_path):
    document = {
        "b@quick": rows(x=1, grid=[[0.1, 0.2], [0.3, 0.4]], curve=[1, 2], name="é"),
        "a@full": rows(x=Metric(0.5, n=3, tol=0.1)),
        "_made_by": {"b@quick": {"mlx": "1"}},
    }
    path = tmp_path / "deep" / "x.json"
    files.write(path, document)
    assert files.read(path) == json.loads(path.read_text()) == document
    assert path.read_text() == (
        '{\n  "a@full": {\n    "x": {"value": 0.5, "n": 3, "tol": 0.1}\n  },\n  "b@quick": {\n    "x": {"value": 1},\n'
        '    "grid": {"value": [\n      [0.1, 0.2],\n      [0.3, 0.4]\n    ]},\n    "curve": {"value": [1, 2]},\n'
        '    "name": {"value": "é"}\n  },\n  "_made_by": {\n    "b@quick": {"mlx": "1"}\n  }\n}\n'
    )


def test_no_file_is_no_entries(tmp_path):
    assert files.read(tmp_path / "x.json") == {}


def test_binary_is_a_snapshot_error(tmp_path):
    (tmp_path / "x.json").write_bytes(b"\xff\xfe")
    with pytest.raises(SnapshotError, match="not a text file"):
        files.read(tmp_path / "x.json")


def test_what_a_killed_writer_left_is_cleared(tmp_path):
    (tmp_path / ".x.json.123.tmp").write_text("half")
    (tmp_path / ".y.json.123.tmp").write_text("of another file")
    files.write(tmp_path / "x.json", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [".y.json.123.tmp", "x.json"]


WRITER = """
import sys
from pathlib import Path
from assay.record import files
root, me, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for turn in range(rounds):
    with files.lock(root / ".assay"):
        document = files.read(root / "x.json")
        document[f"{me}.{turn}@quick"] = {"v": {"value": turn}}
        files.write(root / "x.json", document)
"""


def test_four_processes_and_fifty_rounds_lose_nothing(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen([*command, f"w{at}", "50"]) for at in range(4)]
    assert [writer.wait(timeout=600) for writer in writers] == [0] * 4
    assert len(files.read(tmp_path / "x.json")) == 200


def test_an_interval_of_another_edition_is_recorded():
    old = {"x": {"value": 0.5, "n": 9, "ci": [0.5, 0.5], "tol": 0.3}}
    new = {"x": {"value": 0.51, "n": 9, "ci": [0.3, 0.7], "tol": 0.3}}
    assert merge(new, old, {"intervals": 2}, {}) == new
    assert merge(new, old, {"intervals": 2}, {"intervals": 2}) == old
