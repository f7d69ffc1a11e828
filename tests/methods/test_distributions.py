"""Log-probabilities, KL divergence and ranks, against their definitions; portions of a list; states at a position."""

import mlx.core as mx
import numpy as np
import pytest
import tiny

from assay.errors import PositionError
from assay.methods.distributions import kl_divergence, kl_of_logits, log_probs, log_softmax, token_ranks
from assay.methods.portions import balanced, batches
from assay.methods.states import states_at

LOGITS = np.random.default_rng(0).standard_normal((2, 5)) * 30


def test_log_probabilities_sum_to_one_and_keep_differences():
    found = log_probs(LOGITS)
    np.testing.assert_allclose(np.exp(found).sum(axis=-1), 1)
    np.testing.assert_allclose(np.diff(found), np.diff(LOGITS))
    np.testing.assert_allclose(log_softmax(mx.array(LOGITS, mx.float32)), found, atol=1e-4)


def test_kl_is_the_sum_over_tokens_in_both_array_types():
    p, q = log_probs(LOGITS)
    by_hand = sum(np.exp(a) * (a - b) for a, b in zip(p, q, strict=True))
    assert kl_divergence(p, q) == pytest.approx(by_hand)
    assert kl_divergence(mx.array(p), mx.array(q)).item() == pytest.approx(by_hand, rel=1e-5)
    assert kl_of_logits(LOGITS[0] + 7, LOGITS[1]) == pytest.approx(by_hand)


def test_ranks_are_those_of_the_likeliest_of_the_tokens():
    order = np.argsort(-LOGITS, axis=-1)
    assert [token_ranks(LOGITS[i], [order[i, 4], order[i, 2]]) for i in (0, 1)] == [2, 2]
    assert token_ranks(np.zeros(4), [3]) == 0  # equals are not likelier


@pytest.mark.parametrize("size", [1, 3, 7, 9])
def test_batches_are_all_items_in_order(size):
    parts = list(batches(range(7), size))
    assert [item for part in parts for item in part] == list(range(7))
    assert {len(part) for part in parts[:-1]} <= {size}


@pytest.mark.parametrize(("n", "each"), [(None, 3), (20, 3), (5, 2), (4, 2), (1, 0)])
def test_a_balanced_sample_has_as_many_of_each_kind_in_order(n, each):
    items = [(i, "AAAABAABAAAB"[i]) for i in range(12)]
    chosen = balanced(items, n, lambda item: item[1])
    assert [kind for _, kind in chosen].count("A") == [kind for _, kind in chosen].count("B") == each
    assert chosen == sorted(set(chosen))
    assert balanced([], n, str) == []


def test_states_are_those_of_one_token_of_one_prompt():
    lm = tiny.lm("gemma2")
    run = lm.run([[5, 6], [7, 8, 9]], keep=["resid_post", "mlp_out"])
    found = states_at(run, 1, "mlp_out", prompt=1)
    assert all((found[i] == run["mlp_out", i][1, 1]).all() for i in range(lm.n_layers))
    assert (states_at(run, -1) == mx.stack([run["resid_post", i][0, 1] for i in range(lm.n_layers)])).all()
    with pytest.raises(PositionError, match=r"\[0, 1\] is 2: give one token"):
        states_at(run, [0, 1])
