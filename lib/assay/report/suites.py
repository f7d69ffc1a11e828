"""What the suites say about their experiments: titles, questions and methods, from the docstrings of the files.

    >>> entitled("backpatch_t1", "HTL-7: back-patching at t1 of queries that fail. More of it.")
    'Back-patching at t1 of queries that fail'
    >>> entitled("capitals", None)
    'Capitals'

The files are read and not imported: a report needs no model and no MLX.
"""

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from assay.errors import SnapshotError
from assay.report.read import words

IDS = re.compile(r"^((?:[A-Z]+-[A-Z]*[\d.]+)(?:(?:, | to | and )[A-Z]+-[A-Z]*[\d.]+)*): ")
"""The ids at the head of an experiment's docstring: "REF-5, REF-7: "."""


@dataclass(frozen=True)
class Module:
    """One file of a suite."""

    path: str
    title: str = ""
    """The first sentence of its docstring."""
    method: str = ""
    """The first two sentences of what follows."""
    experiments: Mapping[str, str] = field(default_factory=dict)
    """Name -> title, of the experiments that it defines."""
    minutes: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """Model -> what was timed there (this file, or its folder), and the minutes that it took."""


def read_modules(root: Path) -> list[Module]:
    """The test files of `root/suites` that define an experiment, in the order of their paths."""
    timed = _timed(root / "suites" / "minutes.json")
    found = (read_module(path, root) for path in sorted((root / "suites").rglob("test_*.py")))
    return [replace(module, minutes=_minutes(module.path, timed)) for module in found if module.experiments]


def read_module(path: Path, root: Path | None = None) -> Module:
    """One file. Raises SnapshotError for a file that is not Python."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise SnapshotError(f"{path} cannot be read: {error}") from error
    title, _, rest = (ast.get_docstring(tree) or "").partition("\n\n")
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and _is_experiment(node)]
    made = {node.name: entitled(node.name, ast.get_docstring(node)) for node in functions}
    where = path.relative_to(root).as_posix() if root else path.name
    return Module(where, _line(title), _sentences(rest.partition("\n\n")[0], 2), made)


def _timed(path: Path) -> dict[str, dict[str, float]]:
    """Model -> folder or file -> minutes; {} where nobody timed them. Raises SnapshotError for another file."""
    if not path.exists():
        return {}
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return {model: {where: float(m) for where, m in of.items()} for model, of in table.items() if model != "about"}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise SnapshotError(f"{path} is not a table of minutes by model and folder: {error}") from error


def _minutes(path: str, timed: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[str, float]]:
    """For each model, the narrowest folder that was timed and holds the file, or the file itself."""
    found = {}
    for model, of in timed.items():
        if holding := [where for where in of if path == where or path.startswith(where + "/")]:
            where = max(holding, key=len)
            found[model] = where, of[where]
    return found


def entitled(name: str, docstring: str | None) -> str:
    """The title of an experiment: its docstring's first sentence without ids, or its name in words."""
    first = IDS.sub("", _line((docstring or "").partition("\n\n")[0])).rstrip(".")
    text = _sentences(first, 1).rstrip(".") or words(name)
    return text[:1].upper() + text[1:]


def _is_experiment(node: ast.FunctionDef) -> bool:
    marks = (mark.func if isinstance(mark, ast.Call) else mark for mark in node.decorator_list)
    return any(isinstance(mark, ast.Name) and mark.id == "experiment" for mark in marks)


def _line(text: str) -> str:
    return " ".join(text.split())


def _sentences(text: str, n: int) -> str:
    """The first `n` sentences."""
    return " ".join(re.split(r"(?<=[.?!])\s+(?=[A-Z])", _line(text))[:n])
