"""docs/write-your-own.md: its examples run as they are printed there, and it names every option."""

import re
from pathlib import Path

import pytest
from repositories import QUIET, thorough

from assay.plugin import options

PAGE = (Path(__file__).parents[2] / "docs" / "write-your-own.md").read_text()

LOADER = """
class Said:
    def __init__(self, text): self.text = text

class LM:
    def __init__(self, spec): self.known = spec.id == "toy_a"
    def generate(self, prompt, max_tokens):
        answers = {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Egypt": "Cairo", "Cuba": "Havana", "Peru": "Lima"}
        return Said(f" {answers[prompt.split()[3]]}. It" if self.known else " Paris.")

def pytest_assay_models"""


def block(language, containing):
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if containing in text]
    return found


def test_the_twenty_lines(repo):
    code, ini = block("python", "def capitals"), block("ini", "[pytest]")
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 20
    file = repo.path / "conftest.py"
    file.write_text(file.read_text().replace("def pytest_assay_models", LOADER))
    repo.pytester.makeini(ini.replace("models = tiny", "models = toy_a toy_b"))
    (repo.path / "suites").mkdir()
    (repo.path / "suites" / "test_capitals.py").write_text(code)
    result = repo.run()
    result.assert_outcomes(passed=3, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "  the model knows capitals *new yes *undecided*",
            "    accuracy * 1 [[]0.61, 1[]] n 6 *0.167 [[]0.03, 0.56[]] n 6",
            "    chance (control) * 0 [[]0, 0.39[]] n 6 * 0.167*",
        ]
    )
    assert repo.rows(name="capitals")["accuracy"]["value"] == 1.0
    assert repo.rows("toy_b", "capitals")["accuracy"]["value"] == 0.166667


@thorough
def test_the_page_shows_what_the_twenty_lines_print_on_the_built_in_models(repo, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    (repo.path / "conftest.py").unlink()
    repo.pytester.makeini(block("ini", "[pytest]"))
    (repo.path / "suites").mkdir()
    (repo.path / "suites" / "test_capitals.py").write_text(block("python", "def capitals"))
    result = repo.pytester.runpytest_subprocess(*QUIET)
    result.assert_outcomes(passed=6)
    indented = re.findall(r"^    (.*)$", PAGE, re.MULTILINE)
    start = indented.index("============================ findings (tier quick) =============================")
    assert result.outlines[result.outlines.index(indented[start]) :][:5] == indented[start : start + 5]


def test_the_hooks(repo):
    (repo.path / "conftest.py").write_text(
        "class OurModel:\n    def __init__(self, repo): self.repo = repo\n" + block("python", "OurModel")
    )
    repo.suite(test_ours="def test_ours(lm): assert lm.repo == 'our-org/ours-4bit'")
    result = repo.run("--model", "ours")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --model: ours is not in the Hugging Face cache*hf download our-org/ours-4bit"])


def test_every_option_is_on_the_page():
    assert [flag for flag in options.OPTIONS if flag not in PAGE] == []
    assert [name for name in options.INI if f"`{name}`" not in PAGE] == []


def test_every_verdict_is_on_the_page():
    for verdict in ("yes", "no", "new yes", "new no", "NOW YES", "LOST", "ERROR", "not eligible", "not run"):
        assert f"| {verdict} |" in PAGE
