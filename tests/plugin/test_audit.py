"""`--snapshots audit`: recorded metrics that no test records any more, and folders of no model."""

import pytest
from repositories import RESCUE
from test_snapshots import AD_HOC


@pytest.fixture
def audited(repo):
    repo.suite(test_rescue=RESCUE, test_norms=AD_HOC)
    repo.run()
    repo.run("--tier", "smoke")
    repo.log()
    return repo


def test_nothing_is_stale(audited):
    result = audited.run("--snapshots", "audit")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["0 stale"])
    assert audited.log() == []


def test_a_removed_experiment_test_module_and_model(audited):
    audited.suite(test_rescue="def test_free(): pass", test_norms=AD_HOC.replace('["en", "fr"]', '["en", "de"]'))
    (audited.path / "snapshots" / "gone_model").mkdir()
    before = audited.snapshots()
    result = audited.run("--snapshots", "audit")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "stale  snapshots/gone_model (no model has this name)",
            "stale  snapshots/toy_a/norms.json: test_lang[[]fr[]]@quick (no test records it)",
            "stale  snapshots/toy_a/norms.json: test_lang[[]fr[]]@smoke (no test records it)",
            "stale  snapshots/toy_a/rescue.json: rescue@quick test_rescues (no test judges it)",
            "stale  snapshots/toy_a/rescue.json: rescue@quick (no test records it)",
            "13 stale",
        ]
    )
    assert audited.snapshots() == before
    assert audited.log() == []


def test_selection_does_not_make_anything_stale(audited):
    result = audited.run("--snapshots", "audit", "-k", "nothing_has_this_name")
    result.stdout.fnmatch_lines(["0 stale"])


def test_what_a_test_records_beside_an_experiment_is_not_stale(repo):
    text = RESCUE.replace(
        "assert metrics == rescue", "assert metrics == rescue; assert metrics(name='own') == {'x': 1}"
    )
    repo.suite(test_rescue=text)
    repo.run("--model", "toy_a").assert_outcomes(passed=2)
    assert sorted(repo.document()) == ["_made_by", "_verdicts", "rescue@quick", "test_metrics:own@quick"]
    repo.run("--snapshots", "audit").stdout.fnmatch_lines(["0 stale"])


def test_paths_would(audited):
    result = audited.run("--snapshots", "audit", "suites/test_norms.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --snapshots audit looks at all tests: give it no paths"])


def test_a_model_known_by_its_repository_is_no_stale_model(audited):
    audited.file("toy_a").rename(audited.path / "rescue.json")
    text = (
        (audited.path / "rescue.json")
        .read_text()
        .replace('"revision"', '"model": "some-org/Fancy-7B-4bit", "revision"')
    )
    folder = audited.path / "snapshots" / "fancy_7b_4bit"
    folder.mkdir()
    (folder / "rescue.json").write_text(text)
    audited.run("--snapshots", "audit").stdout.fnmatch_lines(["0 stale"])


def test_an_imported_experiment_is_the_same_experiment(repo):
    repo.suite(
        test_one=RESCUE, test_two="from test_one import rescue\ndef test_it(rescue, metrics): assert metrics == rescue"
    )
    repo.run("--model", "toy_a").assert_outcomes(passed=3)
