"""A sweep is the full forward of each variant, bit for bit in float32 on the CPU, whatever the variants are.

Hypothesis draws a model, a prompt and lists of edits: any operation at any site that can be edited, several layers, heads
and positions at once, several edits in a variant, or none. Every variant is then run in full by `lm.run`, and continued by
`lm.generate`.
"""

from dataclasses import dataclass

import mlx.core as mx
import numpy as np
import pytest
import tiny
from hypothesis import example, given
from hypothesis import strategies as st

import assay
from assay.errors import BudgetError, EditError, UnknownSite
from assay.forward.edits import Edit, add, apply, knockout, project_out, replace, scale, set_pattern, zero
from assay.forward.generate import read
from assay.forward.positions import Prompt
from assay.forward.sites import SITES, axes, canonical, head_axis
from assay.forward.sweep import SWEEPABLE
from assay.forward.sweep.chunk import run_chunk
from assay.forward.sweep.engine import make_job

MODELS = [*tiny.FAMILIES, *tiny.ODD]
EDITABLE = [name for name, site in SITES.items() if site.editable]
KEYABLE = [name for name in SITES if name not in SWEEPABLE]
TARGETS = (3, 50, 319)
OPERATIONS = ("replace", "add", "scale", "zero", "project_out", "apply", "knockout", "set_pattern")


@dataclass(frozen=True)
class Draw:
    """An edit before it meets a model: numbers are taken modulo what the model and the prompt have."""

    operation: str
    site: str
    layers: tuple[int, ...]
    positions: tuple[int, ...] | str
    heads: tuple[int, ...] | int | None
    rows: bool
    """One value for each position."""
    seed: int


def several(most: int):
    """One number or more, as a tuple."""
    return st.lists(st.integers(0, 99), min_size=1, max_size=most).map(tuple)


draws = st.builds(
    Draw,
    operation=st.sampled_from(OPERATIONS),
    site=st.sampled_from(EDITABLE),
    layers=several(3),
    positions=st.sampled_from([(-1,), (-1,), (-2,), "all", "prompt"])
    | st.lists(st.integers(0, 99), min_size=1, max_size=4).map(tuple),
    heads=st.none() | st.integers(0, 99) | several(3),
    rows=st.booleans(),
    seed=st.integers(0, 99),
)


def edit(drawn: Draw, lm, length: int) -> Edit:
    """The edit that a draw means for a model and a prompt of so many tokens."""
    f, site = lm.family, {"knockout": "scores", "set_pattern": "pattern"}.get(drawn.operation, drawn.site)
    layers = list(dict.fromkeys(n % f.n_layers for n in drawn.layers)) if SITES[site].per_layer else None
    everywhere = isinstance(drawn.positions, str)
    position = drawn.positions if everywhere else list(dict.fromkeys(n % length for n in drawn.positions))
    sizes = {**f.sizes, "S": length}
    shape, head = [sizes[letter] for letter in axes(site).split() if letter not in "BL"], None
    if head_axis(site) is not None and drawn.heads is not None:
        one = isinstance(drawn.heads, int)
        head = drawn.heads % shape[0] if one else list(dict.fromkeys(n % shape[0] for n in drawn.heads))
        shape = shape[1:] if one else [len(head), *shape[1:]]
    if drawn.rows and not everywhere:
        shape = [len(position), *shape]
    here = {"layer": layers, "position": position, "head": head}
    value = mx.random.normal(shape, key=mx.random.key(drawn.seed))
    if "S" in axes(site) and position == "all":
        value = value.flatten()[0]  # a row over keys has no meaning at generated positions
    match drawn.operation:
        case "replace":
            return replace(site, value, **here)
        case "add":
            return add(site, value, scale=0.5, **here)
        case "scale":
            return scale(site, 1 + drawn.seed / 100, **here)
        case "zero":
            return zero(site, **here)
        case "project_out":
            return zero(site, **here) if site == "scores" or not value.ndim else project_out(site, value, **here)
        case "apply":
            return apply(site, lambda x: mx.tanh(x) * 2, **here)
        case "knockout":
            queries, keys = position, [0] if everywhere else sorted({min(position), drawn.seed % (min(position) + 1)})
            return knockout(queries=queries, keys=keys, layer=layers, head=head)
        case _:
            return set_pattern(mx.softmax(value, axis=-1) if value.ndim else value, **here)


