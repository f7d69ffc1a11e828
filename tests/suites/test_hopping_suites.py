"""What the suites of Hopping Too Late compute from measurements, and what their null worlds put in the place of an effect."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "suites" / "hopping_too_late"


def suite(name):
    spec = importlib.util.spec_from_file_location(f"suite_{name}", FOLDER / f"test_{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BACKPATCH, KNOCKOUT, TIMELINE, CROSS = map(suite, ("backpatch", "knockout", "timeline", "cross_patch"))
QUERIES = [SimpleNamespace(e2=f"bridge {i}") for i in range(200)]


def test_a_difference_is_taken_query_by_query():
    found = {"back": np.array([True, True, True, False]), "donor": np.array([True, False, False, False])}
    metrics = BACKPATCH.by_kind("any", found, list("abcd"), 0.1)
    assert (metrics["any_back"], metrics["any_donor"], metrics["any_less_donor"]) == (0.75, 0.25, 0.5)
    assert metrics["any_back"].control == "any_donor"
    assert metrics["any_less_donor"].clusters == 4


def test_outside_of_the_null_world_a_pair_stays_what_it_is():
    own, fillers = np.ones((4, 2)), [np.zeros((4, 2))]
    assert KNOCKOUT.dealt(own, fillers, False) == (own, fillers)


@pytest.mark.parametrize("n_fillers", [1, 3])
def test_in_the_null_world_pair_and_controls_are_exchangeable(n_fillers):
    n = len(QUERIES)
    fillers = [np.full((n, 2), float(k)) for k in range(1, 1 + n_fillers)]
    first, rest = KNOCKOUT.dealt(np.zeros((n, 2)), fillers, True)
    every = np.stack([first, *rest])  # [tables, queries, layers]
    expected = [0.0, 1.0] if n_fillers == 1 else [1.0, 2.0, 3.0]  # of several, a control takes the pair's place
    assert (np.sort(every, axis=0) == np.array(expected)[:, None, None]).all()
    assert (every[..., 0] == every[..., 1]).all()  # a query keeps its layers together
    means = every.mean(axis=(1, 2))
    assert np.ptp(means) < 0.4
    assert set(first[:, 0]) == set(expected)


def test_of_the_other_half_no_window_is_chosen_by_the_query_itself(monkeypatch):
    monkeypatch.setattr(KNOCKOUT, "half_of", lambda query: query.half)
    queries = [SimpleNamespace(half="select"), SimpleNamespace(half="report")]
    best, worst = KNOCKOUT.of_other_half(queries, np.array([[5.0, 0.0, 1.0], [0.0, 2.0, 9.0]]))
    assert (best.tolist(), worst.tolist()) == ([1.0, 0.0], [5.0, 2.0])


def test_stages_in_order_are_so_only_outside_of_the_null_world():
    stages = [dict(zip(TIMELINE.methods.STAGES, (0, 1.5, 2, 5), strict=True)) for _ in QUERIES]
    real, null = (TIMELINE.in_order("right", stages, QUERIES, 8, null_world) for null_world in (False, True))
    for order in TIMELINE.ORDERS:
        assert TIMELINE.comes_in_order(real, "right", order).verdict == "yes"
        assert TIMELINE.comes_in_order(null, "right", order).verdict == "no"
    assert (real["right_first_hop"], null["right_first_hop"], real["right_inversions"]) == (0, 0, 0)


def test_one_stage_that_comes_late_by_itself_makes_no_order():
    stages = [dict(zip(TIMELINE.methods.STAGES, (2, 1, 0, 7), strict=True)) for _ in QUERIES]
    found = TIMELINE.in_order("right", stages, QUERIES, 8, False)
    assert found["right_four_stages_concordance"] == 0  # three pairs in order, three not
    assert found["right_without_second_hop_concordance"] == pytest.approx(1 / 3)
    assert TIMELINE.comes_in_order(found, "right", "without_second_hop").verdict == "no"


def test_fewer_than_five_complete_queries_decide_nothing():
    stages = [dict(zip(TIMELINE.methods.STAGES, (0, 1, 2, 5), strict=True)) for _ in range(4)]
    found = TIMELINE.in_order("right", [*stages, {**stages[0], "second hop": None}], QUERIES[:5], 8, False)
    assert (found["right_four_stages_concordance"].n, found["right_four_stages_complete"]) == (4, 0.8)
    assert TIMELINE.comes_in_order(found, "right", "four_stages").verdict == "undecided"
    assert TIMELINE.comes_in_order(found, "right", "without_second_hop").verdict == "yes"


def test_cross_patches_are_counted_in_all_pairs_and_from_later_layers():
    early, late, never = [[False, True], [False, False]], [[False, False], [True, False]], [[False] * 2] * 2
    rows = [{"e1": early, "e1 from donor": never}, {"e1": late, "e1 from donor": early}]
    found = CROSS.brought_out("wrong", rows, ["Texas", "Ohio"], [0, 1], 2)
    assert (found["wrong_e1"], found["wrong_e1_donor"], found["wrong_e1_less_donor"]) == (1, 0.5, 0.5)
    assert (found["wrong_e1_from_later"], found["wrong_e1_from_later_donor"]) == (0.5, 0)
    assert found["wrong_e1_from_later_less_donor"] == 0.5
    assert found["heatmap_wrong_e1"] == [[0, 0.5], [0.5, 0]]
