"""docs/plan-table.md is made from the snapshots: `python suites/scaling/plan_table.py` makes it again after a recording."""

import importlib
import sys
from pathlib import Path

import pytest

from assay.record import files

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plan_table():
    sys.path.insert(0, str(ROOT / "suites" / "scaling"))
    try:
        yield importlib.import_module("plan_table")
    finally:
        sys.path.remove(str(ROOT / "suites" / "scaling"))


def test_the_page_is_what_the_snapshots_say(plan_table):
    assert plan_table.PAGE.read_text(encoding="utf-8") == plan_table.page(), (
        "make it again: python suites/scaling/plan_table.py"
    )


def test_a_model_with_a_best_layer_one_without_and_one_that_was_not_measured(plan_table, tmp_path):
    best = {"value": 57.1, "ci": [50.0, 64.3], "n": 16}
    measured = {
        "n_layers": {"value": 8}, "layer": {"value": 4, "ci": [3.5, 4.5], "n": 16}, "depth": best,
        "norm_layer": {"value": 7}, "norm_depth": {"value": 100.0},
        "relative_norm_layer": {"value": 5}, "relative_norm_depth": {"value": 71.4},
    }  # fmt: skip
    files.write(tmp_path / "llama_tiny" / "refusal_best_layer.json", {"refusal_best_layer@quick": measured})
    flat = {"not_eligible": {"value": "flat"}}
    files.write(tmp_path / "qwen_tiny" / "refusal_best_layer.json", {"refusal_best_layer@quick": flat})
    text = plan_table.page(tmp_path)
    assert "| llama_tiny | 8 | 57 % (layer 4) | 50 to 64 % | 100 % (layer 7) | 71 % (layer 5) | 16 |" in text
    assert "| qwen_tiny |  | none: flat |  |  |  |  |" in text
    assert "gemma_tiny" not in text.partition("## Refusal")[2]
    assert "| Gemma 2B (plan V2) | 26 |  |  | 64 % (layer 16) |  |  |" in text
    assert "## Two-hop bridge\n\nThe plan has no number, and nothing is recorded." in text


def test_without_any_snapshot_the_plan_stands_alone(plan_table, tmp_path):
    text = plan_table.page(tmp_path)
    assert text.count("(plan V2)") == 5 + 3 + 3 + 3
    assert "_tiny |" not in text


def test_every_experiment_of_the_table_is_in_the_suite(plan_table):
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "suites" / "scaling").glob("test_*.py"))
    for name, _ in plan_table.EXPERIMENTS.values():
        assert f"def {name}(measured)" in sources
