"""Reads, checks, hashes and splits the JSON files of `assay.data`, and CSV files of one's own.

>>> file = Path("mine.json")
>>> size = file.write_text('{"hot": "cold"}')
>>> load(file, check=lambda content: None), short_hash(file)     # the hash is recorded beside the numbers of a file
({'hot': 'cold'}, '426167beb3c9')
>>> load(file, check=lambda content: no_repeats("the word", ["hot", "hot"]))
Traceback (most recent call last):
assay.errors.DataError: mine.json: the word 'hot' occurs 2 times; keep one
"""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from assay.errors import DataError, near, unknown

Split = Literal["train", "valid", "test"]  # fit on train, choose on valid, report on test
SPLITS: tuple[Split, ...] = get_args(Split)


Item = TypeVar("Item", bound=Any)  # with a field `split`


def load(path: Path | str, check: Callable[[Any], None]) -> Any:
    """The content of a JSON file that `check` accepts.

    Raises DataError, which names the file, if it is missing, is not JSON, has a key twice in one table, or fails `check`.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_no_duplicates)
        check(content)
    except (OSError, ValueError) as error:  # a JSONDecodeError and a UnicodeDecodeError are ValueErrors
        raise DataError(f"{path}: not a readable JSON file: {error}") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return content


def rows(path: Path, *needed: str) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file by column, with their line numbers. Raises DataError for one that lacks a needed text."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable CSV file: {error}") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if missing := [column for column in needed if column not in (reader.fieldnames or ())]:
        raise DataError(f"{path}: has no column {missing[0]!r}; it needs {', '.join(needed)}")
    found = [(reader.line_num, {key: (value or "").strip() for key, value in row.items() if key}) for row in reader]
    for number, row in found:
        if empty := [column for column in needed if not is_text(row[column])]:
            raise DataError(f"{path}: line {number}: {empty[0]} is empty")
    if not found:
        raise DataError(f"{path}: has no rows")
    return found


def is_true(row: dict[str, str], column: str, where: str) -> bool:
    """Whether a column is 1. Raises DataError, which begins with `where`, for anything but 1 and 0."""
    if row[column] not in ("0", "1"):
        raise DataError(f"{where}: the {column} is {row[column]!r}, not 1 or 0")
    return row[column] == "1"


def short_hash(path: Path) -> str:
    """The version of a file: the first 12 hex digits of its SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def is_table(value: Any, **entries: type) -> bool:
    """Whether `value` is a table that has these entries, of these types."""
    return isinstance(value, dict) and all(isinstance(value.get(key), kind) for key, kind in entries.items())


def is_text(value: Any) -> bool:
    """Whether `value` is a non-empty string without white space at its ends."""
    return isinstance(value, str) and value.strip() == value != ""


def no_repeats(what: str, values: Iterable[Any]) -> None:
    """Raise DataError if one of the values occurs twice."""
    for value, times in Counter(values).items():
        if times > 1:
            raise DataError(f"{what} {value!r} occurs {times} times; keep one")


def known_split(split: str) -> Split:
    """`split` itself. Raises DataError unless it is train, valid or test."""
    for name in SPLITS:
        if split == name:
            return name
    raise unknown(DataError, "split", split, SPLITS)


def of_split(items: Iterable[Item], split: str | None) -> tuple[Item, ...]:
    """The items of one split, or all of them for None. Raises DataError for an unknown split."""
    wanted = SPLITS if split is None else (known_split(split),)
    return tuple(item for item in items if item.split in wanted)


def check_splits(splits: Any, names: Iterable[str]) -> None:
    """Raise DataError unless `splits` has a list for each split and every one of the `names` is in exactly one list."""
    if not is_table(splits, **dict.fromkeys(SPLITS, list)):
        raise DataError(f"splits needs a list for each of {', '.join(SPLITS)}")
    for split in splits:
        known_split(split)
    placed = [str(name) for split in SPLITS for name in splits[split]]
    no_repeats("in the splits", placed)
    names = dict.fromkeys(names)
    for name in placed:
        if name not in names:
            raise DataError(f"{name!r} is in a split and nowhere else{hint(name, names)}")
    known = set(placed)
    for name in names:
        if name not in known:
            raise DataError(f"{name!r} is in no split{hint(name, placed)}")


def split_by_name(splits: dict[str, list[str]]) -> dict[str, Split]:
    """The split of each name, from lists that `check_splits` accepts."""
    return {name: split for split in SPLITS for name in splits[split]}


def draw_splits(names: Iterable[str]) -> dict[str, Split]:
    """A split for each name of a file without splits: half of the names train, a fifth valid, the rest test.

    Names are ordered by their hashes, so the splits do not depend on the order of the file.
    """
    return split_in_order(sorted(set(names), key=lambda name: hashlib.sha256(name.encode()).digest()))


def split_in_order(names: Sequence[str]) -> dict[str, Split]:
    """The first half of the names is train, the next fifth valid, the rest test."""
    train, valid = round(0.5 * len(names)), round(0.7 * len(names))  # the ends of train and valid
    return {name: "train" if i < train else "valid" if i < valid else "test" for i, name in enumerate(names)}


def hint(given: object, known: Iterable[str]) -> str:
    """The end of a message about a name that is not `known`: "; did you mean Texas?", or nothing."""
    guesses = near(str(given), known)
    return f"; did you mean {' or '.join(guesses)}?" if guesses else ""


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict. A key that occurs twice is an error: `json` would silently keep the last value."""
    for name, times in Counter(name for name, _ in pairs).items():
        if times > 1:
            raise DataError(f"{name!r} occurs {times} times in one table; keep one")
    return dict(pairs)
