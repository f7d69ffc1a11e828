"""Hashes of values: the same data have the same hash in every run.

    >>> digest(data({"layers": [0, 2, 4]}, "layers"))[:12]
    'a01c3ec35b2c'

A value without an exact JSON form is an error: its hash would not show its content.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.errors import DataError


def digest(value: Any) -> str:
    """Hash of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:24]


def data(value: Any, what: str) -> Any:
    """`value` as JSON; arrays become their dtype and values. Raises DataError, naming `what`, for other types."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "tolist"):  # numpy and mlx
        return [str(getattr(value, "dtype", "")), value.tolist()]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return [type(value).__qualname__, data(fields, what)]
    if isinstance(value, Mapping):
        return [[data(key, what), data(item, what)] for key, item in value.items()]
    if isinstance(value, list | tuple | range):
        return [data(item, what) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((data(item, what) for item in value), key=repr)
    raise DataError(
        f"{what} is a {type(value).__name__}, and it cannot be seen whether it is the same in another run: use data "
        "(numbers, strings, lists, dataclasses), or, in a journal, say what it depends on with key="
    )
