"""`pytest suites -k backpatch --model qwen7b`, from a Hugging Face cache, offline, to the end.

The checkpoints have the structure of the real ones (family, norms, head counts, biases, tied or not, 4 bits, tokenizer style,
repository id) with narrow layers and random weights. They know nothing, so no query passes the gate: the run says so, and
neither crashes nor passes. (The true widths are run by hand: minutes on a CPU. See README.)
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from assay.models.random import hf_cache_layout
from assay.models.registry import REGISTRY
from assay.models.shapes import SHAPES

ROOT = Path(__file__).parents[2]


def narrow(config):
    """The same structure, a fraction of the width, two layers."""
    heads = config["num_attention_heads"] // config["num_key_value_heads"] * 2
    small = {"hidden_size": 64 * heads, "intermediate_size": 256, "num_hidden_layers": 2, "vocab_size": 1024}
    small |= {"num_attention_heads": heads, "num_key_value_heads": 2}
    return {**config, **small, **({"head_dim": 64} if "head_dim" in config else {})}


def run_suites(cache, *args):
    environment = os.environ | {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "pytest", "suites", "-p", "no:cacheprovider", *args]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("alias", ["gemma2b", "llama3b", "qwen7b"], ids="cached_{}".format)
def test_back_patching_runs_to_the_end(alias, tmp_path):
    hf_cache_layout(tmp_path / "hub", REGISTRY[alias].repo, narrow(SHAPES[alias]))
    snapshots = tmp_path / "snapshots"
    run = run_suites(
        tmp_path / "hub", "-k", "backpatch", "--model", alias, "--tier", "smoke", "-o", f"metrics_dir={snapshots}"
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "not eligible" in run.stdout
    assert " yes" not in run.stdout.partition("findings")[2]
    assert (snapshots / alias / "five_way.json").exists()


def test_a_model_that_is_not_there_is_one_sentence_with_the_download_line(tmp_path):
    run = run_suites(tmp_path / "hub", "-k", "backpatch", "--model", "qwen7b")
    assert run.returncode == 4
    assert "assay get qwen7b" in run.stderr
    assert "Traceback" not in run.stderr + run.stdout


@pytest.mark.parametrize(
    ("value", "says"),
    [("qwn7b", "qwen7b"), ("", "no model named"), ("./nowhere", "nowhere")],
    ids=["misspelt", "empty", "no folder"],
)
def test_a_bad_model_name_is_one_sentence(tmp_path, value, says):
    run = run_suites(tmp_path / "hub", "-k", "backpatch", f"--model={value}")
    assert run.returncode == 4
    assert says in run.stderr
    assert run.stderr.count("\n") <= 2
    assert "Traceback" not in run.stderr + run.stdout
