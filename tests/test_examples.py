"""Every example in a docstring, in README and in docs/ runs, on llama_tiny, and prints what it says.

An example of a module sees that module's names, and besides them those of `given`; it runs in an empty folder. Examples of
one docstring run one after the other in one namespace. Python blocks of a Markdown page do so, too, from its top to its end;
where the comment behind an expression starts with a tuple of numbers or a text in quotes, the expression must have that value.
"""

import ast
import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

import assay

ROOT = Path(__file__).parents[1]
MODULES = ["assay", *sorted(m.name for m in pkgutil.walk_packages(assay.__path__, "assay."))]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.fixture(scope="module")
def lm():
    return assay.load("llama_tiny")


@pytest.fixture
def given(lm, tmp_path, monkeypatch):
    """What an example may use without saying where it comes from; the folder docs/ is there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    return {"assay": assay, "lm": lm, "mx": mx, "np": np, "Path": Path}


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_say_what_happens(name, given):
    module = importlib.import_module(name)
    found = [t for t in doctest.DocTestFinder(exclude_empty=True).find(module, name) if t.examples]
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    for test in found:
        test.globs = {**vars(module), **given}
        said: list[str] = []
        runner.run(test, out=said.append, clear_globs=False)
        assert not said, "".join(said)


@pytest.mark.parametrize("path", sorted((ROOT / "lib").rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT / "lib")))
def test_no_example_is_skipped(path):
    assert "doctest: +" not in path.read_text(encoding="utf-8")


def blocks(page: Path) -> list[str]:
    """The Python blocks of a page that stand by themselves: no fixtures, no placeholders."""
    found = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    return [
        block
        for block in found
        if "@experiment" not in block and "def pytest_" not in block and "@finding" not in block
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_of_pages_run(page, given):
    namespace = dict(given)
    for block in blocks(page):
        for statement in ast.parse(block).body:
            code = ast.get_source_segment(block, statement) or ""
            if not isinstance(statement, ast.Expr):
                exec(compile(code, str(page), "exec"), namespace)
                continue
            value = eval(compile(code, str(page), "eval"), namespace)
            line = block.splitlines()[(statement.end_lineno or 1) - 1]
            if claim := re.search(r"#\s*(\([\d, .]+\)|'[^']*')", line.partition(code.splitlines()[-1])[2] or line):
                assert repr(value) == repr(ast.literal_eval(claim[1])), line