def edits_of(variants, lm, length) -> list[list[Edit]]:
    return [[edit(drawn, lm, length) for drawn in variant] for variant in variants]


def tight_budget(lm, prompt, variants, **options) -> int:
    """Bytes that hold two of the largest variants at a time, so that a sweep takes several chunks."""
    sizes = [make_job(lm, prompt, [v], **options).plan.bytes for v in variants]
    return max(sizes) + max(sizes) // 8


def check(sweep, lm, prompt, variants, keep=(), at=()):
    """Compare a sweep with full runs of its variants."""
    for i, variant in enumerate(variants):
        full = lm.run(prompt, edits=variant, keep=keep)
        logits = sweep.logits[i]
        log_probs = np.array(full.log_probs()[0])
        assert tiny.agree(logits, full.logits[0]), i
        assert sweep.greedy[i] == logits.argmax()
        assert tiny.agree(sweep.target_log_probs[i], log_probs[list(TARGETS)])
        assert sweep.target_ranks[i].tolist() == [(logits > logits[t]).sum() for t in TARGETS]
        assert tiny.agree(sweep.top_log_probs[i], np.sort(log_probs)[::-1][:4])
        assert tiny.agree(log_probs[sweep.top_tokens[i]], sweep.top_log_probs[i])
        for key, value in full.kept.items():
            own = np.array(canonical(key[0], value)[0, mx.array(at)])
            assert tiny.agree(sweep.kept[key][i], own), (i, key)


# ------------------------------------------------------------------------------------------------------- any variants


@given(
    name=st.sampled_from(MODELS),
    length=st.integers(1, 14),
    variants=st.lists(st.lists(draws, max_size=3), min_size=1, max_size=6),
    keep=st.lists(st.sampled_from(list(SITES)), max_size=3, unique=True),
    at=st.lists(st.integers(0, 99), min_size=1, max_size=3),
    order=st.randoms(use_true_random=False),
)
@example(  # a variant that changes logits before the last position, kept there
    name="llama", length=6, variants=[[Draw("zero", "z", (0,), (1,), None, False, 0)], []], keep=["logits", "final_norm"],
    at=[1, 3, 5], order=None,
)  # fmt: skip
def test_a_sweep_is_full_runs(name, length, variants, keep, at, order):
    lm, prompt = tiny.lm(name), Prompt(tuple(tiny.ids(length, seed=length)))
    variants, at = edits_of(variants, lm, length), list(dict.fromkeys(n % length for n in at))
    if order:
        order.shuffle(at)
    options = {"targets": TARGETS, "top_k": 4, "logits": True, "keep": keep, "at": at}
    clean = lm.run(prompt, keep=[*SWEEPABLE, *keep])
    check(lm.sweep(clean, variants, **options), lm, prompt, variants, keep, at)
    tight = lm.sweep(prompt, variants, memory_budget=tight_budget(lm, prompt, variants, **options), **options)
    check(tight, lm, prompt, variants, keep, at)


@given(
    name=st.sampled_from(MODELS),
    length=st.integers(1, 14),
    variants=st.lists(st.lists(draws, max_size=2), min_size=1, max_size=5),
)
def test_continuations_are_generations(name, length, variants):
    lm, prompt = tiny.lm(name), Prompt(tuple(tiny.ids(length, seed=length)))
    variants = edits_of(variants, lm, length)
    variants += [[add("resid_mid", mx.ones(lm.width), layer=0, position="generated")]]
    expected = [lm.generate(prompt, edits=variant, max_tokens=3) for variant in variants]
    assert lm.sweep(prompt, variants, max_tokens=3).continuations == expected
    budget = tight_budget(lm, prompt, variants, max_tokens=3)
    assert lm.sweep(prompt, variants, max_tokens=3, memory_budget=budget).continuations == expected


