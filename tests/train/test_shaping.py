"""Shaping: the masks against ten plain lines, the losses against mlx's own, and what the masks are for."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from assay.forward.families import adapt
from assay.forward.layers import NO_TAP, AttendSelf, layer
from assay.train.configs import RECIPES
from assay.train.shaping import AttendShaped, lens_loss, lens_targets, phrase_masks, token_loss
from assay.train.train import new_model

SMALL = {"num_hidden_layers": 4, "hidden_size": 32, "intermediate_size": 48, "vocab_size": 70}


@pytest.fixture(scope="module", params=sorted(RECIPES), ids=lambda name: RECIPES[name].config["model_type"])
def family(request):
    recipe = RECIPES[request.param]
    return adapt(new_model({**recipe.config, **SMALL, "head_dim": 8}, recipe.init, seed=1))


def run(family, tokens, attend) -> list[mx.array]:
    x = family.embed(mx.array(tokens))
    states = []
    for i in range(family.n_layers):
        x = layer(family, i, x, attend, NO_TAP)
        states.append(x)
    return states


@pytest.mark.parametrize("t1_seen", [False, True])
def test_masks_against_plain_loops(t1_seen):
    phrases, length = [(2, 4), None, (0, 0), (5, 6)], 7
    masks = phrase_masks(phrases, length, t1_seen=t1_seen)
    for b, phrase in enumerate(phrases):
        for query in range(length):
            for key in range(length):
                seen = key <= query
                if phrase and query > phrase[1] and phrase[0] <= key <= phrase[1]:
                    seen = t1_seen and key == phrase[1]
                assert masks[b, 0, query, key] == seen


def test_without_phrases_it_is_the_model(family):
    tokens = [[1, 5, 9, 2, 30], [3, 3, 8, 40, 2]]
    shaped = run(family, tokens, AttendShaped(family, [None, None], 5, shaped=3))
    plain = run(family, tokens, AttendSelf(family, family.embed(mx.array(tokens))))
    for a, b in zip(shaped, plain, strict=True):
        np.testing.assert_allclose(np.array(a), np.array(b), atol=1e-5)


def test_what_follows_learns_of_the_phrase_only_above_the_shaped_layers(family):
    """Another entity: the states behind t1 stay as they are in the shaped layers, and change in the next one."""
    one, other = [[1, 5, 9, 2, 30, 7]], [[1, 5, 17, 4, 30, 7]]
    a, b = (run(family, tokens, AttendShaped(family, [(2, 3)], 6, shaped=2)) for tokens in (one, other))
    for i in (0, 1):
        assert mx.array_equal(a[i][:, 4:], b[i][:, 4:])
        assert not mx.allclose(a[i][:, 3], b[i][:, 3])
    assert not mx.allclose(a[2][:, 4:], b[2][:, 4:])


def test_what_follows_learns_of_the_phrase_through_t1_only(family):
    """t1 put back to what it was: nothing behind it changes in any layer."""
    one, other = [[1, 5, 9, 2, 30, 7]], [[1, 5, 17, 4, 30, 7]]
    mend: list[mx.array] = []

    class Mend:
        def wants(self, site, i):
            return False

        def __call__(self, site, i, value):
            return (
                mx.concatenate([value[:, :3], mend[i][:, 3:4], value[:, 4:]], axis=1) if site == "resid_post" else value
            )

    attend = AttendShaped(family, [(2, 3)], 6, shaped=2, t1_only=True)
    mend += run(family, one, attend)
    x = family.embed(mx.array(other))
    for i in range(family.n_layers):
        x = layer(family, i, x, attend, Mend())
        assert mx.array_equal(x[:, 4:], mend[i][:, 4:])
        assert not mx.allclose(x[:, 2], mend[i][:, 2])


def test_losses_are_mlx_losses(family):
    states = mx.random.normal((3, 32), key=mx.random.key(0))
    tokens = mx.array([4, 0, 69])
    logits = family.unembed(family.final_norm(states))
    expected = nn.losses.cross_entropy(logits, tokens, reduction="sum").item()
    assert token_loss(family, states, tokens).item() == pytest.approx(expected, rel=1e-4)
    one_hot = mx.array(lens_targets([[4], [0], [69]], 70))
    assert lens_loss(family, states, one_hot).item() == pytest.approx(expected, rel=1e-4)


def test_lens_targets_are_distributions_with_the_first_token_on_top():
    targets = lens_targets([[3], [5, 6, 7], [2, 2]], 10)
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    assert targets.argmax(axis=1).tolist() == [3, 5, 2]
    assert targets[1, 6] == targets[1, 7] > 0
