"""How another repository loads the plugin, and that the plugin leaves alone a repository that does not use it."""

import pytest
from repositories import QUIET, RESCUE

OWN_OPTION = """
def pytest_addoption(parser): parser.addoption("--model", default="theirs")
"""


def test_a_repository_that_does_not_load_it_keeps_its_own_model_option(repo):
    (repo.path / "conftest.py").write_text(OWN_OPTION)
    repo.pytester.makeini("[pytest]")
    repo.suite(test_theirs="def test_it(request): assert request.config.getoption('--model') == 'mine'")
    repo.pytester.runpytest(*QUIET, "--model", "mine").assert_outcomes(passed=1)


def test_one_that_loads_it_has_to_choose(repo):
    with (repo.path / "conftest.py").open("a") as file:
        file.write("\n" + OWN_OPTION)
    repo.suite(test_rescue=RESCUE)
    result = repo.process()
    assert result.ret != 0
    result.stderr.fnmatch_lines(["ValueError: option dest *model* already used by*--model*"])
    assert not repo.snapshots()


@pytest.mark.parametrize("by", ["conftest", "conftest and -p", "addopts"])
def test_the_ways_to_load_it(repo, by):
    if by.startswith("conftest"):
        with (repo.path / "conftest.py").open("a") as file:
            file.write("\npytest_plugins = ['assay.plugin']\n")
    else:
        repo.ini("models = toy_a toy_b", "addopts = -p assay.plugin")
    repo.suite(test_rescue=RESCUE)
    command = [*QUIET, *(["-p", "assay.plugin"] if by == "conftest and -p" else [])]
    result = repo.pytester.runpytest_subprocess(*command, "--model", "toy_a", "-n", "1")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*patching rescues *yes"])
    assert list(repo.snapshots()) == ["snapshots/toy_a/rescue.json"]


def test_from_a_folder_below_everything_is_where_it_was(repo, run, monkeypatch):
    repo.suite(test_rescue=RESCUE)
    monkeypatch.chdir(repo.path / "suites")
    run("--model", "toy_a", "--findings", "here.md").assert_outcomes(passed=2)
    assert list(repo.snapshots()) == ["snapshots/toy_a/rescue.json"]
    assert (repo.path / ".assay").is_dir()
    assert (repo.path / "suites" / "here.md").exists()


def test_a_test_that_asks_for_the_model_too_late_is_told(repo):
    """`lm` has a parameter, and pytest must know it at collection."""
    repo.suite(test_late="def test_it(request): request.getfixturevalue('lm')")
    result = repo.run("--model", "toy_a")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*DataError: the models of a test are chosen at collection: name lm or model_spec*"])
    assert repo.log() == []
