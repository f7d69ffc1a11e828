"""Back-patching: the sweep against a loop of plain full forwards by hand, and the arithmetic of its tables."""

import mlx.core as mx
import numpy as np
import pytest

import assay
from assay.data.two_hop import answers, two_hop
from assay.errors import PromptError
from assay.methods.hopping_too_late.backpatch import (
    PatchTable,
    back_patch,
    draw_donor,
    layer_pairs,
    noise_like,
    patch_table,
)
from assay.methods.states import states_at

QUERIES = [q for q in two_hop("state_capital") if q.e1 in ("Dallas", "Houston", "Buffalo")]


@pytest.fixture(scope="module")
def lm():
    return assay.load("llama_tiny")


def patched_by_hand(lm, ids, at, vector, target, n_tokens):
    """Greedy tokens of plain mlx-lm layers, with one state overwritten at the output of layer `target`; no cache."""
    core, out = lm.model.model, []
    for _ in range(n_tokens):
        x = mx.array([[*ids, *out]])
        h = core.embed_tokens(x).astype(mx.float32)
        mask = mx.where(mx.tril(mx.ones((x.shape[1],) * 2, mx.bool_)), 0.0, -1e9)
        for i, layer in enumerate(core.layers):
            h = layer(h, mask, None)
            if i == target:
                h = mx.concatenate([h[:, :at], vector[None, None], h[:, at + 1 :]], axis=1)
        token = int(mx.argmax(core.embed_tokens.as_linear(core.norm(h))[0, -1]).item())
        if token in lm.end_tokens:
            break
        out.append(token)
    return lm.decode(out)


@pytest.mark.parametrize("where", ["t1", "t2"])
def test_equals_a_loop_of_full_forwards(lm, where):
    query = QUERIES[0]
    prompt = lm.prompt(query.prompt)
    at = len(prompt) - (2 if where == "t1" else 1)  # "... Dallas is"
    table = patch_table(lm.n_layers, [back_patch(lm, query, where, donors=QUERIES, seed=3)])
    own = states_at(lm.run(prompt, keep="resid_post"), at)
    for column, (source, target) in enumerate(table.pairs["back"]):
        text = patched_by_hand(lm, prompt.tokens, at, own[source], target, 10)
        assert table.right["back"][0, column] == answers(text, query.e3_aliases), (source, target, text)


def test_the_states_of_another_query_can_take_the_place_of_the_own(lm):
    query, giver = (next(q for q in QUERIES if q.e1 == name) for name in ("Dallas", "Buffalo"))
    row = back_patch(lm, query, "t1", donors=[giver], own=giver)
    assert row["back"] == row["donor"]  # the same states, whichever they are called
    own = back_patch(lm, query, "t1", donors=[giver])
    assert row["donor"] == own["donor"]
    assert row["back"] != own["back"]


def test_t1_is_the_last_token_of_the_phrase(lm):
    for query in two_hop(limit=30):
        prompt = lm.prompt(query.prompt)
        own = states_at(lm.run(prompt, keep="resid_post"), query.t1_text)
        at = next(i for i in range(len(prompt)) if lm.decode(prompt.tokens[: i + 1]).endswith(query.r1_phrase))
        run = lm.run(prompt, keep="resid_post")
        assert (own[-1] == run["resid_post", lm.n_layers - 1][0, at]).all()


def test_pairs_go_back_only():
    assert layer_pairs(4)["back"] == [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]
    assert len(layer_pairs(28)["back"]) == 378
    assert layer_pairs(6, stride=2)["back"] == [(2, 0), (4, 0), (4, 2)]


def test_noise_has_the_norms_of_the_states():
    real = mx.random.normal((5, 32), key=mx.random.key(0)) * mx.array([[1.0], [2], [3], [4], [500]])
    noise = noise_like(real, np.random.default_rng(1))
    np.testing.assert_allclose(mx.linalg.norm(noise, axis=1), mx.linalg.norm(real, axis=1), rtol=1e-5)
    assert not mx.allclose(noise, noise_like(real, np.random.default_rng(2)))


def test_a_donor_has_another_bridge_and_answer():
    rng = np.random.default_rng(0)
    everything = two_hop(["landmark_currency", "city_currency"])
    query = next(q for q in everything if q.e3 == "Euro")
    drawn = [draw_donor(query, everything, rng) for _ in range(200)]
    assert all(d.e2 != query.e2 and d.e3 != "Euro" for d in drawn)
    assert len({d.id for d in drawn}) > 50
    with pytest.raises(PromptError, match="no donor for"):
        draw_donor(query, [query], rng)


def test_table_arithmetic():
    pairs = layer_pairs(4)[
        "back"
    ]  # (1,0) (2,0) (2,1) (3,0) (3,1) (3,2); from {2, 3} into {0, 1}: the four in the middle
    right = np.array([[0, 1, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]], bool)
    table = PatchTable(4, {"back": pairs}, {"back": right})
    assert table.rescued("back").tolist() == [True, False]
    assert table.late_to_early().tolist() == [0.5, 0.0]
    both = PatchTable(4, {"back": pairs}, {"back": right, "donor": right[::-1]})
    assert both.late_to_early("donor").tolist() == [0.0, 0.5]
    assert table.best_pair(np.array([True, True])) == 1
    assert table.heatmap("back") == [[None] * 4, [0.0, None, None, None], [0.5, 0.0, None, None], [0.5, 0.0, 0.0, None]]