@pytest.mark.parametrize("name", MODELS)
def test_caches_are_those_of_a_full_reading(name):
    """Keys and values of every layer and row, to the bit: greedy tokens alone would forgive a small mistake."""
    lm = tiny.lm(name)
    clean = lm.run(tiny.ids(), keep=SWEEPABLE)
    last, middle = lm.n_layers - 1, lm.n_layers // 2
    variants = [
        scale(s, -1.5, layer=i, position=6) for s in ("resid_pre", "v", "z", "mlp_out") for i in {0, middle, last}
    ]
    variants.append(zero("resid_post", layer=last, position=-1))
    job = make_job(lm, clean, variants, max_tokens=2)
    for chunk in job.plan.chunks:
        _, _, caches = run_chunk(lm.family, clean, chunk, job.rows, job.wanted, max_tokens=2)
        for row, i in enumerate(chunk.variants):
            _, full = read(lm.family, [tiny.ids()], [job.rows[i]], lm.dtype)
            for cache, own in zip(caches, full, strict=True):
                assert tiny.agree(cache.keys[row, :, :13], own.keys[0, :, :13])
                assert tiny.agree(cache.values[row, :, :13], own.values[0, :, :13])
                assert cache.offset == 13


# ------------------------------------------------------------------------------------------------------ grids of a paper


def grid(lm, clean, position=-1):
    """Every layer's state at every other layer, every head of every layer gone, and knockouts of every key."""
    n = lm.n_layers
    pairs = [(s, t) for s in range(n) for t in range(n) if s != t]
    patches = [
        [replace("resid_post", clean["resid_post", s][0, position], layer=t, position=position)] for s, t in pairs
    ]
    heads = [[zero("z", layer=i, head=h, position=position)] for i in range(n) for h in range(lm.n_heads)]
    return patches + heads + [[knockout(queries=position, keys=k, layer="all")] for k in range(3)]


@pytest.mark.parametrize("position", [-1, 4])
@pytest.mark.parametrize(
    ("weights", "activations"), [("4bit-bfloat16", "float32"), ("bfloat16", "native"), ("float16", "native")]
)
@pytest.mark.parametrize("name", tiny.FAMILIES)
def test_other_weights_and_activations(name, weights, activations, position):
    """To the bit here too: a sum over keys cut in two would be rounded twice in half precision."""
    lm = tiny.lm(name, weights, activations)
    clean = lm.run(tiny.ids(), keep=SWEEPABLE)
    variants = grid(lm, clean, position)[:: 1 if position == -1 else 3]
    sweep = lm.sweep(clean, variants, logits=True, keep=["resid_post", "k_rot"], at=[4, 12])
    assert sweep["resid_post", 1].dtype == np.float32
    for i, variant in enumerate(variants):
        full = lm.run(tiny.ids(), edits=variant, keep="resid_post.1")
        dtype = full["resid_post", 1].dtype
        assert tiny.agree(sweep.logits[i], np.array(full.logits[0]), dtype), i
        own = np.array(full["resid_post", 1][0, mx.array([4, 12])].astype(mx.float32))
        assert tiny.agree(sweep["resid_post", 1][i], own, dtype)


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_order_and_chunks_do_not_matter(name):
    lm = tiny.lm(name)
    clean = lm.run(tiny.ids(), keep=SWEEPABLE)
    variants = [*grid(lm, clean), *grid(lm, clean, 7)[::2], []]
    once = lm.sweep(clean, variants, logits=True, max_tokens=2)
    shuffled = np.random.default_rng(0).permutation(len(variants))
    small = tight_budget(lm, clean, variants, logits=True, max_tokens=2)
    again = lm.sweep(clean, [variants[i] for i in shuffled], logits=True, max_tokens=2, memory_budget=small)
    assert len(once.plan.chunks) == 2 < len(again.plan.chunks)
    assert tiny.agree(again.logits, once.logits[shuffled])
    assert again.continuations == [once.continuations[i] for i in shuffled]


