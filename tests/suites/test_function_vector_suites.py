"""The suites of function vectors on a model that knows nothing, and on one that is said to be right about everything.

On the first no task passes the gate: the whole folder runs to its end and claims nothing. On the second every step is taken,
so that nothing in a suite is met for the first time on a real model. Nothing is judged there: its numbers mean nothing.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from assay.data.tasks import tasks
from assay.models.random import write_random
from assay.models.tokenizer import write_tokenizer

ROOT = Path(__file__).parents[2]
SHAPE = {
    "model_type": "gemma2", "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 64, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "rms_norm_eps": 1e-6, "vocab_size": 2048,
}  # fmt: skip
RIGHT_ABOUT_EVERYTHING = """
def pytest_configure(config):
    import numpy as np

    from assay import methods
    from assay.methods.function_vectors import attention_roles
    from assay.methods.function_vectors.in_context import TrialScores

    TrialScores.right = property(lambda score: np.ones(len(score.ranks), bool))
    matching = attention_roles.prefix_matching  # heads of random weights do not look for repetitions
    attention_roles.prefix_matching = lambda *args, **options: 0.5 + matching(*args, **options)
    writes = methods.writes_answers
    methods.writes_answers = lambda *args: np.ones_like(writes(*args))
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A random Gemma-2 of two layers whose tokenizer has the words of the tasks as tokens."""
    folder = write_random(tmp_path_factory.mktemp("model") / "gemma-words", SHAPE, bits=None)
    words = [word for task in tasks() for pair in task.pairs for word in pair]
    write_tokenizer(folder, "gemma2", corpus=[f" {word}" for word in words for _ in range(8)], vocab_size=2048)
    return folder


def run_suites(checkpoint, snapshots, *args, **environment):
    command = [
        sys.executable, "-m", "pytest", "suites/function_vectors", "-p", "no:cacheprovider", "--tier", "smoke",
        "--model", str(checkpoint), "-o", f"metrics_dir={snapshots}", *args,
    ]  # fmt: skip
    run = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=600)
    files = {path.stem: path for path in snapshots.rglob("*.json")}
    return run, {name: json.loads(path.read_text())[f"{name}@smoke"] for name, path in files.items()}


def test_a_model_that_knows_nothing_is_not_eligible(checkpoint, tmp_path):
    run, recorded = run_suites(checkpoint, tmp_path / "snapshots")
    assert run.returncode == 1, run.stdout + run.stderr  # the claims about in-context learning itself are lost
    assert "ERROR" not in run.stdout
    others = {name: metrics for name, metrics in recorded.items() if name != "fv_in_context"}
    assert len(others) == 20
    assert all("not_eligible" in metrics for metrics in others.values())
    assert recorded["fv_in_context"]["able"]["value"] == []


def test_every_step_is_taken_on_a_model_that_is_right_about_everything(checkpoint, tmp_path):
    (tmp_path / "right_about_everything.py").write_text(RIGHT_ABOUT_EVERYTHING)
    run, recorded = run_suites(
        checkpoint, tmp_path / "snapshots", "-p", "right_about_everything", "-k", "metrics", PYTHONPATH=str(tmp_path)
    )
    assert run.returncode == 0, run.stdout + run.stderr
    eligible = {name for name, metrics in recorded.items() if "not_eligible" not in metrics}
    assert eligible == recorded.keys() - {"fv_planted"}  # nothing was planted
    assert len(recorded["fv_all_tasks"]["zero_shot_by_task"]["value"]) > 6


def test_a_file_in_the_authors_form_takes_the_place_of_a_task(checkpoint, tmp_path):
    pairs = [{"input": f"{given} ", "output": output} for given, output in tasks(["country-capital"])[0].pairs[:30]]
    (tmp_path / "mine.json").write_text(json.dumps(pairs))
    run, recorded = run_suites(
        checkpoint, tmp_path / "snapshots", "--dataset", f"antonym={tmp_path / 'mine.json'}", "-k", "in_context_metrics"
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "antonym: 30 pairs of yours" in run.stdout
    recorded = json.loads(next(tmp_path.glob("snapshots-antonym-*/*/fv_in_context.json")).read_text())
    assert recorded["fv_in_context@smoke"]["left_out"]["value"]["antonym"] == 9  # all that the built-in task has, too


@pytest.mark.parametrize(
    ("content", "says"),
    [("[", "not a readable JSON file"), ('[{"input": "a"}]', "entry 1"), ("[]", "at least one entry")],
    ids=["no JSON", "no output", "empty"],
)
def test_a_malformed_task_file_is_one_sentence(checkpoint, tmp_path, content, says):
    (tmp_path / "mine.json").write_text(content)
    run, _ = run_suites(checkpoint, tmp_path / "snapshots", "--dataset", f"antonym={tmp_path / 'mine.json'}")
    assert run.returncode == 4
    assert says in run.stderr
    assert "Traceback" not in run.stderr + run.stdout
