"""States at a position and their unembedding, against runs of one prompt and ten lines of mlx."""

import mlx.core as mx
import numpy as np
import pytest
import tiny

import assay
from assay.errors import EditError, PositionError, PromptError, UnknownSite
from assay.forward.families import FAMILIES
from assay.forward.sites import AXES, SITES, Site
from assay.models import registry

PROMPTS = [tiny.ids(n) for n in (5, 3, 7, 5, 4)]


@pytest.mark.parametrize("name", tiny.FAMILIES)
@pytest.mark.parametrize("site", ["resid_post", "z", "k"])
def test_states_are_those_of_runs_of_one_prompt(name, site):
    lm = tiny.lm(name)
    found = lm.states(PROMPTS, site, -2, batch=2)
    for prompt, state in zip(PROMPTS, found, strict=True):
        run = lm.run(prompt, keep=site)
        for layer in range(lm.n_layers):
            axis = 1 if SITES[site].axes.startswith("B L") else 2
            assert tiny.agree(state[layer], mx.take(run[site, layer], mx.array(len(prompt) - 2), axis=axis)[0])
    assert mx.array_equal(lm.states(PROMPTS, f"{site}.1", -2, batch=2), found[:, 1])
    assert mx.array_equal(lm.states(PROMPTS, (site, 1), -2, batch=2), found[:, 1])


def test_states_under_edits_and_of_the_final_norm():
    lm = tiny.lm("llama")
    edit = assay.zero("resid_post", layer=0, position="all")
    assert not lm.states(PROMPTS, "resid_post.0", edits=edit).any().item()
    assert lm.states(PROMPTS, "final_norm").shape == (len(PROMPTS), lm.width)


@pytest.mark.parametrize("name", tiny.FAMILIES)
def test_unembedding_the_last_state_gives_the_logits(name):
    lm = tiny.lm(name)
    last = lm.states(PROMPTS, f"resid_post.{lm.n_layers - 1}", batch=1)
    logits = mx.concatenate([lm.run(prompt).logits for prompt in PROMPTS])
    assert tiny.agree(lm.unembed(last), logits)
    assert lm.unembed(last[0]).shape == (lm.family.vocab,)
    assert lm.unembed(last[None, None]).shape == (1, 1, len(PROMPTS), lm.family.vocab)


def test_edits_may_come_from_a_generator():
    lm = tiny.lm("llama")
    edit = assay.zero("resid_post", layer=0, position="all")
    assert not lm.states(PROMPTS, "resid_post.0", edits=(e for e in [edit]), batch=2).any().item()


def test_all_layers_by_a_key_without_one():
    lm = tiny.lm("llama")
    assert lm.states(PROMPTS, ("resid_post", None)).shape == (len(PROMPTS), lm.n_layers, lm.width)


@pytest.mark.parametrize("batch", [0, -1, 2.5])
def test_batches_that_are_none(batch):
    with pytest.raises(PromptError, match="batch must be"):
        tiny.lm("llama").states(PROMPTS, "resid_post", batch=batch)


def test_sites_over_keys_are_refused():
    with pytest.raises(UnknownSite, match="axis of keys"):
        tiny.lm("llama").states(PROMPTS, "pattern.0")


def test_states_of_numpy_are_unembedded():
    lm = tiny.lm("llama")
    states = lm.states(PROMPTS, "resid_post.1")
    assert mx.array_equal(lm.unembed(np.array(states)), lm.unembed(states))


def test_states_of_several_positions_or_another_width_are_refused():
    lm = tiny.lm("llama")
    with pytest.raises(PositionError, match="one position of each prompt"):
        lm.states(PROMPTS, "resid_post", [0, 1])
    with pytest.raises(EditError, match="have width"):
        lm.unembed(mx.zeros((2, lm.width + 1)))
    with pytest.raises(EditError, match="have width"):
        lm.unembed(mx.zeros((0, lm.width)))


def test_an_axis_that_does_not_exist_is_an_error():
    with pytest.raises(ValueError, match="has an axis 'Q'; known letters"):
        Site("strange", "B L Q", "z", "", "nothing")


def test_every_axis_of_a_site_has_a_size():
    lm = tiny.lm("gemma2")
    assert set(AXES.split()) - {"B", "L", "S"} == set(lm.family.sizes)


def test_families_are_those_of_the_registry():
    assert set(FAMILIES) == set(registry.FAMILIES)
    assert set(FAMILIES) == {tiny.lm(name).model.model_type for name in tiny.FAMILIES}, (
        "a tiny config of each is in tiny.py"
    )
