"""Models are selected, each is loaded once, and its memory is freed before the next one is loaded."""

import pytest
from repositories import RESCUE

MANY = {
    "test_one": "def test_x(lm): assert lm.id != 'toy_b'\ndef test_y(lm): pass\ndef test_pure(): pass",
    "test_two": "def test_z(lm): pass\ndef test_w(lm): pass",
    "test_three": RESCUE,
}
ONCE = ["FREE toy_a", "FREE toy_b", "LOAD toy_a", "LOAD toy_b"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model", "toy_aa"], "ERROR: --model: unknown model 'toy_aa'. Did you mean toy_a*"),
        (["-n", "2", "--model="], "ERROR: --model: no model named*"),
        (["--model="], "ERROR: --model: no model named. Known: *toy_a*"),
        (["--model", ","], "ERROR: --model: no model named*"),
        (["--model", "llama3b"], "ERROR: --model: llama3b is not in the Hugging Face cache*assay get llama3b"),
        (["--model", "nope*"], "ERROR: --model: no model matches the pattern 'nope*'*"),
        (["--null", "--recorded"], "ERROR: --null measures and records nothing*"),
        (["--null", "--snapshot-update"], "ERROR: --null measures and records nothing*"),
        (["--snapshots", "none", "--snapshot-update"], "ERROR: --snapshots none never writes*"),
        (["--memory-budget", "0"], "ERROR: --memory-budget is in GiB and above 0*"),
        (["--findings", "x.txt"], "ERROR: --findings writes .json or .md*"),
        (["--findings", "nowhere/x.md"], "ERROR: --findings: there is no folder nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_run_is_a_usage_error(repo, args, message):
    repo.suite(test_rescue=RESCUE)
    result = repo.run(*args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    assert not repo.snapshots()
    assert repo.log() == []


def test_no_model_selected_is_a_usage_error_and_not_a_green_skip(repo, run):
    repo.ini()
    repo.suite(test_rescue=RESCUE)
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: no model selected: give --model NAME*"])


def test_a_repository_without_model_tests_needs_no_model(repo):
    repo.ini()
    repo.suite(test_pure="def test_pure(): pass")
    repo.run().assert_outcomes(passed=1)


@pytest.mark.parametrize("by", ["ini", "glob"])
def test_a_model_that_nobody_named_is_skipped_with_the_download_line(repo, run, by):
    repo.suite(test_rescue=RESCUE)
    if by == "ini":
        repo.ini("models = llama3b toy_a")
        result = run("-rs")
    else:
        result = run("-rs", "--model", "toy_a,llama3*")
    result.assert_outcomes(passed=2, skipped=2)
    result.stdout.fnmatch_lines(["*assay get llama3b*"])
    result.stdout.fnmatch_lines(["*patching rescues*", "*HTL-7 on llama3b: *assay get llama3b*"])


def test_comma_lists_globs_and_repetition(repo):
    repo.suite(test_two=MANY["test_two"])
    repo.run("--model", "toy_c,toy_a", "--model", "toy_?").assert_outcomes(passed=6)
    assert [line for line in repo.log() if line.startswith("LOAD")] == ["LOAD toy_c", "LOAD toy_a", "LOAD toy_b"]


def test_a_folder_is_a_model(repo, monkeypatch):
    repo.suite(test_two=MANY["test_two"])
    (repo.path / "models" / "toy_a").rename(repo.path / "Mine-4bit")
    repo.run("--model", "./Mine-4bit").assert_outcomes(passed=2)
    assert "LOAD mine_4bit" in repo.log()


@pytest.mark.parametrize("extra", ["", "--ff", "--nf", "-n 2", "-n 3", "-n 2 --dist loadgroup"])
def test_each_model_is_loaded_once(repo, extra):
    repo.suite(**MANY)
    repo.run()
    repo.log()
    repo.process(*extra.split())
    assert sorted(line for line in repo.log() if not line.startswith("MEASURE")) == ONCE


@pytest.mark.parametrize("extra", ["--lf", "-x", "-k toy_b", "-k test_y", "-p shuffle"])
def test_no_selection_loads_a_model_twice(repo, extra):
    repo.suite(**MANY)
    shuffle = "import random\ndef pytest_collection_modifyitems(items): random.Random(3).shuffle(items)"
    (repo.path / "shuffle.py").write_text(shuffle)
    repo.pytester.syspathinsert()
    repo.run()
    repo.log()
    repo.run(*extra.split())
    loads = [line for line in repo.log() if line.startswith("LOAD")]
    assert loads
    assert len(loads) == len(set(loads))


@pytest.mark.parametrize(
    "body",
    [
        "assert lm.id == 'none'",
        "inner = lm; assert inner.id == 'none'",
        "import pytest; inner = lm; pytest.xfail('known')",
        "inner = lm\n    with subtests.test(): assert inner.id == 'none'",
        "pass",
    ],
)
def test_a_failed_test_does_not_keep_its_model_alive(repo, body):
    repo.suite(test_last=f"def test_last(lm, subtests):\n    {body}")
    repo.process()
    assert repo.log() == ["LOAD toy_a", "FREE toy_a", "LOAD toy_b", "FREE toy_b"]


def test_a_failed_experiment_does_not_keep_its_model_alive(repo):
    repo.suite(test_last=RESCUE.replace("hits = int(", 'raise OSError("broken"); hits = int('))
    repo.process()
    assert repo.log() == ["LOAD toy_a", "MEASURE toy_a", "FREE toy_a", "LOAD toy_b", "MEASURE toy_b", "FREE toy_b"]


def test_the_registry_is_as_before_after_a_run(repo):
    from assay.models.registry import GROUPS, REGISTRY

    before = dict(REGISTRY), dict(GROUPS)
    repo.suite(test_two=MANY["test_two"])
    repo.run("--model", "toy_a").assert_outcomes(passed=2)
    assert (dict(REGISTRY), dict(GROUPS)) == before


def test_two_models_with_one_id_are_refused(repo):
    repo.suite(test_two=MANY["test_two"])
    file = repo.path / "conftest.py"
    file.write_text(file.read_text().replace('"toy_c": 4.5', '"gemma2b": 4.5'))
    result = repo.run("--model", "toy_a")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: pytest_assay_models: there is already a model called gemma2b"])


def test_the_default_loader_is_assay_load(repo, monkeypatch):
    import assay

    file = repo.path / "conftest.py"
    file.write_text(file.read_text().replace("return LM(spec)", "return None"))
    monkeypatch.setattr(assay, "load", lambda spec, weights: f"loaded {spec.id}", raising=False)
    repo.suite(test_default="def test_default(lm): assert lm == 'loaded toy_a'")
    repo.run("--model", "toy_a").assert_outcomes(passed=1)


def test_random_weights_are_another_model_and_record_nothing_under_its_name(repo):
    """`--weights random`: the ids say so, no checkpoint is asked for, and there is nothing to judge or to update."""
    repo.suite(test_shape="def test_name(model_spec):\n    assert model_spec.id == 'qwen7b_random'\n")
    result = repo.run("--model", "qwen7b", "--weights", "random")
    result.assert_outcomes(passed=1)
    refused = repo.run("--model", "qwen7b", "--weights", "random", "--recorded")
    assert refused.ret == 4
    refused.stderr.fnmatch_lines(["*nothing to judge*"])