def test_nothing_that_was_given_is_changed():
    """Not the clean run, not the donors' values, not the model: a second sweep gives the same."""
    lm = tiny.lm("llama")
    clean, donor = lm.run(tiny.ids(), keep=SWEEPABLE), lm.run(tiny.ids(seed=1), keep="resid_post")
    before = {key: mx.array(value) for key, value in (clean.kept | donor.kept).items()}
    variants = [[replace("resid_post", donor["resid_post", 1][0, t], layer=1, position=t)] for t in range(13)]
    first = lm.sweep(clean, variants, logits=True, max_tokens=3)
    second = lm.sweep(clean, variants, logits=True, max_tokens=3)
    assert np.array_equal(first.logits, second.logits)
    assert first.continuations == second.continuations
    assert all(tiny.same(value, before[key]) for key, value in (clean.kept | donor.kept).items())
    assert first.clean is clean


# ---------------------------------------------------------------------------------------------------------- the interface


def test_several_prompts_in_one_call():
    lm = tiny.lm("qwen2")
    prompts = [tiny.ids(5, 1), "The capital is", lm.run(tiny.ids(9, 2), keep=SWEEPABLE)]
    variants = [[zero("z", layer=i, head=h, position=-1) for h in range(i + 1)] for i in range(3)]
    together = lm.sweep(prompts, variants, targets=[4], max_tokens=2)
    for sweep, prompt, own in zip(together, prompts, variants, strict=True):
        alone = lm.sweep(prompt, own, targets=[4], max_tokens=2)
        assert np.array_equal(sweep.target_log_probs, alone.target_log_probs)
        assert sweep.continuations == alone.continuations
        assert len(sweep) == len(own)


def test_states_of_a_clean_run_are_not_held():
    """Sweeps of many prompts would fill the memory; a run that was given is the caller's."""
    sweep = tiny.lm("llama").sweep(tiny.ids(), [[]])
    assert sweep.clean.kept == {}
    assert tiny.same(sweep.clean.logits, tiny.lm("llama").run(tiny.ids()).logits)


@pytest.mark.parametrize("prompt", [[6, 7, 8], (6, 7, 8), mx.array([6, 7, 8]), np.array([6, 7, 8]), Prompt((6, 7, 8))])
def test_one_prompt_may_be_ids(prompt):
    lm = tiny.lm("llama")
    found = lm.sweep(prompt, [zero("z", layer=1, position=-1), []], logits=True)
    assert np.array_equal(found.logits[1], np.array(lm.run([6, 7, 8]).logits[0]))


def test_variants_may_be_single_edits_and_any_iterable():
    lm, one = tiny.lm("llama"), zero("z", layer=1, position=-1)
    expected = lm.sweep(tiny.ids(), [[one], [], [one, one]], logits=True).logits
    found = lm.sweep(tiny.ids(), (v for v in (one, (), iter([one, one]))), logits=True).logits
    assert np.array_equal(found, expected)


def test_variants_that_touch_nothing_cost_nothing():
    lm = tiny.lm("llama")
    plan = lm.plan(tiny.ids(), [[], [], [add("resid_post", mx.ones(64), layer=1, position="generated")]], max_tokens=2)
    assert plan.variant_positions == 0
    assert plan.layer_positions == lm.n_layers * 13
    sweep = lm.sweep(tiny.ids(), [[], []], logits=True)
    assert np.array_equal(sweep.logits, np.array(mx.repeat(lm.run(tiny.ids()).logits, 2, axis=0)))


