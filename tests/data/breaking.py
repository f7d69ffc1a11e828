"""A sound data file, broken in one place: what each loader's tests of malformed files share."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.data import files
from assay.errors import DataError

GONE = object()


def broken(content: Any, path: str, value: Any) -> Any:
    """A copy of `content` with `value` at "a.b.0", or with nothing there if the value is GONE."""
    changed = copy.deepcopy(content)
    *parents, last = (int(key) if key.isdigit() else key for key in path.split("."))
    at = changed
    for key in parents:
        at = at[key]
    if value is GONE:
        del at[last]
    else:
        at[last] = value
    return changed


def complains(content: Any, check: Callable[[Any], None], folder: Path, says: str) -> None:
    """`check` refuses a file with this content, in one line that begins with the file's name and contains `says`."""
    file = folder / "data.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError) as error:
        files.load(file, check)
    assert says in str(error.value)
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)
