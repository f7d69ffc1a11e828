"""One revision in a snapshot file: an update replaces all that another model has recorded there, or is refused."""

import json

import pytest
from repositories import RESCUE

from assay.models.random import write_random

NORMS = """
    import os
    from assay.plugin import Metric
    NORM = float(os.environ.get("NORM", "179.3"))

    def test_early(lm, metrics):
        assert metrics == {"mean": Metric(NORM, tol=0.1)}

    def test_late(lm, metrics):
        assert metrics == {"mean": Metric(NORM + 1, tol=0.1)}
"""


@pytest.fixture
def norms(repo, monkeypatch):
    """Both tests recorded on toy_a; then toy_a is trained on."""
    repo.suite(test_norms=NORMS)
    repo.run("--model", "toy_a").assert_outcomes(passed=2)
    monkeypatch.setenv("REVISION", "r2")
    return repo


def revisions(repo, name="norms"):
    return {entry: made_by["revision"] for entry, made_by in repo.document(name=name)["_made_by"].items()}


def test_half_an_update_is_refused(norms, monkeypatch):
    before = norms.snapshots()
    monkeypatch.setenv("NORM", "325")
    result = norms.run("--model", "toy_a", "--snapshot-update", "-k", "test_early")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(
        [
            "E*SnapshotError: snapshots/toy_a/norms.json would hold test_early@quick (revision r2) beside test_late@quick "
            "(revision r1): record all of the file in one run, with --snapshot-update and no test left out"
        ]
    )
    assert norms.snapshots() == before


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["one process", "two workers"])
@pytest.mark.parametrize("norm", ["325", "179.3"])
def test_a_whole_update_replaces_all(norms, monkeypatch, norm, workers):
    monkeypatch.setenv("NORM", norm)
    norms.run("--model", "toy_a", "--snapshot-update", *workers).assert_outcomes(passed=2)
    assert revisions(norms) == {"test_early@quick": "r2", "test_late@quick": "r2"}
    document = norms.document(name="norms")
    assert [document[f"test_{name}@quick"]["mean"]["value"] for name in ("early", "late")] == [
        float(norm),
        float(norm) + 1,
    ]


def test_a_whole_update_that_is_cut_off_leaves_no_mixture(norms, monkeypatch):
    norms.suite(
        test_norms=NORMS.replace("def test_late(lm, metrics):", "def test_late(lm, metrics):\n        raise OSError")
    )
    norms.run("--model", "toy_a", "--snapshot-update").assert_outcomes(passed=1, failed=1)
    assert revisions(norms) == {"test_early@quick": "r2"}
    assert sorted(norms.document(name="norms")) == ["_made_by", "test_early@quick"]


def test_equal_metrics_of_another_model_are_not_the_same(norms):
    before = norms.snapshots()
    result = norms.run("--model", "toy_a")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["*measured with revision r2, recorded with r1", "*record again with --snapshot-update*"]
    )
    assert norms.snapshots() == before


def test_a_new_metric_is_not_recorded_beside_those_of_another_model(norms):
    norms.suite(test_norms=NORMS + "\n    def test_new(lm, metrics):\n        assert metrics == {'x': 1}\n")
    before = norms.snapshots()
    result = norms.run("--model", "toy_a", "-k", "test_new")
    result.assert_outcomes(failed=1, deselected=2)
    result.stdout.fnmatch_lines(["*would hold test_new@quick (revision r2) beside test_early@quick, test_late@quick *"])
    assert norms.snapshots() == before


def test_what_an_older_version_recorded_without_a_revision_says_nothing(norms):
    document = norms.document(name="norms")
    del document["_made_by"]
    norms.file(name="norms").write_text(json.dumps(document))
    norms.run("--model", "toy_a").assert_outcomes(passed=2)


SMALL = {
    "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4,
    "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "vocab_size": 512, "rope_theta": 10000.0, "tie_word_embeddings": True,
    "max_position_embeddings": 512, "hidden_act": "silu",
}  # fmt: skip
LOADED = """
    from assay.plugin import Metric

    def test_early(lm, metrics):
        assert metrics == {"mean": Metric(float(lm.run("Hello").logits.mean()), tol=1e6)}

    def test_late(lm, metrics):
        assert metrics == {"mean": Metric(float(lm.run("Good bye").logits.mean()), tol=1e6)}
"""


