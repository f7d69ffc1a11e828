"""The house: rooms import one way, modules have no circles, a file is one idea."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

LIB = Path(__file__).parents[1] / "lib"
FILES = {
    ".".join(p.relative_to(LIB).with_suffix("").parts).removesuffix(".__init__"): p
    for p in (LIB / "assay").rglob("*.py")
}

ROOMS = (
    ("errors", "stats", "timing", "moved", "machine", "blas", "before_mlx", "models"),
    ("forward",),
    ("data", "methods"),
    ("testbed",),
    ("record",),
    ("plugin",),
    ("report",),
    ("cli",),
)
"""A room may import those above it and those beside it."""

NEVER = {("record", "pytest"), ("report", "pytest"), ("report", "plugin"), ("record", "forward"), ("plugin", "methods")}
"""And never these: a record is judged without pytest, and the plugin knows no method."""

PLUGIN = (("options", "own_data", "hookspecs"), ("models",), ("results",), ("claims",), ("fixtures", ""))
"""The same inside the plugin."""


def imported(path: Path) -> Iterator[str]:
    """Full names of everything that a file imports, also in functions and for types."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports are not written here"
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def module_of(name: str) -> str | None:
    """The module of assay that a name stands for or lies in."""
    while name and name not in FILES:
        name = name.rpartition(".")[0]
    return name or None


IMPORTS = {
    module: {m for name in imported(path) if (m := module_of(name)) not in (None, module, "assay")}
    for module, path in FILES.items()
}


def test_no_circles():
    list(TopologicalSorter(IMPORTS).static_order())  # raises CycleError, which names it


def level(rooms: tuple[tuple[str, ...], ...], room: str) -> int:
    return next(i for i, beside in enumerate(rooms) if room in beside)


@pytest.mark.parametrize("module", sorted(m for m in FILES if m != "assay"))
def test_rooms_import_one_way(module):
    room, names = module.split(".")[1], set(imported(FILES[module]))
    for other in IMPORTS[module]:
        assert level(ROOMS, other.split(".")[1]) <= level(ROOMS, room), f"{module} imports {other}"
    tops = {name.split(".")[0] for name in names} | {m.split(".")[1] for m in IMPORTS[module]}
    assert not [(a, b) for a, b in NEVER if a == room and b in tops]


@pytest.mark.parametrize("module", sorted(m for m in FILES if m.startswith("assay.plugin.")))
def test_the_plugin_imports_one_way(module):
    part = lambda name: [*name.split("."), ""][2]  # noqa: E731
    for other in IMPORTS[module]:
        if other.startswith("assay.plugin"):
            assert level(PLUGIN, part(other)) <= level(PLUGIN, part(module)), f"{module} imports {other}"


@pytest.mark.parametrize("module", sorted(FILES))
def test_a_file_is_one_idea_or_says_why_it_is_long(module):
    text = FILES[module].read_text(encoding="utf-8")
    lines = text.count("\n")
    assert lines <= 300 or "One file, since" in (ast.get_docstring(ast.parse(text)) or ""), f"{lines} lines"


@pytest.mark.parametrize(
    "path", sorted(p for room in ("tests", "suites") for p in (LIB.parent / room).rglob("*.py")), ids=str
)
def test_nothing_is_imported_from_a_conftest(path):
    """Several folders have one: which of them is meant depends on the command line."""
    assert not [name for name in imported(path) if name.split(".")[0] == "conftest"]
