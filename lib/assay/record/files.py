"""Snapshot files, `snapshots/<model>/<experiment>.json`, which are always replaced as a whole.

    {
      "backpatch@quick": {
        "rescue_rate": {"value": 0.6, "n": 30, "ci": [0.42, 0.75], "tol": 0.07},
        "grid": {"value": [
          [0.1, 0.2],
          [0.3, 0.4]
        ], "tol": 0.1}
      },
      "_verdicts": {
        "backpatch@quick test_rescues": "yes"
      },
      "_made_by": {
        "backpatch@quick": {"mlx": "0.32.4", "prompts": "5f2c91ab03de"}
      }
    }

An *entry* holds what one measurement recorded at one tier. A line holds one metric, one row of a heatmap or one verdict, so
a changed number is one changed line in a review, and git can merge two people's updates. Nothing here uses pytest.
"""

import json
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from assay.errors import SnapshotError
from assay.record.compare import BLOCKS
from assay.record.metric import FIELDS, show

Document = dict[str, dict[str, Any]]


def read(path: Path) -> Document:
    """The entries of a file; {} without a file. Raises SnapshotError, with the line number where one is known."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise SnapshotError(f"{path} is not a text file: {error}. {REMEDY}") from error
    return parse(text, path)


def parse(text: str, path: Path | str) -> Document:
    """The entries of a file's text. Raises SnapshotError, which names `path`."""
    try:
        document = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_duplicates)
    except json.JSONDecodeError as error:
        raise SnapshotError(f"{path}, line {error.lineno}: {error.msg}. {REMEDY}") from error
    except ValueError as error:
        raise SnapshotError(f"{path}: {error}. {REMEDY}") from error
    _check(document, path)
    return document


REMEDY = "Repair it by hand or with git, or delete it and record again"


def _refuse_constant(name: str) -> Any:
    raise ValueError(f'{name} is not JSON; write it as "{name.lower().replace("infinity", "inf")}"')


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # json keeps the last of two equal keys; after a bad merge that silently drops one side.
    if len({key for key, _ in pairs}) != len(pairs):
        twice = next(key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f"{twice!r} is there twice")
    return dict(pairs)


def _check(document: Any, path: Path | str) -> None:
    def bad(what: str) -> SnapshotError:
        return SnapshotError(f"{path}: {what}. {REMEDY}")

    if not isinstance(document, dict):
        raise bad("not a JSON object of entries")
    for entry, rows in document.items():
        if not isinstance(rows, dict):
            raise bad(f"{entry!r} is not an object of metrics")
        if entry in BLOCKS:
            continue
        for name, row in rows.items():
            if not isinstance(row, dict) or "value" not in row:
                raise bad(f'{entry!r}: {name!r} is not a metric {{"value": ...}}')
            for field, stored in row.items():
                if field not in FIELDS:
                    raise bad(f"{entry!r}: {name!r} has an unknown field {field!r}; a metric has {', '.join(FIELDS)}")
                if not (known := FIELDS[field]).fits(stored):
                    raise bad(f"{entry!r}: {name!r} has the {known.label} {show(stored)}, not {known.form}")


def write(path: Path, document: Document) -> None:
    """Replaces the file as a whole: after a kill or on a full disk it holds the old bytes or the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left_over in path.parent.glob(f".{path.name}.*.tmp"):  # left by a killed run: the lock excludes running ones
        left_over.unlink(missing_ok=True)
    replace(path, dumps(document))


def replace(path: Path, text: str) -> None:
    """Writes beside `path`, then renames over it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # else a power cut can leave the new name on an empty file
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def lock(scratch: Path) -> AbstractContextManager[Any]:
    """A lock for one writer of snapshots at a time on this machine (not reliable on NFS); a killed process releases it."""
    from filelock import FileLock  # imported only to write: the import is slow

    return FileLock(make_scratch(scratch) / "snapshots.lock")


def make_scratch(scratch: Path) -> Path:
    """Makes the folder for locks and journals, which git ignores."""
    scratch.mkdir(parents=True, exist_ok=True)
    ignore = scratch / ".gitignore"
    if not ignore.exists():
        replace(ignore, "*\n")  # atomically: an empty file, left by a full disk, would never be repaired
    return scratch


def dumps(document: Document) -> str:
    """The text of a file: entries sorted by name, metrics in the order of measurement, the blocks last."""
    entries = [_entry(name, document[name]) for name in sorted(document) if name not in BLOCKS]
    for name in BLOCKS:
        if block := document.get(name):
            lines = [f"    {_json(key)}: {_json(block[key])}" for key in sorted(block)]
            entries.append(f"  {_json(name)}: {{\n" + ",\n".join(lines) + "\n  }")
    return "{\n" + ",\n".join(entries) + "\n}\n"


def _entry(name: str, rows: dict[str, Any]) -> str:
    lines = [f"    {_json(metric)}: {_row(row)}" for metric, row in rows.items()]
    return f"  {_json(name)}: {{\n" + ",\n".join(lines) + "\n  }"


def _row(row: dict[str, Any]) -> str:
    fields = []
    for key, value in row.items():
        if key == "value" and isinstance(value, list) and value and all(isinstance(v, list) for v in value):
            fields.append('"value": [\n' + ",\n".join(f"      {_json(v)}" for v in value) + "\n    ]")
        else:
            fields.append(f"{_json(key)}: {_json(value)}")
    return "{" + ", ".join(fields) + "}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
