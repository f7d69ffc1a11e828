"""Selection against tables made by hand, its filters, successive halving, and what it says when nothing is left."""

import numpy as np
import pytest
import tiny

from assay import ablate, add
from assay.errors import PromptError, SelectionError
from assay.forward.arithmetic import machine
from assay.methods.directions import difference_in_means
from assay.methods.distributions import kl_of_logits
from assay.methods.refusal.judging import refusal_score
from assay.methods.refusal.selection import SelectionFilters, SuccessiveHalving, select_direction

TOKENS = [10, 20, 30, 40]
HARMFUL = [tiny.ids(9), tiny.ids(11, 1), tiny.ids(10, 2)]
HARMLESS = [tiny.ids(8, 3), tiny.ids(12, 4), tiny.ids(9, 5), tiny.ids(9, 6)]
OFF = SelectionFilters(kl=None, induce=None, depth=1.0)


@pytest.fixture(scope="module", params=["llama", "gemma2"])
def lm(request):
    return tiny.lm(request.param)


@pytest.fixture(scope="module")
def sets(lm):
    return [lm.prompt(p) for p in HARMFUL], [lm.prompt(p) for p in HARMLESS]


@pytest.fixture(scope="module")
def candidates(lm, sets):
    return difference_in_means(lm, *sets, 2)


@pytest.fixture(scope="module")
def by_hand(lm, sets, candidates):
    """[P, L] tables from one plain run per cell and prompt."""

    def logits(prompt, *edits):
        return np.array(lm.run(prompt, edits=edits).logits[0])

    harmful, harmless = sets
    tables = {name: np.zeros(candidates.norms.shape) for name in ("bypass", "induce", "kl")}
    for p, layer in np.ndindex(candidates.norms.shape):
        r = candidates.vectors[p, layer]
        adding = add("resid_pre", r, layer=layer, position="all")
        tables["bypass"][p, layer] = np.mean([refusal_score(logits(x, ablate(r)), TOKENS) for x in harmful])
        tables["induce"][p, layer] = np.mean([refusal_score(logits(x, adding), TOKENS) for x in harmless])
        tables["kl"][p, layer] = np.mean([kl_of_logits(logits(x), logits(x, ablate(r))) for x in harmless])
    return tables


def test_tables_equal_plain_runs(lm, sets, candidates, by_hand):
    found = select_direction(lm, candidates, *sets, TOKENS, filters=OFF)
    for name, table in by_hand.items():
        np.testing.assert_allclose(getattr(found, name), table, atol=1e-4)
    assert found.cell == np.unravel_index(by_hand["bypass"].argmin(), by_hand["bypass"].shape)
    assert found.unfiltered == found.cell
    np.testing.assert_array_equal(found.direction.vector, candidates.vectors[found.cell])
    assert (found.direction.position, found.direction.layer) == (found.position, found.layer)
    clean = [refusal_score(np.array(lm.run(x).logits[0]), TOKENS) for x in sets[0]]
    assert found.baseline == pytest.approx(np.mean(clean), abs=1e-5)


def test_the_winner_passes_every_filter(lm, sets, candidates, by_hand):
    limits = {name: float(np.median(by_hand[name])) for name in ("kl", "induce")}
    filters = SelectionFilters(**limits, depth=1.0)
    allowed = (by_hand["kl"] <= limits["kl"]) & (by_hand["induce"] >= limits["induce"])
    assert allowed.any()
    found = select_direction(lm, candidates, *sets, TOKENS, filters=filters)
    assert allowed[found.cell]
    assert found.bypass[found.cell] == found.bypass[allowed].min()
    assert sum(found.removed.values()) == candidates.norms.size - allowed.sum()


def test_late_layers_never_win(lm, sets, candidates):
    found = select_direction(lm, candidates, *sets, TOKENS, filters=SelectionFilters(kl=None, induce=None, depth=0.7))
    assert found.layer < 2
    assert found.removed["too late"] == 2  # layer 2 of 3, at two positions


def test_the_norm_trap_is_the_longest_candidate(lm, sets, candidates):
    found = select_direction(lm, candidates, *sets, TOKENS, filters=OFF)
    assert found.by_norm.norm == pytest.approx(candidates.norms.max(), rel=1e-5)


