"""A sweep stays inside its memory budget: measured peaks against what the plan said, on sweeps that need more at once.

`mx.get_peak_memory()` counts the bytes of all live arrays. The model's weights are in use before and do not count.
"""

import gc

import mlx.core as mx
import pytest
import tiny

from assay.forward import lanes
from assay.forward.edits import add, apply, knockout, replace, zero
from assay.forward.sites import SITES
from assay.forward.sweep import SWEEPABLE
from assay.forward.sweep.memory import Sizes, values

MIB = 2**20


def peak(work, n_lanes=1) -> int:
    """Bytes that `work()` had in use at most, over what was in use before."""
    gc.collect()
    mx.synchronize()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    with lanes.use(n_lanes):
        work()
    mx.synchronize()
    return mx.get_peak_memory() - before


@pytest.fixture(scope="module")
def wide():
    """One layer of long prompts and a large vocabulary: cheap to run, large to hold."""
    shape = {
        "num_hidden_layers": 1,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "head_dim": 16,
        "vocab_size": 4096,
    }
    return tiny.around(tiny.build("llama", **shape))


@pytest.mark.parametrize("budget", [64 * MIB, 256 * MIB, 1024 * MIB])
def test_the_peak_stays_under_the_budget(wide, budget):
    """Every row carries all 160 tokens, and its logits are wanted: all at once would take several times the budget."""
    ids = tiny.ids(160)
    variants = [replace("embed", mx.full((64,), i / 100), position=0) for i in range(40 * budget // (64 * MIB))]
    plan = wide.plan(ids, variants, top_k=3, memory_budget=budget)
    assert plan.bytes <= budget
    assert len(plan.chunks) > 1
    at_once = wide.plan(ids, variants, top_k=3, memory_budget=64 * budget)
    assert len(at_once.chunks) == 1
    assert at_once.bytes > 1.5 * budget
    used = peak(lambda: wide.sweep(ids, variants, top_k=3, memory_budget=budget))
    assert budget / 5 < used < budget


def test_all_at_once_would_not_fit(wide):
    """The sweep of the test above is one that needs more than 64 MiB, not only by the plan's word."""
    variants = [replace("embed", mx.full((64,), i / 100), position=0) for i in range(40)]
    assert peak(lambda: wide.sweep(tiny.ids(160), variants, top_k=3, memory_budget=2**33)) > 64 * MIB


REQUESTS = {
    "last position": ([zero("z", layer=0, position=-1)], {}),
    "all positions": ([zero("embed", position=0)], {}),
    "a stack of values": ([add("resid_mid", mx.ones((80, 64)), layer=1, position="prompt")], {}),
    "pattern": ([apply("pattern", lambda x: x * 0.5 + 0.1, layer=1, position="all")], {}),
    "knockout": ([knockout(queries=-1, keys=[1], layer="all")], {}),
    "targets": ([zero("z", layer=0, position=-1)], {"targets": list(range(40))}),
    "top k and logits": ([zero("z", layer=0, position=-1)], {"top_k": 5, "logits": True}),
    "kept states": ([zero("z", layer=0, position=40)], {"keep": ["resid_post", "mlp_out"], "at": "all"}),
    "kept patterns": ([zero("z", layer=0, position=40)], {"keep": ["pattern", "scores", "head_out"], "at": -1}),
    "kept logits": ([zero("z", layer=0, position=40)], {"keep": ["logits"], "at": [3, 79]}),
    "continued": ([zero("z", layer=0, position=-1)], {"max_tokens": 3}),
    "continued, all positions": ([zero("embed", position=30)], {"max_tokens": 3}),
}
MODELS = {
    "llama": ("float32", "float32"),
    "gemma2": ("bfloat16", "float32"),
    "phi3": ("float16", "native"),
}


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("name", MODELS)
def test_the_estimate_is_above_the_peak(name, request_):
    """Of the clean run and of the variants, each by itself; and not so far above that a budget is wasted."""
    weights, activations = MODELS[name]
    lm, (variant, options) = tiny.lm(name, weights, activations), REQUESTS[request_]
    ids = tiny.ids(80)
    variants = [variant] * (24 if variant[0].position == -1 else 6)
    clean = lm.run(ids, keep=[*SWEEPABLE, *options.get("keep", [])])
    plan = lm.plan(clean, variants, **options)
    assert len(plan.chunks) == 1
    used = peak(lambda: lm.sweep(clean, variants, **options))
    assert used < plan.bytes < max(12 * used, 4 * MIB)
    whole = lm.plan(ids, variants[:1], **options).bytes
    assert peak(lambda: lm.sweep(ids, variants[:1], **options)) < whole


def test_chunks_do_not_pile_up(wide):
    """What one chunk used is gone before the next: many chunks peak no higher than one."""
    ids, variants = tiny.ids(100), [zero("embed", position=i % 4) for i in range(24)]
    row = wide.plan(ids, variants[:1], max_tokens=2).bytes
    one = peak(lambda: wide.sweep(ids, variants[:1], max_tokens=2, memory_budget=row))
    many = peak(lambda: wide.sweep(ids, variants, max_tokens=2, memory_budget=row))
    assert len(wide.plan(ids, variants, max_tokens=2, memory_budget=row).chunks) == 24
    assert many < 1.3 * one


def test_prompts_do_not_pile_up(wide):
    """The clean run of one prompt is gone before the next."""
    prompts = [tiny.ids(150, seed) for seed in range(8)]
    one = peak(lambda: wide.sweep(prompts[:1], [[[]]]))
    assert peak(lambda: wide.sweep(prompts, [[[]]] * 8)) < 1.3 * one


def test_counts_per_position():
    f = tiny.lm("gemma2").family  # E 64, H 4, K 2, D 32
    counts = {
        "resid_post": 64,
        "z": 128,
        "q": 128,
        "k": 64,
        "pattern": 4 * 10,
        "head_out": 4 * 64,
        "logits": tiny.VOCAB,
    }
    assert {site: values(f, site, 10) for site in counts} == counts
    assert all(values(f, site, 10) > 0 for site in SITES)


def test_more_is_never_estimated_as_less():
    f = tiny.lm("gemma2").family
    sizes = Sizes(f, n_tokens=50)
    assert sizes.row_bytes(49) < sizes.row_bytes(40) < sizes.row_bytes(0)
    more = (
        Sizes(f, 60), Sizes(f, 50, max_tokens=5), Sizes(f, 50, n_targets=30), Sizes(f, 50, logits=True),
        Sizes(f, 50, keep=(("z", 1),), at=(3,)), Sizes(f, 50, float32=False),
    )  # fmt: skip
    assert [other.row_bytes(49) > sizes.row_bytes(49) for other in more] == [True] * 6
    half = tiny.lm("gemma2", "bfloat16").family
    assert Sizes(half, 50).shared_bytes() > Sizes(half, 50, float32=False).shared_bytes() == sizes.shared_bytes()
