"""The index of methods: what it names, that it costs nothing, and the page that is made of it.

python tests/methods/test_index.py            # makes docs/methods.md again
"""

import ast
import importlib
import pkgutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from assay import methods

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "lib" / "assay" / "methods"
PAGE = ROOT / "docs" / "methods.md"
PAPERS = {
    "": "Methods of several papers, and tools for all",
    "hopping_too_late": "Hopping Too Late (Biran et al. 2024)",
    "function_vectors": "Function Vectors (Todd et al. 2024)",
    "refusal": "Refusal (Arditi et al. 2024, Wang et al. 2025)",
    "confidence": "Confidence (Kadavath et al. 2022 and others)",
    "persona": "Persona vectors (Chen et al. 2025)",
    "sycophancy": "Sycophancy (Rimsky et al. 2024 and others)",
}
SUITES = sorted(path for path in (ROOT / "suites").rglob("*.py") if path.parent.name != "bench")


def parsed(module: str) -> ast.Module:
    return ast.parse((FOLDER / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))


def one_line(module: str, name: str) -> str:
    """The first paragraph of a docstring, or of the string behind a constant."""
    body = parsed(module).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", ())
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if name in names and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            return " ".join(str(after.value.value).split())
    return ""


def page() -> str:
    """docs/methods.md as the index makes it."""
    lines = [
        "# Methods", "",
        "Each name is an attribute of `assay.methods`: `from assay import methods`, then `methods.logit_lens(lm, prompt)`.",
        "Shapes, units and errors are in the docstring: `help(methods.logit_lens)`. The source is the paper's section.", "",
        "This page is made from the index: `python tests/methods/test_index.py` makes it again.",
    ]  # fmt: skip
    for paper, title in PAPERS.items():
        lines += ["", f"## {title}", "", "| method | what it does | source |", "| --- | --- | --- |"]
        for module, (source, names) in methods.INDEX.items():
            if module.rpartition(".")[0] == paper:
                for name in names.split():
                    says = one_line(module, name).replace("|", "\\|")
                    lines.append(f"| `{name}` | {says} | {source or 'assay'} |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("module", sorted(methods.INDEX))
def test_every_indexed_name_exists_and_says_what_it_does(module):
    found = importlib.import_module(f"assay.methods.{module}")
    for name in methods.INDEX[module][1].split():
        assert getattr(methods, name) is getattr(found, name)
        assert one_line(module, name), f"{name} has no docstring"


@pytest.mark.parametrize(
    "module",
    [
        m.name.removeprefix("assay.methods.")
        for m in pkgutil.walk_packages([str(FOLDER)], "assay.methods.")
        if not m.ispkg
    ],
)
def test_every_public_function_and_class_is_indexed(module):
    public = {n.name for n in parsed(module).body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    assert {name for name in public if not name.startswith("_")} <= set(methods.INDEX[module][1].split())


def test_no_two_methods_have_one_name_and_none_that_of_a_module():
    names = [name for _, names in methods.INDEX.values() for name in names.split()]
    assert len(names) == len(set(names))
    assert not set(names) & {module.name for module in pkgutil.iter_modules([str(FOLDER)])}
    assert dir(methods) == sorted(names)


def test_type_checkers_see_the_same_names():
    tree = ast.parse((FOLDER / "__init__.py").read_text(encoding="utf-8"))
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("assay.")]
    seen = {(n.module.removeprefix("assay.methods."), name.name) for n in imports for name in n.names}
    assert seen == {(module, name) for module, (_, names) in methods.INDEX.items() for name in names.split()}


def test_the_index_imports_no_mlx():
    code = "import sys; from assay import methods; dir(methods); print([m for m in sys.modules if m.startswith('mlx')])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_what_no_method_is_called_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no 'logit_lense'"):
        _ = methods.logit_lense


def test_an_old_module_does_not_take_the_place_of_a_method():
    sys.modules.pop("assay.methods.function_vector", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        importlib.import_module("assay.methods.function_vector")  # where the file was in 0.1
    assert methods.function_vector.__module__ == "assay.methods.function_vectors.function_vector"


@pytest.mark.parametrize("module", sorted(methods.INDEX))
def test_a_papers_folder_is_its_own(module):
    """Tools import from no paper, and no paper from another."""
    paper = module.rpartition(".")[0]
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("assay.methods."):
            other = node.module.removeprefix("assay.methods.").rpartition(".")[0]
            assert other in ("", paper), f"{module} imports from {node.module}"


def test_the_page_is_what_the_index_makes():
    assert PAGE.read_text(encoding="utf-8") == page(), "make it again: python tests/methods/test_index.py"


@pytest.mark.parametrize("path", SUITES, ids=lambda path: str(path.relative_to(ROOT)))
def test_suites_import_at_the_top(path):
    """In a function only MLX itself, which judging recorded results must not import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom) and n not in tree.body]
    names = {(n.module if isinstance(n, ast.ImportFrom) else n.names[0].name).split(".")[0] for n in inside}
    assert names <= {"mlx", "mlx_lm"}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