def test_halving_with_room_for_all_is_the_full_form(lm, sets, candidates):
    full = select_direction(lm, candidates, *sets, TOKENS, filters=OFF)
    halved = select_direction(
        lm, candidates, *sets, TOKENS, filters=OFF, halving=SuccessiveHalving(first=2, finalists=100, shallow=0.0)
    )
    assert halved.cell == full.cell
    # Scores are log-odds in float64 of float32 logits: a cell alone is the cell among others, but for the rounding of a product.
    np.testing.assert_allclose(halved.bypass, full.bypass, atol=1e-9 if machine().rows else 1e-4)


def test_halving_leaves_cells_unmeasured(lm, sets, candidates):
    found = select_direction(
        lm, candidates, *sets, TOKENS, filters=OFF, halving=SuccessiveHalving(first=2, finalists=2, shallow=0.0)
    )
    assert np.isfinite(found.induce).sum() == 2
    assert np.isfinite(found.bypass).sum() == 6
    assert found.removed["not among the finalists"] == 4
    assert np.isfinite(found.bypass[found.cell])


def test_candidates_without_length_are_left_out(lm, sets):
    alike = difference_in_means(lm, [lm.prompt(tiny.ids(9))], [lm.prompt(tiny.ids(9))], 2)
    assert alike.empty.all()
    with pytest.raises(SelectionError, match="of 6, 6 by 'no length' were removed"):
        select_direction(lm, alike, *sets, TOKENS, filters=OFF)


def test_nothing_left_says_which_filter_removed_how_many(lm, sets, candidates):
    with pytest.raises(SelectionError, match=r"of 6, 2 by 'too late', 4 by 'kl' were removed .*kl <= -1"):
        select_direction(lm, candidates, *sets, TOKENS, filters=SelectionFilters(kl=-1.0, induce=None, depth=0.7))
    with pytest.raises(SelectionError, match=r"6 by 'induce' were removed .*Loosen Filters"):
        select_direction(lm, candidates, *sets, TOKENS, filters=SelectionFilters(kl=None, induce=99.0, depth=1.0))
    with pytest.raises(SelectionError, match="4 by 'induce'"):
        select_direction(
            lm, candidates, *sets, TOKENS,
            filters=SelectionFilters(kl=None, induce=99.0, depth=0.7), halving=SuccessiveHalving(first=1, shallow=0.0),
        )  # fmt: skip


@pytest.mark.parametrize(
    "halving", [None, SuccessiveHalving(first=2, finalists=3, shallow=0.0)], ids=["full", "halving"]
)
def test_a_kl_limit_that_leaves_nothing_is_doubled_if_it_may_be(lm, sets, candidates, by_hand, halving):
    least = by_hand["kl"].min()
    tight = {"kl": least / 5, "induce": None, "depth": 1.0}
    with pytest.raises(SelectionError, match="by 'kl'"):
        select_direction(lm, candidates, *sets, TOKENS, filters=SelectionFilters(**tight))
    found = select_direction(
        lm, candidates, *sets, TOKENS, filters=SelectionFilters(**tight, loosen=True), halving=halving
    )
    assert found.kl_limit == pytest.approx(8 * least / 5)
    assert found.kl[found.cell] <= found.kl_limit
    assert select_direction(lm, candidates, *sets, TOKENS, filters=OFF).kl_limit is None


def test_empty_sets(lm, sets, candidates):
    with pytest.raises(PromptError, match="set of harmful prompts is empty"):
        select_direction(lm, candidates, [], sets[1], TOKENS)
    with pytest.raises(PromptError, match="set of harmless prompts is empty"):
        select_direction(lm, candidates, sets[0], [], TOKENS)


def test_controls_get_as_many_tries_of_the_same_lengths(candidates):
    random = candidates.replaced(np.random.default_rng(0).standard_normal(candidates.vectors.shape))
    np.testing.assert_allclose(random.norms, candidates.norms, rtol=1e-5)
    assert np.abs((random.vectors * candidates.vectors).sum(-1) / candidates.norms**2).max() < 0.6
