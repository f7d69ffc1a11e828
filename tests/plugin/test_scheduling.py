"""`-n N`: one worker per model, within the memory budget, and a killed worker costs one test."""

import pytest
from repositories import RESCUE

from assay.plugin.models.scheduling import models_by_worker

SUITES = {
    "test_one": "import time\ndef test_x(lm): time.sleep(0.05)\ndef test_y(lm): time.sleep(0.05)\ndef test_free(): pass",
    "test_two": "import time\ndef test_z(lm): time.sleep(0.05)\ndef test_w(lm): time.sleep(0.05)",
}
GIB = {"toy_a": 1.0, "toy_b": 2.0, "toy_c": 4.5}


@pytest.mark.parametrize(
    ("workers", "budget", "expected"),
    [
        (1, 100, [["c", "b", "a"]]),
        (2, 100, [["c"], ["b", "a"]]),
        (3, 100, [["c"], ["b"], ["a"]]),
        (3, 6, [["c", "b"], ["a"]]),
        (3, 1, [["c", "b", "a"]]),
        (9, 100, [["c"], ["b"], ["a"]]),
    ],
)
def test_models_by_worker(workers, budget, expected):
    assert models_by_worker({"a": 1, "b": 2, "c": 4.5}, {"a": 1, "b": 2, "c": 9}, workers, budget) == expected


def test_any_models_fit_the_budget_and_every_model_has_a_worker():
    for seed in range(200):
        costs = {f"m{at}": 0.5 + (seed * 7919 + at * 104729) % 97 / 10 for at in range(1 + seed % 8)}
        budget = 0.5 + seed % 23
        made = models_by_worker(costs, costs, 1 + seed % 5, budget)
        assert sorted(model for models in made for model in models) == sorted(costs)
        assert len(made) <= 1 + seed % 5
        assert len(made) == 1 or sum(max(costs[model] for model in models) for models in made) <= budget


def lines(repo):
    """(worker, LOAD or FREE, model) in the order in which they happened."""
    return [line.split() for line in (repo.path / "log").read_text().splitlines()]


@pytest.mark.parametrize(("workers", "budget", "at_once"), [("2", "100", 6.5), ("3", "6.1", 6.1), ("4", "2", 4.5)])
def test_every_model_has_one_worker_and_the_sum_fits(repo, workers, budget, at_once):
    repo.suite(**SUITES)
    result = repo.run("-n", workers, "--memory-budget", budget, "--model", "toy_?")
    result.assert_outcomes(passed=13)
    owners: dict[str, set[str]] = {}
    loaded, peak = 0.0, 0.0
    for worker, what, model in lines(repo):
        owners.setdefault(model, set()).add(worker)
        loaded += GIB[model] * (1 if what == "LOAD" else -1)
        peak = max(peak, loaded)
    assert {model: len(workers) for model, workers in owners.items()} == {"toy_a": 1, "toy_b": 1, "toy_c": 1}
    assert sum(what == "LOAD" for _, what, _ in lines(repo)) == 3
    assert peak <= at_once


def test_a_killed_worker_costs_one_test_and_one_load(repo):
    die = "import os, signal\ndef test_die(lm):\n    if lm.id == 'toy_b': os.kill(os.getpid(), signal.SIGKILL)\n"
    repo.suite(test_a=die + "def test_after(lm): pass\ndef test_later(lm): pass", **SUITES)
    result = repo.run("-n", "2", "--model", "toy_?")
    result.assert_outcomes(passed=21, failed=1)
    loads = [model for _, what, model in lines(repo) if what == "LOAD"]
    assert sorted(loads) == ["toy_a", "toy_b", "toy_b", "toy_c"]


def test_two_workers_killed_at_once(repo):
    die = "import os, signal\ndef test_die(lm): os.kill(os.getpid(), signal.SIGKILL)\ndef test_after(lm): pass"
    repo.suite(test_a=die)
    repo.run("-n", "2").assert_outcomes(passed=2, failed=2)


def test_a_model_that_dies_while_it_loads_does_not_hang(repo):
    file = repo.path / "conftest.py"
    file.write_text(
        file.read_text().replace("return LM(spec)", "spec.id == 'toy_b' and os._exit(9)\n    return LM(spec)")
    )
    repo.suite(test_a="def test_x(lm): pass\ndef test_y(lm): pass")
    repo.run("-n", "2").assert_outcomes(passed=2, failed=2)


@pytest.mark.parametrize(
    "args",
    [("-n", "2", "-k", "nothing"), ("-n", "2", "-x"), ("-n", "1"), ("-n", "0"), ("-n", "2", "--lf")],
    ids=" ".join,
)
def test_clean_exits(repo, args):
    repo.suite(**SUITES)
    result = repo.run(*args)
    result.assert_outcomes(passed=0 if "nothing" in args else 9)
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    assert result.ret == (pytest.ExitCode.NO_TESTS_COLLECTED if "nothing" in args else 0)


def test_another_dist_may_be_asked_for(repo):
    repo.suite(**SUITES)
    repo.run("-n", "2", "--dist", "loadfile").assert_outcomes(passed=9)


def test_a_broken_module_is_reported_once(repo, run):
    repo.suite(test_rescue=RESCUE, test_broken="import nothing_of_this_name")
    result = run()
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*No module named 'nothing_of_this_name'*"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_workers_that_collect_different_tests_are_told_apart(repo):
    text = "import os, pytest\n@pytest.mark.parametrize('x', [os.environ['PYTEST_XDIST_WORKER']])\ndef test_x(x): pass"
    repo.suite(test_differ=text)
    result = repo.run("-n", "2")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["Different tests were collected between gw*"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_without_xdist(repo):
    repo.suite(test_rescue=RESCUE)
    repo.process("-p", "no:xdist").assert_outcomes(passed=4)


def test_tests_without_a_model_are_spread_by_module(repo):
    write = "with open('who-%s', 'a') as file: file.write(os.environ['PYTEST_XDIST_WORKER'] + ' ')"
    body = f"import os\ndef test_1():\n    {write}\ntest_2 = test_1"
    repo.suite(**{f"test_{name}": body % name for name in "abcd"})
    repo.run("-n", "2").assert_outcomes(passed=8)
    who = [set((repo.path / f"who-{name}").read_text().split()) for name in "abcd"]
    assert all(len(workers) == 1 for workers in who)
    assert set.union(*who) == {"gw0", "gw1"}
    assert sum(workers == {"gw0"} for workers in who) == 2
