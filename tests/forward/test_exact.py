"""The instrumented forward is mlx-lm's own, bit for bit on the CPU: every family, every kind of weights, any cache.

mlx-lm's model and ours read the same tokens, each with its own caches from mlx-lm's `make_prompt_cache`, cut into chunks
in three ways; ours with no tap, and again with every site of the glossary kept.
"""

import mlx.core as mx
import pytest
import tiny
from mlx_lm.models.cache import make_prompt_cache

from assay.forward.layers import forward, unembed
from assay.forward.sites import SITES, expand
from assay.forward.taps import NO_TAP, Taps

LENGTH = 13  # half as much again as the windows of 8
CUTS = {
    "no cache": None,
    "chunks": (5, 1, 4, 3),
    "token by token": (1,) * LENGTH,
}
CASES = [(name, weights) for name in tiny.FAMILIES for weights in tiny.WEIGHTS] + [
    (name, "float32") for name in tiny.ODD
]


def read(call, tokens, cut, cache):
    """Logits of all positions; `call(chunk, cache)` reads one chunk."""
    if cut is None:
        return call(tokens, None)
    parts, start = [], 0
    for size in cut:
        parts.append(call(tokens[:, start : start + size], cache))
        start += size
    return mx.concatenate(parts, axis=1)


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize(("name", "weights"), CASES)
def test_logits_are_the_models_own(name, weights, cut):
    model, family = tiny.model(name, weights), tiny.lm(name, weights).family
    tokens = mx.array([tiny.ids(LENGTH)])

    def ours(tap):
        return lambda chunk, cache: unembed(family, forward(family, chunk, cache, tap, None), tap)

    own = read(lambda chunk, cache: model(chunk, cache=cache), tokens, cut, make_prompt_cache(model))
    assert tiny.same(read(ours(NO_TAP), tokens, cut, make_prompt_cache(model)), own)
    everything = Taps([[]], expand(SITES, family.n_layers))
    assert tiny.same(read(ours(everything), tokens, cut, make_prompt_cache(model)), own)
    assert {site for site, _ in everything.kept} == set(SITES)


@pytest.mark.parametrize("name", tiny.FAMILIES)
def test_a_run_is_the_model(name):
    """`lm.run` with everything kept, over float32 weights, where float32 activations are the native ones."""
    lm = tiny.lm(name)
    run = lm.run(tiny.ids(LENGTH), keep=SITES)
    own = tiny.model(name)(mx.array([tiny.ids(LENGTH)]))
    assert tiny.same(run.logits, own[:, -1])
    assert tiny.same(run["logits"], own)


@pytest.mark.parametrize("name", tiny.FAMILIES)
def test_float32_activations_are_those_of_widened_weights(name):
    """Over bfloat16 weights, the default runs as the model would if its weights were float32."""
    lm = tiny.lm(name, "bfloat16")
    wide = tiny.build(name, "bfloat16")
    wide.set_dtype(mx.float32)
    tokens = tiny.ids(LENGTH)
    assert lm.run(tokens, keep="resid_post")["resid_post", 0].dtype == mx.float32
    # Not to the bit: in the norms of Gemma, 1 + weight is computed in the dtype of the weights.
    assert tiny.difference(lm.run(tokens).logits, wide(mx.array([tokens]))[:, -1]) < 0.02


@pytest.mark.parametrize("weights", ["bfloat16", "float16", "4bit-bfloat16"])
@pytest.mark.parametrize("name", tiny.FAMILIES)
def test_native_activations_keep_their_type_at_every_site(name, weights):
    lm = tiny.lm(name, weights, "native")
    run = lm.run(tiny.ids(), keep=SITES)
    assert {value.dtype for value in run.kept.values()} == {tiny.WEIGHTS[weights][0]}
    assert run.logits.dtype == mx.float32
