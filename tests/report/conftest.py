"""A folder of snapshots with one metric of every kind, on a small model, a larger one, and one that nobody knows."""

import json

import pytest

SMALL = {"llama_tiny": 4, "qwen7b": 12, "stranger": 6}


def recorded(layers):
    """Experiments by name, as snapshot files hold them."""
    line = [round(i / layers, 3) for i in range(layers)]
    band = [[max(0.0, v - 0.1), min(1.0, v + 0.1)] for v in line]
    table = [[(s - t) / layers if s > t else None for t in range(layers)] for s in range(layers)]
    return {
        "patching": {
            "n_queries": {"value": 16},
            "best_pair": {"value": [3, 1]},
            "rescued": {"value": 0.75, "n": 16, "ci": [0.5, 0.9], "control": "donor"},
            "donor": {"value": 0.1, "n": 16, "ci": [0.02, 0.3]},
            "heatmap_back": {"value": table, "n": 16},
            "heatmap_donor": {"value": [[v and v / 10 for v in row] for row in table], "n": 16},
        },
        "knockout": {
            "right_e1_by_layer": {"value": line, "n": 9, "unit": "share of prompts", "control": "right_of_by_layer"},
            "right_e1_by_layer_ci": {"value": band, "n": 9, "unit": "share of prompts"},
            "right_r1_by_layer": {
                "value": line[::-1],
                "n": 9,
                "unit": "share of prompts",
                "control": "right_of_by_layer",
            },
            "right_of_by_layer": {"value": [0.0] * layers, "n": 9, "unit": "share of prompts"},
            "kl_by_layer": {"value": [None, *line[1:]], "n": 9, "unit": "nats"},
            "words_by_layer": {"value": ["a"] * layers, "n": 1},
        },
        "timeline": {
            "stages_labels": {"value": ["first hop", "second hop"]},
            "stages_right": {"value": [[0, 1, 1, 2], [3, 3]], "n": 4, "unit": "layers"},
            "stages_wrong": {"value": [[2, 3], []], "n": 3, "unit": "layers"},
            "stages_lens_right": {"value": [[0, 1], [2]], "n": 4, "unit": "layers"},
        },
        "mixed": {
            "effect_by_layer_head": {"value": [[0.1 * h - 0.2 for h in range(4)] for _ in range(layers)], "n": 5},
            "cos_matrix": {"value": [[1.0, 0.2], [0.2, 1.0]], "n": 5},
            "cos_matrix_labels": {"value": ["French", "plural"]},
            "refused_matrix": {"value": [[0.1, 0.2, 0.3], [0.0, 0.5, 1.0]], "n": 5},
            "refused_matrix_labels": {"value": {"rows": ["en", "fr"], "columns": ["en", "fr", "sw"]}},
            "accuracy_by_count": {"value": [[0, 0.1], [5, 0.8], [10, 0.9]], "n": 30},
            "accuracy_by_count_ci": {"value": [[0.0, 0.2], [0.7, 0.9], [0.8, 1.0]], "n": 30},
            "scaling_gap": {"value": layers / 4, "n": 20, "ci": [layers / 4 - 1, layers / 4 + 1], "unit": "layers"},
            "heatmap_norms": {"value": [[1.0] * layers] * 2, "n": 5},
            "heatmap_norms_axes": {"value": ["layer", "position"]},
        },
    }


@pytest.fixture
def snapshots(tmp_path):
    return write_snapshots(tmp_path / "snapshots")


def write_snapshots(folder):
    for model, layers in SMALL.items():
        (folder / model).mkdir(parents=True)
        for name, metrics in recorded(layers).items():
            document = {f"{name}@quick": metrics, f"{name}@smoke": {"n_queries": {"value": 1}}}
            document["_made_by"] = {f"{name}@quick": {"mlx": "0"}}
            (folder / model / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


SUITE = '''"""Patching (Biran et al. 2024): are failures late?

A state is put in
elsewhere. A query is rescued when it is right. More follows.
"""

from assay.plugin import above, experiment, finding


@experiment
def patching(lm):
    """HTL-7, HTL-8: patching of queries that fail. Best of all pairs."""


def test_metrics(patching, metrics):
    assert metrics == patching


@finding("patching rescues", id="HTL-7")
def test_rescues(patching):
    assert above(patching.rescued, patching.donor)
'''


@pytest.fixture
def repository(snapshots):
    """The folder of snapshots with a suite beside it, as a repository has it."""
    return with_suites(snapshots)


@pytest.fixture(scope="module")
def one_repository(tmp_path_factory):
    """The same, once for a module that leaves it as it is."""
    return with_suites(write_snapshots(tmp_path_factory.mktemp("repository") / "snapshots"))


def with_suites(snapshots):
    root = snapshots.parent
    (root / "suites").mkdir()
    (root / "suites" / "test_patching.py").write_text(SUITE)
    (root / "pytest.ini").write_text("[pytest]\naddopts = -p assay.plugin\n")
    for stranger in snapshots.glob("stranger/*"):
        stranger.unlink()  # no model that pytest could be asked for
    return root
