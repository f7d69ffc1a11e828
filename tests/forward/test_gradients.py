"""Gradients at activations are what finite differences say, in every family and through 4-bit weights, edited or not."""

import mlx.core as mx
import pytest
import tiny

from assay.errors import NotExact
from assay.forward.edits import ablate, add, replace, scale, zero
from assay.forward.sites import SITES, canonical

IDS = tiny.ids()
TARGET = 42
KEYS = [(name, 1 if site.per_layer else None) for name, site in SITES.items() if site.editable]
STREAM = ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")
V = mx.random.normal((64,), key=mx.random.key(5))


def log_prob(lm, *edits) -> float:
    return lm.run(IDS, edits=edits).log_probs()[0, TARGET].item()


def slope(lm, key, unit, *edits) -> float:
    """The change of the target's log-probability per step along `unit`, at all positions of a site, by finite differences."""
    site, layer = key

    def at(step):
        return log_prob(lm, *edits, add(site, canonical(site, unit)[0], layer=layer, position="all", scale=step))

    return (at(5e-3) - at(-5e-3)) / 1e-2


def direction(gradient, seed) -> mx.array:
    """A direction in which there is a slope: the gradient's own and a random one of equal length, added up."""
    noise = mx.random.normal(gradient.shape, key=mx.random.key(seed))
    return gradient / mx.linalg.norm(gradient) + noise / mx.linalg.norm(noise)


@pytest.mark.parametrize("weights", ["float32", "4bit-bfloat16"])
@pytest.mark.parametrize("name", tiny.FAMILIES)
def test_finite_differences(name, weights):
    """At every site of a layer and around the layers, from one backward pass."""
    lm = tiny.lm(name, weights)
    run, grads = lm.gradients(IDS, sites=KEYS, target=TARGET)
    assert tiny.difference(run.logits, lm.run(IDS).logits) < 1e-5
    for seed, key in enumerate(KEYS):
        unit = direction(grads[key], seed)
        if key[0] == "scores":  # a step at a masked score would open it
            unit = mx.where(run[key] == mx.finfo(mx.float32).min, 0.0, unit)
        found = (grads[key] * unit).sum().item()
        assert found == pytest.approx(slope(lm, key, unit), rel=0.02, abs=1e-3), key


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_under_edits(name):
    lm = tiny.lm(name)
    edits = [
        scale("z", 2.0, layer=1, head=1, position="all"),
        ablate(V, layers=[0, 2]),
        add("mlp_out", V, layer=0, position=3),
    ]
    keys = [("embed", None), ("resid_mid", 1), ("z", 1), ("v", 1), ("resid_post", 0)]
    _, grads = lm.gradients(IDS, sites=keys, target=TARGET, edits=edits)
    for seed, key in enumerate(keys):
        unit = direction(grads[key], seed)
        assert (grads[key] * unit).sum().item() == pytest.approx(slope(lm, key, unit, *edits), rel=0.02, abs=1e-3), key


@pytest.mark.parametrize("name", tiny.FAMILIES)
def test_what_is_added_to_the_stream_has_the_streams_gradient(name):
    _, grads = tiny.lm(name).gradients(IDS, sites=["embed", *STREAM], target=TARGET)
    assert tiny.same(grads["embed", None], grads["resid_pre", 0])
    for i in range(3):
        assert tiny.same(grads["attn_out", i], grads["resid_mid", i])
        assert tiny.same(grads["mlp_out", i], grads["resid_post", i])
        if i:
            assert tiny.same(grads["resid_pre", i], grads["resid_post", i - 1])


def test_a_replaced_state_hides_what_came_before():
    _, grads = tiny.lm("llama").gradients(
        IDS, sites=STREAM, target=TARGET, edits=[replace("resid_mid", V, layer=1, position="all")]
    )
    for (site, i), gradient in grads.items():
        before = i < 1 or (i == 1 and site in ("resid_pre", "attn_out"))
        assert bool((gradient == 0).all()) == before, (site, i)


def test_the_gradient_at_an_edited_place_is_that_of_its_new_value():
    lm = tiny.lm("llama")
    _, grads = lm.gradients(IDS, sites="resid_mid.1", target=TARGET, edits=[zero("resid_mid", layer=1, position=4)])
    assert (grads["resid_mid", 1][0, 4] != 0).any()


@pytest.mark.parametrize("name", ["qwen2", "gemma3_text"])
def test_a_batch_has_each_prompts_gradients_and_none_for_padding(name):
    lm, prompts = tiny.lm(name), [tiny.ids(4, 1), tiny.ids(9, 2)]
    run, grads = lm.gradients(prompts, sites=["resid_mid", "pattern"], target=TARGET)
    for row, tokens in enumerate(prompts):
        alone, own = lm.gradients(tokens, sites=["resid_mid", "pattern"], target=TARGET)
        assert tiny.difference(run.logits[row], alone.logits[0]) < 1e-6
        n = len(tokens)
        assert tiny.difference(grads["resid_mid", 1][row, :n], own["resid_mid", 1][0]) < 1e-4
        assert tiny.difference(grads["pattern", 1][row, :, :n, :n], own["pattern", 1][0]) < 1e-4
        assert (grads["resid_mid", 1][row, n:] == 0).all()


def test_any_function_of_the_logits():
    lm = tiny.lm("llama")
    run, grads = lm.gradients(IDS, sites="logits", target=lambda logits: logits[0, 3] - 2 * logits[0, 8])
    expected = mx.zeros((tiny.VOCAB,))
    expected[3], expected[8] = 1, -2
    assert tiny.same(grads["logits", None][0, -1], expected)
    assert (grads["logits", None][0, :-1] == 0).all()
    assert run.logits.shape == (1, tiny.VOCAB)
    assert run.edited is False


def test_a_text_target_is_its_first_token():
    lm = tiny.lm("llama")
    by_text, by_id = (lm.gradients(IDS, sites="resid_post.2", target=t)[1] for t in (" Dallas", lm.token(" Dallas")))
    assert tiny.same(by_text["resid_post", 2], by_id["resid_post", 2])


def test_native_activations():
    _, grads = tiny.lm("llama", "bfloat16", "native").gradients(IDS, sites="resid_mid", target=TARGET)
    _, exact = tiny.lm("llama", "bfloat16").gradients(IDS, sites="resid_mid", target=TARGET)
    assert all(tiny.difference(grads[key], exact[key]) < 0.1 for key in exact)


def test_logits_that_are_not_finite_have_no_gradient():
    edits = [scale("embed", 3e38, position="all"), scale("resid_post", 3e38, layer=0, position="all")]
    with pytest.raises(NotExact, match="not finite"):
        tiny.lm("llama").gradients(IDS, sites="resid_post", target=TARGET, edits=edits)