def test_a_folder_that_is_trained_on_in_place(repo):
    """Whole runs, with a model that `assay.load` loads: nothing but the bytes of its weights says that it is another."""
    (repo.path / "conftest.py").unlink()
    repo.suite(test_norms=LOADED)
    weights = write_random(repo.path / "mine", SMALL, bits=None) / "model.safetensors"
    run = lambda *args: repo.process("--model", "./mine", *args)  # noqa: E731
    run().assert_outcomes(passed=2)
    before, was, raw = repo.snapshots(), repo.document("mine", "norms"), weights.read_bytes()
    weights.write_bytes(raw[:-4] + bytes(4))
    result = run("--snapshot-update", "-k", "test_early")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(
        ["E*snapshots/mine/norms.json would hold test_early@quick (revision *) beside test_late@quick*"]
    )
    assert repo.snapshots() == before
    run("--snapshot-update").assert_outcomes(passed=2)
    first, second = (
        {by["revision"] for by in doc["_made_by"].values()} for doc in (was, repo.document("mine", "norms"))
    )
    assert len(first) == len(second) == 1
    assert first != second


def test_an_experiment_at_another_tier(repo, monkeypatch):
    """The refusal comes before the measurement."""
    repo.suite(test_rescue=RESCUE)
    for tier in ("quick", "full"):
        repo.run("--model", "toy_a", "--tier", tier).assert_outcomes(passed=2)
    before, log = repo.snapshots(), (repo.path / "log").read_text()
    monkeypatch.setenv("REVISION", "r2")
    result = repo.run("--model", "toy_a", "--snapshot-update")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        [
            "E*snapshots/toy_a/rescue.json would hold rescue@quick (revision r2) beside rescue@full (revision r1): delete the "
            "entries of tier full, then record them again in a run at that tier"
        ]
    )
    assert "MEASURE" not in (repo.path / "log").read_text().removeprefix(log)
    assert repo.snapshots() == before
    document = repo.document()
    del document["rescue@full"], document["_made_by"]["rescue@full"]
    repo.file().write_text(json.dumps(document))
    for tier in ("quick", "full"):
        repo.run("--model", "toy_a", "--snapshot-update", "--tier", tier).assert_outcomes(passed=2)
    assert revisions(repo, "rescue") == {"rescue@full": "r2", "rescue@quick": "r2"}


def test_a_claim_about_another_model_is_new(repo, monkeypatch):
    repo.suite(test_rescue=RESCUE)
    repo.run("--model", "toy_a").stdout.fnmatch_lines(["*patching rescues *new yes*"])
    repo.run("--model", "toy_a").stdout.fnmatch_lines(["*patching rescues *yes*"])
    monkeypatch.setenv("REVISION", "r2")
    monkeypatch.setenv("HITS", "2")
    repo.run("--model", "toy_a").stdout.fnmatch_lines(["*patching rescues *new no*"])
    monkeypatch.setenv("REVISION", "r1")
    repo.run("--model", "toy_a").stdout.fnmatch_lines(["*patching rescues *LOST*"])


def test_the_claims_alone_record_nothing_and_are_not_refused(repo, monkeypatch):
    repo.suite(test_rescue=RESCUE)
    for tier in ("quick", "full"):
        repo.run("--model", "toy_a", "--tier", tier).assert_outcomes(passed=2)
    monkeypatch.setenv("REVISION", "r2")
    repo.run("--model", "toy_a", "--snapshot-update", "-k", "rescues").assert_outcomes(passed=1, deselected=1)


@pytest.mark.parametrize(("system", "recorded"), [("False", "none"), ("'Be brief.'", "Be brief."), ("None", None)])
def test_the_system_prompt_of_a_folder_is_recorded(repo, system, recorded):
    repo.suite(test_rescue=RESCUE)
    conftest = repo.path / "conftest.py"
    fixture = f"import pytest\n@pytest.fixture(scope='session')\ndef system_prompt(lm): return {system}\n"
    conftest.write_text(f"{conftest.read_text()}\n{fixture}")
    repo.run("--model", "toy_a").assert_outcomes(passed=2)
    assert repo.document()["_made_by"]["rescue@quick"].get("system") == recorded
    conftest.write_text(conftest.read_text().replace(f"return {system}\n", "return 'Be exact.'\n"))
    result = repo.run("--model", "toy_a")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*measured with system Be exact.*"])