def test_the_plan_counts_layers_and_positions():
    lm, ids = tiny.lm("llama"), tiny.ids()

    def cost(*edits):
        return lm.plan(ids, [edits]).variant_positions

    state = {"value": mx.ones(64)}
    assert cost(replace("embed", position=0, **state)) == 3 * 13
    assert cost(replace("resid_pre", layer=1, position=-1, **state)) == 2
    assert cost(replace("resid_post", layer=0, position=-1, **state)) == cost(
        replace("resid_pre", layer=1, position=-1, **state)
    )
    assert cost(replace("resid_post", layer=2, position=5, **state)) == 0
    assert cost(replace("logits", 0.0, position=-1)) == 0
    assert 1 < cost(zero("z", layer=1, position=-1)) < 2
    assert cost(zero("q", layer=2, position=[9, 4]), zero("z", layer=1, position=11)) == cost(
        zero("z", layer=1, position=4)
    )
    plan = lm.plan(ids, [zero("q", layer=i, position=-1) for i in range(3)] * 2)
    assert (plan.n_variants, plan.n_tokens, len(plan.chunks)) == (6, 13, 1)
    assert plan.full_positions == 6 * 3 * 13
    assert plan.layer_positions == 3 * 13 + 2 * (3 + 2 + 1)
    assert str(plan).startswith("6 variants of 13 tokens: 51 layer-positions instead of 234 (4.59x fewer), 1 chunk, ")


def test_stop_ends_each_continuation_by_itself():
    lm = tiny.lm("llama")
    variants = grid(lm, lm.run(tiny.ids(), keep=SWEEPABLE))
    texts = [lm.generate(tiny.ids(), edits=v, max_tokens=4).text for v in variants]
    letter = texts[0][:1]
    found = lm.sweep(tiny.ids(), variants, max_tokens=4, stop=lambda text: letter in text)
    expected = [lm.generate(tiny.ids(), edits=v, max_tokens=4, stop=lambda text: letter in text) for v in variants]
    assert found.continuations == expected
    assert {len(g.tokens) for g in expected} > {1}


def test_what_was_not_asked_for_is_an_error_that_says_how_to_ask():
    sweep = tiny.lm("llama").sweep(tiny.ids(), [[]])
    assert sweep.greedy.shape == (1,)
    asked = {"logits": "logits=True", "target_log_probs": "targets=", "target_ranks": "targets=", "top_tokens": "top_k=",
             "top_log_probs": "top_k=", "continuations": "max_tokens="}  # fmt: skip
    for name, keyword in asked.items():
        with pytest.raises(EditError, match=f"ask for it with lm.sweep\\(..., {keyword}"):
            getattr(sweep, name)
    with pytest.raises(UnknownSite, match=r"unknown kept site 'resid_post\.1'"):
        sweep["resid_post", 1]


def test_a_budget_for_one_variant_is_enough_and_less_is_an_error():
    lm = tiny.lm("llama")
    variant = [zero("z", layer=0, position=0)]
    enough = lm.plan(tiny.ids(), [variant]).bytes
    assert len(lm.sweep(tiny.ids(), [variant] * 3, memory_budget=enough).plan.chunks) == 3
    with pytest.raises(
        BudgetError, match=r"a memory budget of .* MiB is too small: about .* for the clean run, and .* for one variant"
    ):
        lm.sweep(tiny.ids(), [variant], memory_budget=enough - 1)


def test_a_bar_shows_progress_only_when_wanted(capsys):
    lm, variants = tiny.lm("llama"), [[zero("z", layer=0, position=0)]] * 3
    lm.sweep(tiny.ids(), variants)
    lm.sweep(tiny.ids(), variants, progress=False)
    assert capsys.readouterr() == ("", "")


def test_the_names_are_public():
    assert assay.SWEEPABLE == SWEEPABLE
    assert assay.Sweep.__name__ == "Sweep"
    assert set(SWEEPABLE) < set(SITES)
