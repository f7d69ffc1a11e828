"""The timeline: which layer each instrument names, stages that are missing, and the lens against the model's own numbers."""

from itertools import permutations

import numpy as np
import pytest
import tiny

import assay
from assay.data.two_hop import two_hop
from assay.methods.hopping_too_late.knockout import KnockedOut
from assay.methods.hopping_too_late.names import foreign_tokens, telling_tokens
from assay.methods.hopping_too_late.timeline import (
    STAGES,
    complete_stages,
    concordance,
    first_layer,
    first_layer_on_top,
    last_token_ranks,
    lens_ranks,
    lens_stages,
    mean_layer,
    query_stages,
    stage_layers,
)
from assay.methods.lens import logit_lens

DALLAS, BUFFALO = (next(q for q in two_hop("state_capital") if q.e1 == name) for name in ("Dallas", "Buffalo"))


def grid(texts):
    """Descriptions by source layer, one target and one sample each."""
    return [[[text]] for text in texts]


DESCRIBED = {
    "t1": grid(["", ": Texas.", ": Texas.", ""]),
    "t2": grid(["", "", ": Texas.", ": Austin."]),
}
BLOCKED = KnockedOut(
    " Austin.", -0.1, {"last <- e1": [" Austin.", " Waco.", " Waco.", " Austin!"]}, {"last <- e1": [0.0] * 4}
)
PROJECTED = {"attn_out": {"e2": [9, 9, 9, 0], "prediction": [0, 0, 0, 0]}, "mlp_out": {"prediction": [7, 2, 1, 0]}}


def test_every_stage_by_its_instrument():
    assert query_stages(DALLAS, DESCRIBED, BLOCKED, PROJECTED) == {
        "first hop": 1,
        "propagation": 2.0,  # the mean of 1 (knockout), 3 (attention writes Texas), 2 (t2 is described as Texas)
        "second hop": 3,
        "extraction": 3,
    }


def test_only_the_target_layers_that_read_count():
    two = {
        "t1": [[[": Texas."], [""]], [[": Texas."], [": Texas."]]],
        "t2": [[[""], [""]], [[""], [""]]],
    }
    assert query_stages(DALLAS, two, BLOCKED, PROJECTED)["first hop"] == 0
    assert query_stages(DALLAS, two, BLOCKED, PROJECTED, targets=[1])["first hop"] == 1
    assert query_stages(DALLAS, two, BLOCKED, PROJECTED)["second hop"] is None


def test_a_stage_that_is_never_found_is_none_and_counts_in_no_mean():
    nothing = {"t1": grid([""] * 4), "t2": grid([""] * 4)}
    still = KnockedOut(" Austin.", -0.1, {"last <- e1": [" Austin."] * 4}, {"last <- e1": [0.0] * 4})
    unread = {"attn_out": {"e2": None}, "mlp_out": {"prediction": [3, 2, 1, 1]}}
    assert query_stages(DALLAS, nothing, still, unread) == dict.fromkeys(STAGES)
    assert mean_layer([None, 4, None, 1]) == 2.5
    assert mean_layer([None]) is None
    assert first_layer([False, True, True]) == 1
    assert first_layer_on_top([3, 0, 0]) == 1
    assert first_layer_on_top([3, 1]) is None


def test_columns_and_complete_rows():
    rows = [dict(zip(STAGES, values, strict=True)) for values in ((0, 1, 2, 3), (1, None, 2, 3), (None, None, 4, 4))]
    assert stage_layers(rows) == [[0, 1], [1], [2, 2, 4], [3, 3, 4]]
    assert complete_stages(rows) == [[0.0, 1.0, 2.0, 3.0]]
    assert complete_stages(rows, ("first hop", "second hop")) == [[0.0, 2.0], [1.0, 2.0]]


def test_how_far_stages_come_in_order():
    assert concordance([0, 1, 2, 3]) == 1
    assert concordance([3, 2, 1]) == -1
    assert concordance([2, 2]) == 0
    assert concordance([1, 0, 2]) == pytest.approx(1 / 3)  # one of three pairs is out of order
    assert np.mean([concordance(order) for order in permutations(range(4))]) == pytest.approx(0)


def test_lens_ranks_are_those_of_the_lens_at_each_place():
    lm = assay.load("llama_tiny", doctor=False)
    at_t1, at_t2 = logit_lens(lm, DALLAS.prompt, "Dallas"), logit_lens(lm, DALLAS.prompt)
    found = lens_ranks(lm, DALLAS)
    for place, lens, name in (("e2 at t1", at_t1, "e2"), ("e2 at t2", at_t2, "e2"), ("e3 at t2", at_t2, "e3")):
        ranks = np.array([lens.ranks(token) for token in telling_tokens(lm, DALLAS)[name]])
        assert found[place] == ranks.min(axis=0).tolist()
    assert found["prediction at t2"][-1] == 0
    assert list(lens_stages(found)) == list(STAGES)
    assert lens_stages({**found, "e2 at t1": [5, 0, 0]})["first hop"] == 1
    assert lens_stages({**found, "e2 at t1": None})["first hop"] is None


def test_ranks_at_the_last_token_and_those_of_another_bridge():
    lm = assay.load("llama_tiny", doctor=False)
    (row,) = last_token_ranks(lm, [DALLAS], [BUFFALO])
    lens = logit_lens(lm, DALLAS.prompt)
    assert row["e2"] == lens_ranks(lm, DALLAS)["e2 at t2"]
    foreign = foreign_tokens(lm, DALLAS, BUFFALO)
    for name, entity in (("other", "e2"), ("other_e3", "e3")):
        assert row[name] == (lens.best_ranks(foreign[entity]).tolist() if foreign[entity] else None)
    (swapped,) = last_token_ranks(lm, [DALLAS], [BUFFALO], whose=[BUFFALO])
    assert (swapped["e2"], swapped["e3"]) == (row["other"], row["other_e3"])


def test_names_that_begin_with_single_letters_are_not_read():
    (row,) = last_token_ranks(tiny.lm("llama"), [DALLAS], [BUFFALO])
    assert (row["e2"], row["other"]) == (None, None)
    with pytest.raises(ValueError, match="zip"):
        last_token_ranks(tiny.lm("llama"), [DALLAS], [])
