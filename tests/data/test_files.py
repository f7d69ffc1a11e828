"""What all loaders share: reading, hashing, splitting; and that this room needs no MLX."""

import doctest
import subprocess
import sys

import pytest

from assay.data import in_context, instructions, judges, knowledge, opinions, tasks, two_hop
from assay.data.files import check_splits, draw_splits, is_text, known_split, load, short_hash, split_by_name
from assay.errors import DataError


def nothing_wrong(content):
    pass


@pytest.mark.parametrize("content", [None, b"{", b"", b"\xff\xfe"])
def test_a_file_that_is_missing_or_not_json(tmp_path, content):
    file = tmp_path / "data.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=r"data\.json: not a readable JSON file"):
        load(file, nothing_wrong)


def test_a_key_that_is_there_twice(tmp_path):
    (tmp_path / "data.json").write_text('{"a": {"b": 1, "b": 2}}')
    with pytest.raises(DataError, match=r"data\.json: 'b' occurs 2 times in one table"):
        load(tmp_path / "data.json", nothing_wrong)


def test_the_content_arrives_as_it_is(tmp_path):
    (tmp_path / "data.json").write_text('{"a": ["é", 1]}', encoding="utf-8")
    assert load(tmp_path / "data.json", nothing_wrong) == {"a": ["é", 1]}


def test_the_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert short_hash(tmp_path / "a") == "ba7816bf8f01"  # SHA-256 of "abc", FIPS 180-2


@pytest.mark.parametrize(("value", "good"), [("a b", True), ("", False), (" a", False), ("a\n", False), (7, False)])
def test_a_text_has_something_in_it_and_no_space_around_it(value, good):
    assert is_text(value) is good


def test_an_unknown_split_is_answered_with_the_nearest():
    with pytest.raises(DataError, match=r"unknown split 'validation'\. Did you mean valid\? Known: train, valid, test"):
        known_split("validation")


def test_drawn_splits_hold_half_a_fifth_and_the_rest():
    names = [f"name {i}" for i in range(200)]
    drawn = draw_splits(names)
    assert [list(drawn.values()).count(split) for split in ("train", "valid", "test")] == [100, 40, 60]
    assert drawn == draw_splits(reversed(names))
    assert draw_splits(["one"]).keys() == {"one"}


@pytest.mark.parametrize(
    ("splits", "says"),
    [
        ({"train": ["a"], "valid": ["b"]}, "needs a list for each of train, valid, test"),
        ({"train": ["a"], "valid": ["b"], "test": [], "dev": []}, "unknown split 'dev'"),
        ({"train": ["a"], "valid": ["b"], "test": ["a"]}, "in the splits 'a' occurs 2 times"),
        ({"train": ["a"], "valid": ["b"], "test": ["c"]}, "'c' is in a split and nowhere else"),
        ({"train": ["a"], "valid": [], "test": []}, "'b' is in no split"),
    ],
)
def test_splits_hold_every_name_once(splits, says):
    with pytest.raises(DataError, match=says):
        check_splits(splits, ["a", "b"])


def test_sound_splits():
    splits = {"train": ["a"], "valid": ["b"], "test": []}
    check_splits(splits, ["a", "b"])
    assert split_by_name(splits) == {"a": "train", "b": "valid"}


@pytest.mark.parametrize("module", [two_hop, tasks, instructions, judges, opinions, knowledge])
def test_the_hash_follows_the_file(tmp_path, monkeypatch, module):
    before = module.file_hash()
    assert set(before) <= set("0123456789abcdef-")
    assert len(before) >= 12
    (tmp_path / "data.json").write_bytes(module.FILE.read_bytes() + b"\n")
    monkeypatch.setattr(module, "FILE", tmp_path / "data.json")
    assert module.file_hash() != before


def test_the_hash_of_what_is_made_of_two_files_follows_both(tmp_path, monkeypatch):
    before = knowledge.file_hash()
    (tmp_path / "two_hop.json").write_bytes(two_hop.FILE.read_bytes() + b"\n")
    monkeypatch.setattr(two_hop, "FILE", tmp_path / "two_hop.json")
    assert knowledge.file_hash() != before


@pytest.mark.parametrize("module", [two_hop, tasks, in_context, instructions, judges, opinions, knowledge])
def test_the_examples_of_the_docstrings_run(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_no_mlx_is_imported():
    rooms = "two_hop, tasks, in_context, instructions, opinions, knowledge"
    program = (
        f"import sys; from assay.data import {rooms}; two_hop.two_hop(); tasks.tasks(); instructions.instructions('harmful'); "
        "opinions.opinions(); knowledge.statements(); knowledge.entities(); "
        "print([m for m in sys.modules if m.startswith('mlx')])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
