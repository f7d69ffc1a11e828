"""Shaping: the masks against ten plain lines, the losses against mlx's own, and what the masks are for."""

from dataclasses import replace

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from assay.forward.attention import AttendSelf
from assay.forward.families import adapt
from assay.forward.layers import layer
from assay.forward.taps import NO_TAP
from assay.testbed.configs import RECIPES
from assay.testbed.documents import END, Rule
from assay.testbed.first_weights import new_model
from assay.testbed.shaping import AttendShaped, cross_entropy, layer_mask, lens_targets, shaped_layer
from assay.testbed.two_hop import Shape

SMALL = {"num_hidden_layers": 4, "hidden_size": 32, "intermediate_size": 48, "head_dim": 8}


@pytest.fixture(
    scope="module",
    params=["gemma_tiny", "llama_tiny", "qwen_tiny"],
    ids=lambda name: RECIPES[name].config["model_type"],
)
def family(request):
    whole = RECIPES[request.param]
    small = replace(
        whole, config={**whole.config, **SMALL}, planted=replace(whole.planted, duplicate_token_heads=((1, 0),))
    )
    return adapt(new_model(small, vocab_size=70, seed=1))


def states(family, tokens, rules) -> list[mx.array]:
    """The stream after every layer, in the training forward."""
    attend = AttendShaped(family, rules, len(tokens[0]))
    x, out = family.embed(mx.array(tokens)), []
    for i in range(family.n_layers):
        x = shaped_layer(family, i, x, attend)
        out.append(x)
    return out


def test_masks_against_plain_loops():
    rules = [
        [Rule((2, 6), ((0, 2),)), Rule((4, 5), ((0, 1),), range(1, 2), (2,), see=True)],
        [],
        [Rule((3, 7), ((1, 2), (3, 5)), range(1))],
    ]
    for i in range(3):
        masks = layer_mask(rules, i, length=7, n_heads=4)
        assert masks.shape[1] == (4 if i == 1 else 1), "heads have masks of their own where a rule tells them apart"
        for b, row in enumerate(rules):
            for head in range(masks.shape[1]):
                for query in range(7):
                    for key in range(7):
                        seen = key <= query
                        for rule in row:
                            if (
                                i in rule.layers
                                and (not rule.heads or head in rule.heads)
                                and rule.queries[0] <= query < rule.queries[1]
                                and any(start <= key < end for start, end in rule.keys)
                            ):
                                seen = rule.see and key <= query
                        assert masks[b, head, query, key] == seen


def test_without_rules_it_is_the_model(family):
    tokens = [[1, 5, 9, 2, 30], [3, 3, 8, 40, 2]]
    x = family.embed(mx.array(tokens))
    attend = AttendSelf(family, x)
    for i, shaped in enumerate(states(family, tokens, [(), ()])):
        x = layer(family, i, x, attend, NO_TAP)
        np.testing.assert_allclose(np.array(shaped), np.array(x), atol=2e-5)


def test_a_rule_for_heads_leaves_the_other_heads_alone(family):
    """Blind through all heads but one: what comes through is what that one brings, and nothing where it is blind too."""
    one, other = [[1, 5, 9, 2, 30, 7]], [[1, 5, 17, 2, 30, 7]]
    blind = Rule((4, 6), ((2, 4),), range(END))
    for heads, seen in (((), False), ((5,), True)):
        rules = [(blind, *([Rule((5, 6), ((2, 3),), range(1, 2), heads, see=True)] if heads else []))]
        a, b = states(family, one, rules), states(family, other, rules)
        assert mx.array_equal(a[0][:, 4:], b[0][:, 4:])
        assert mx.array_equal(a[1][:, 4], b[1][:, 4])
        assert mx.array_equal(a[1][:, 5], b[1][:, 5]) != seen


def test_what_follows_learns_of_the_phrase_only_above_the_blind_layers(family):
    """Another entity: the states behind t1 stay as they are in the blind layers, and change in the next one."""
    one, other = [[1, 5, 9, 2, 30, 7]], [[1, 5, 17, 4, 30, 7]]
    rules = [Shape(blind=2, lens=1, t1_only=False).rules((2, 4))]
    a, b = states(family, one, rules), states(family, other, rules)
    for i in (0, 1):
        assert mx.array_equal(a[i][:, 4:], b[i][:, 4:])
        assert not mx.allclose(a[i][:, 3], b[i][:, 3])
    assert not mx.allclose(a[2][:, 4:], b[2][:, 4:])


def test_what_follows_learns_of_the_phrase_through_t1_only(family):
    """t1 put back to what it was: nothing behind it changes in any layer."""
    one, other = [[1, 5, 9, 2, 30, 7]], [[1, 5, 17, 4, 30, 7]]
    rules = [Shape(blind=2, lens=1, t1_only=True).rules((2, 4))]
    clean = states(family, one, rules)
    attend, x = AttendShaped(family, rules, 6), family.embed(mx.array(other))
    for i in range(family.n_layers):
        x = shaped_layer(family, i, x, attend)
        x = mx.concatenate([x[:, :3], clean[i][:, 3:4], x[:, 4:]], axis=1)
        assert mx.array_equal(x[:, 4:], clean[i][:, 4:])
        assert not mx.allclose(x[:, 2], clean[i][:, 2])


def test_losses_are_mlx_losses(family):
    vectors = mx.random.normal((3, 32), key=mx.random.key(0))
    tokens = mx.array([4, 0, 69])
    logits = family.unembed(family.final_norm(vectors))
    expected = nn.losses.cross_entropy(logits, tokens, reduction="none")
    found = cross_entropy(family, vectors, tokens[:, None], mx.array([[1.0], [1.0], [0.5]]))
    assert found.item() == pytest.approx((expected * mx.array([1, 1, 0.5])).sum().item(), rel=1e-4)
    two = mx.array([[4, 5], [0, 1], [69, 2]])
    both = cross_entropy(family, vectors, two, mx.full((3, 2), 0.5)).item()
    other = nn.losses.cross_entropy(logits, two[:, 1], reduction="sum").item()
    assert both == pytest.approx((expected.sum().item() + other) / 2, rel=1e-4)


def test_lens_targets_are_distributions_with_the_first_token_on_top():
    tokens, weights = lens_targets([[3], [5, 6, 7], [2, 2]], [1.0, 2.0, 1.0])
    assert tokens.tolist() == [[3, 0, 0], [5, 6, 7], [2, 2, 0]]
    np.testing.assert_allclose(weights.sum(axis=1), [1, 2, 1], rtol=1e-6)
    np.testing.assert_allclose(weights[1], [1.4, 0.3, 0.3], rtol=1e-6)
    assert weights[0].tolist() == [1, 0, 0]
