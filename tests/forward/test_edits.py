"""Every edit does what its name says, and nothing else: each is compared with a few lines of plain mlx.

Edits of the stream are compared with `plain`, a loop over mlx-lm's own modules. Edits inside attention and MLP are
compared with a model whose weights were changed to the same effect. All in float32 on the CPU, where the same operations
give the same bits.
"""

import mlx.core as mx
import numpy as np
import pytest
import tiny
from plain import causal, head, plain, window_of

from assay.forward import edits
from assay.forward.arithmetic import machine
from assay.forward.edits import Edit, ablate, add, apply, knockout, project_out, replace, scale, set_pattern, zero
from assay.forward.positions import text
from assay.forward.sites import SITES, canonical

IDS = tiny.ids()  # 13 tokens
LAYER = 1
EDITABLE = [name for name, site in SITES.items() if site.editable]
every_family = pytest.mark.parametrize("name", tiny.FAMILIES)


def layer_of(site: str) -> int | None:
    return LAYER if SITES[site].per_layer else None


def random(*shape: int, seed: int = 0) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


def logits(lm, *changes: Edit, tokens=IDS) -> mx.array:
    """Logits of all positions [L, V]."""
    return lm.run(tokens, keep="logits", edits=changes)["logits"][0]


# --------------------------------------------------------------------- edits of the stream, against a loop of modules

STREAM = ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")
POSITIONS = {
    "one": (6, [6]),
    "from the end": (-2, [11]),
    "several, in any order": ([9, 3], [9, 3]),
    "range": (range(4, 8), [4, 5, 6, 7]),
    "array": (np.array([2, 5]), [2, 5]),
    "prompt": ("prompt", list(range(13))),
    "all": ("all", list(range(13))),
}
V = random(64)
U = V / mx.sqrt((V * V).sum())
OPERATIONS = {
    "replace": (lambda site, at: replace(site, V, layer=LAYER, position=at), lambda x: mx.broadcast_to(V, x.shape)),
    "add": (lambda site, at: add(site, V, layer=LAYER, position=at, scale=3.0), lambda x: x + V * 3.0),
    "scale": (lambda site, at: scale(site, -1.5, layer=LAYER, position=at), lambda x: x * -1.5),
    "zero": (lambda site, at: zero(site, layer=LAYER, position=at), lambda x: mx.zeros_like(x)),
    "project_out": (
        lambda site, at: project_out(site, 7 * V, layer=LAYER, position=at),
        lambda x: x - (x * U).sum(axis=-1, keepdims=True) * U,
    ),
    "apply": (lambda site, at: apply(site, mx.tanh, layer=LAYER, position=at), mx.tanh),
}


def by_hand(site, rows, function):
    """`change` of `plain`: the function at some rows of a site in layer 1."""

    def change(name, i, x):
        if (name, i) != (site, LAYER):
            return x
        chosen = mx.array([t in rows for t in range(x.shape[1])])[None, :, None]
        return mx.where(chosen, function(x), x)

    return change


@every_family
def test_the_oracle_is_the_model(name):
    assert tiny.difference(plain(tiny.model(name), IDS), logits(tiny.lm(name))) < 1e-6


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("site", STREAM)
@every_family
def test_operations_on_the_stream(name, site, operation):
    edit, function = OPERATIONS[operation]
    expected = plain(tiny.model(name), IDS, by_hand(site, [9, 3], function))
    assert tiny.difference(logits(tiny.lm(name), edit(site, [9, 3])), expected) < 1e-5


@pytest.mark.parametrize("where", POSITIONS)
def test_positions(where):
    given, rows = POSITIONS[where]
    edit, function = OPERATIONS["add"]
    expected = plain(tiny.model("qwen2"), IDS, by_hand("resid_mid", rows, function))
    assert tiny.difference(logits(tiny.lm("qwen2"), edit("resid_mid", given)), expected) < 1e-5


@every_family
def test_directional_ablation_is_a_loop_over_the_layers(name):
    def change(site, i, x):
        return x - (x * U).sum(axis=-1, keepdims=True) * U if site.startswith("resid") else x

    found = logits(tiny.lm(name), ablate(5 * V))
    assert tiny.difference(found, plain(tiny.model(name), IDS, change)) < 1e-5
    run = tiny.lm(name).run(IDS, keep=["resid_pre", "resid_mid", "resid_post"], edits=[ablate(V)])
    assert max(mx.abs(x @ U).max().item() / mx.abs(x).max().item() for x in run.kept.values()) < 1e-6


def test_layers_may_be_several_or_all():
    lm = tiny.lm("llama")
    one_by_one = [scale("mlp_out", 0.5, layer=i, position=4) for i in range(lm.n_layers)]
    assert tiny.same(logits(lm, scale("mlp_out", 0.5, layer="all", position=4)), logits(lm, *one_by_one))
    assert tiny.same(
        logits(lm, scale("mlp_out", 0.5, layer=[0, -1], position=4)), logits(lm, one_by_one[0], one_by_one[2])
    )


# ------------------------------------------------------------------ edits inside a layer, against changed weights


def changed(name, change):
    """Logits of a copy of a model after `change(layer)`."""
    model = tiny.build(name)
    change(model.model.layers[LAYER])
    return model(mx.array([IDS]))[0]


def zero_rows(layer, which: str, head: int, lm) -> None:
    """Zero what makes one head of q, k or v: rows of its projection, and of its bias."""
    f, attn = lm.family, layer.self_attn
    first, projection = 0, attn.get(f"{which}_proj")
    if projection is None:  # phi3: q, k and v in one matrix
        projection = attn.qkv_proj
        first = {"q": 0, "k": f.n_heads, "v": f.n_heads + f.n_kv_heads}[which]
    rows = slice((first + head) * f.head_dim, (first + head + 1) * f.head_dim)
    for parameter in ("weight", "bias"):
        if parameter in projection:
            projection[parameter][rows] = 0


@pytest.mark.parametrize("number", [0, 3])
@every_family
def test_zeroing_a_head_is_zeroing_its_columns_of_o_proj(name, number):
    D = tiny.lm(name).family.head_dim

    def change(layer):
        layer.self_attn.o_proj.weight[:, number * D : (number + 1) * D] = 0

    assert tiny.same(logits(tiny.lm(name), zero("z", layer=LAYER, head=number, position="all")), changed(name, change))


@pytest.mark.parametrize("site", ["attn_raw", "attn_out"])
@every_family
def test_zeroing_attention_is_zeroing_o_proj(name, site):
    def change(layer):
        layer.self_attn.o_proj.weight = mx.zeros_like(layer.self_attn.o_proj.weight)

    assert tiny.same(logits(tiny.lm(name), zero(site, layer=LAYER, position="all")), changed(name, change))


@pytest.mark.parametrize("site", ["mlp_raw", "mlp_out"])
@every_family
def test_zeroing_the_mlp_is_zeroing_down_proj(name, site):
    def change(layer):
        layer.mlp.down_proj.weight = mx.zeros_like(layer.mlp.down_proj.weight)

    assert tiny.same(logits(tiny.lm(name), zero(site, layer=LAYER, position="all")), changed(name, change))


@pytest.mark.parametrize(("site", "which"), [("q", "q"), ("q_rot", "q"), ("k", "k"), ("k_rot", "k"), ("v", "v")])
@every_family
def test_zeroing_queries_keys_or_values_is_zeroing_their_rows(name, site, which):
    lm = tiny.lm(name)
    found = logits(lm, zero(site, layer=LAYER, head=1, position="all"))
    assert tiny.agree(found, changed(name, lambda layer: zero_rows(layer, which, 1, lm)))


@every_family
def test_scaling_raw_outputs_is_scaling_weights(name):
    """Before a post-norm a scale has next to no effect, after it all of it: raw and out are different places."""

    def change(layer):
        layer.self_attn.o_proj.weight = layer.self_attn.o_proj.weight * 2
        layer.mlp.down_proj.weight = layer.mlp.down_proj.weight * 2

    raw = [scale(site, 2.0, layer=LAYER, position="all") for site in ("attn_raw", "mlp_raw")]
    out = [scale(site, 2.0, layer=LAYER, position="all") for site in ("attn_out", "mlp_out")]
    expected = changed(name, change)
    assert tiny.same(logits(tiny.lm(name), *raw), expected)
    assert tiny.same(logits(tiny.lm(name), *out), expected) != name.startswith("gemma")


@every_family
def test_other_tokens_embeddings_are_other_tokens(name):
    lm, other = tiny.lm(name), [*IDS[:4], 99, *IDS[5:]]
    given = lm.run(other, keep="embed")["embed"][0, 4]
    assert tiny.same(logits(lm, replace("embed", given, position=4)), logits(lm, tokens=other))


@pytest.mark.parametrize("site", ["resid_pre", "resid_mid", "resid_post"])
@every_family
def test_a_whole_stream_from_a_donor_makes_the_donors_run(name, site):
    lm, other = tiny.lm(name), tiny.ids(seed=1)
    donor = lm.run(other, keep=site)
    assert tiny.same(logits(lm, edits.resample(site, donor, layer=LAYER, position="all")), logits(lm, tokens=other))


@every_family
def test_final_norm_and_logits(name):
    lm, model = tiny.lm(name), tiny.model(name)
    own = logits(lm)
    found = logits(lm, replace("final_norm", V, position=-1))
    assert tiny.agree(found[-1:], head(model, V[None]))
    assert tiny.same(found[:-1], own[:-1])
    bonus = random(tiny.VOCAB)
    assert tiny.same(
        logits(lm, add("logits", bonus, position=[2, -1]))[mx.array([2, 12])], own[mx.array([2, 12])] + bonus
    )


# ------------------------------------------------------------------------------------- attention: pattern, scores, heads


@every_family
def test_looking_at_position_0_only_gives_its_values(name):
    lm = tiny.lm(name)
    H, r = lm.n_heads, lm.n_heads // lm.family.n_kv_heads
    at_0 = mx.broadcast_to(mx.arange(13) == 0, (H, 13)).astype(mx.float32)
    value = mx.repeat(lm.run(IDS, keep="v")["v", LAYER][0, :, 0], r, axis=0)  # [H, D]
    found = logits(lm, set_pattern(at_0, layer=LAYER, position="all"))
    assert tiny.difference(found, logits(lm, replace("z", value, layer=LAYER, position="all"))) < 1e-5


@every_family
def test_a_pattern_weighs_the_values_of_its_group(name):
    lm = tiny.lm(name)
    row = mx.softmax(random(13))
    edit = set_pattern(row, layer=LAYER, head=2, position=7)
    run = lm.run(IDS, keep=["v", "z", "pattern"], edits=[edit])
    k = 2 // (lm.n_heads // lm.family.n_kv_heads)
    assert tiny.same(run["pattern", LAYER][0, 2, 7], row)
    assert tiny.difference(run["z", LAYER][0, 7, 2], row @ run["v", LAYER][0, k]) < 1e-6


@every_family
def test_scores_come_before_the_softmax(name):
    lm = tiny.lm(name)
    nudge = random(13)
    run = lm.run(IDS, keep=["scores", "pattern"], edits=[add("scores", nudge, layer=LAYER, head=1, position=12)])
    own = lm.run(IDS, keep="scores")["scores", LAYER]
    assert tiny.difference(run["pattern", LAYER][0, 1, 12], mx.softmax(own[0, 1, 12] + nudge)) < 1e-6
    assert tiny.same(run["scores", LAYER][0, 0], own[0, 0])


@pytest.mark.parametrize("factor", [0.0, -1.0, 3.0])
@every_family
def test_edits_of_scores_leave_the_mask(name, factor):
    """Scores of zero are even weights on what a query may see; turned around, they still show it nothing else."""
    lm, edit = tiny.lm(name), scale("scores", factor, layer=LAYER, position="all")
    own = lm.run(IDS, keep="scores")["scores", LAYER]
    run = lm.run([IDS, IDS[:6]], keep="pattern", edits=[edit])
    expected = mx.softmax(mx.where(own > mx.finfo(mx.float32).min, own * factor, -float("inf")), axis=-1)
    assert tiny.difference(run["pattern", LAYER][0], expected[0]) < 1e-5
    assert tiny.agree(run.logits[1], lm.run(IDS[:6], edits=[edit]).logits[0])


@every_family
def test_masked_scores_have_no_weight(name):
    lm = tiny.lm(name)
    run = lm.run(IDS, keep=["scores", "pattern"])
    for i, layer in enumerate(tiny.model(name).model.layers):
        seen = causal(13, window_of(layer))
        assert ((run["pattern", i] > 0) == seen).all()
        assert ((run["scores", i] == mx.finfo(mx.float32).min) == ~seen).all()
        assert mx.allclose(run["pattern", i].sum(axis=-1), mx.ones(()), atol=1e-6)


@pytest.mark.parametrize(("queries", "keys"), [(-1, [2]), ([5, 11], [5, 3, 4]), ("all", 0), (9, range(9))])
@every_family
def test_knockout_is_a_mask(name, queries, keys):
    q = list(range(13)) if queries == "all" else [t % 13 for t in np.atleast_1d(queries).tolist()]
    hidden = np.zeros((3, 13, 13), bool)
    hidden[np.ix_([0, 2], q, np.atleast_1d(keys))] = True
    found = logits(tiny.lm(name), knockout(queries=queries, keys=keys, layer=[0, 2]))
    assert tiny.difference(found, plain(tiny.model(name), IDS, hidden=mx.array(hidden))) < 1e-5


@every_family
def test_a_query_left_without_keys_looks_at_them_evenly(name):
    """And not at later tokens, nor at the padding of a batch."""
    lm = tiny.lm(name)
    edit = knockout(queries=[0, 4], keys="all", layer=LAYER)
    run = lm.run([IDS[:6], IDS], keep="pattern", edits=[edit])
    for t in (0, 4):
        assert tiny.difference(run["pattern", LAYER][0, 0, t, : t + 1], mx.full((t + 1,), 1 / (t + 1))) < 1e-6
        assert (run["pattern", LAYER][0, 0, t, t + 1 :] == 0).all()
    assert tiny.agree(run.logits[0], lm.run(IDS[:6], edits=[edit]).logits[0])


@every_family
def test_knockout_of_one_head(name):
    lm = tiny.lm(name)
    clean = lm.run(IDS, keep="pattern")["pattern", LAYER]
    run = lm.run(IDS, keep="pattern", edits=[knockout(queries=12, keys=[9, 12], layer=LAYER, head=2)])["pattern", LAYER]
    rest = mx.array([0 if t in (9, 12) else 1 for t in range(13)]) * clean[0, 2, 12]
    assert tiny.difference(run[0, 2, 12], rest / rest.sum()) < 1e-5
    assert tiny.same(run[:, [0, 1, 3]], clean[:, [0, 1, 3]])
    assert tiny.same(run[:, 2, :12], clean[:, 2, :12])


@pytest.mark.parametrize("site", ["k", "v", "k_rot"])
@every_family
def test_a_key_head_moves_its_own_query_heads(name, site):
    lm = tiny.lm(name)
    clean = lm.run(IDS, keep="z")["z", LAYER]
    moved = lm.run(IDS, keep="z", edits=[scale(site, 2.0, layer=LAYER, head=1, position="all")])["z", LAYER]
    r = lm.n_heads // lm.family.n_kv_heads
    assert [not tiny.agree(moved[:, :, h], clean[:, :, h]) for h in range(lm.n_heads)] == [
        h // r == 1 for h in range(lm.n_heads)
    ]


@pytest.mark.parametrize("weights", ["float32", "4bit-bfloat16"])
@pytest.mark.parametrize("name", [*tiny.FAMILIES, "llama_bias"])
def test_head_outputs_sum_to_the_attention_output(name, weights):
    lm = tiny.lm(name, weights)
    run = lm.run(IDS, keep=["head_out", "attn_raw"])
    for i, layer in enumerate(tiny.model(name, weights).model.layers):
        total = run["head_out", i].sum(axis=2) + layer.self_attn.o_proj.get("bias", 0.0)
        assert tiny.difference(total, run["attn_raw", i]) < 1e-5


# --------------------------------------------------------------------------------------------- which heads, which values


def test_rows_follow_the_order_of_positions_and_heads():
    lm = tiny.lm("llama")
    rows = random(2, 2, 16)
    edit = replace("z", rows, layer=LAYER, position=[9, 3], head=[3, 1])
    z, clean = lm.run(IDS, keep="z", edits=[edit])["z", LAYER][0], lm.run(IDS, keep="z")["z", LAYER][0]
    for p, t in enumerate([9, 3]):
        for n, h in enumerate([3, 1]):
            assert tiny.same(z[t, h], rows[p, n])
            clean[t, h] = rows[p, n]
    assert tiny.same(z, clean)


@pytest.mark.parametrize("site", ["q", "k", "v", "q_rot", "k_rot", "z"])
def test_an_edit_of_one_head_leaves_the_others(site):
    lm = tiny.lm("gemma2")
    run, clean = (
        lm.run(IDS, keep=site, edits=e)[site, LAYER] for e in ([zero(site, layer=LAYER, head=1, position=5)], [])
    )
    axis = 2 if site == "z" else 1
    other = [h for h in range(clean.shape[axis]) if h != 1]
    assert tiny.same(mx.take(run, mx.array(other), axis=axis), mx.take(clean, mx.array(other), axis=axis))
    touched = run[0, 5, 1] if site == "z" else run[0, 1, 5]
    assert (touched == 0).all()


def test_each_vector_of_a_direction_is_projected_out_by_itself():
    lm = tiny.lm("llama")
    per_position, per_head = random(2, 64), random(4, 16)
    x = lm.run(IDS, keep="mlp_out", edits=[project_out("mlp_out", per_position, layer=LAYER, position=[9, 3])])
    for row, t in enumerate([9, 3]):
        assert abs((x["mlp_out", LAYER][0, t] @ per_position[row]).item()) < 1e-4
    z = lm.run(IDS, keep="z", edits=[project_out("z", per_head, layer=LAYER, position=5)])["z", LAYER][0, 5]
    assert mx.abs((z * per_head).sum(axis=-1)).max().item() < 1e-4


def test_edits_of_one_place_act_in_order():
    lm = tiny.lm("llama")
    here = {"layer": LAYER, "position": 5}
    first = lm.run(IDS, keep="attn_out", edits=[replace("attn_out", V, **here), scale("attn_out", 3.0, **here)])
    then = lm.run(IDS, keep="attn_out", edits=[scale("attn_out", 3.0, **here), replace("attn_out", V, **here)])
    assert tiny.same(first["attn_out", LAYER][0, 5], V * 3)
    assert tiny.same(then["attn_out", LAYER][0, 5], V)


def test_an_edit_keeps_its_value():
    """mlx arrays change in place (`v *= 2`): an edit made before must not change with them."""
    value = mx.ones(64)
    edit = replace("resid_post", value, layer=LAYER, position=5)
    value *= 5
    assert (tiny.lm("llama").run(IDS, keep="resid_post", edits=[edit])["resid_post", LAYER][0, 5] == 1).all()


def test_a_function_sees_the_selected_positions_and_cannot_touch_the_others():
    lm, seen = tiny.lm("llama"), []

    def greedy(x):
        seen.append(x.shape)
        x[:] = x.mean(axis=1, keepdims=True)  # in place, over positions
        return x

    run = lm.run(IDS, keep="resid_mid", edits=[apply("resid_mid", greedy, layer=LAYER, position=[9, 3])])
    clean = lm.run(IDS, keep="resid_mid")["resid_mid", LAYER][0]
    assert seen == [(1, 2, 64)]
    mean = (clean[9] + clean[3]) / 2
    assert tiny.difference(run["resid_mid", LAYER][0, mx.array([3, 9])], mx.stack([mean, mean])) < 1e-6
    kept = mx.array([t for t in range(13) if t not in (3, 9)])
    assert tiny.same(run["resid_mid", LAYER][0, kept], clean[kept])


# -------------------------------------------------------------------------------------------------- values from other runs


@pytest.mark.parametrize("site", ["resid_post", "z", "q", "k_rot", "mlp_raw", "embed"])
def test_the_mean_is_over_real_tokens(site):
    """A sample of prompts of different lengths: padding is no token, and the heads of q, k and v are no positions."""
    lm, layer = tiny.lm("llama"), layer_of(site)
    prompts = [tiny.ids(13, 1), tiny.ids(5, 2), tiny.ids(8, 3)]

    def rows(tokens):
        value = lm.run(tokens, keep=site)[site, layer][0]
        return value.swapaxes(0, 1) if site in ("q", "k_rot") else value

    mean = mx.concatenate([rows(tokens) for tokens in prompts]).mean(axis=0)
    sample = lm.run(prompts, keep=site)
    found = lm.run(IDS, keep=site, edits=[edits.mean_ablate(site, sample, layer=layer, position=5)])[site, layer][0]
    assert tiny.difference(found[:, 5] if site in ("q", "k_rot") else found[5], mean) < 1e-6


def test_the_mean_of_one_head_at_the_last_position():
    lm, prompts = tiny.lm("llama"), [tiny.ids(13, 1), tiny.ids(5, 2)]
    sample = lm.run(prompts, keep="z")
    edit = edits.mean_ablate("z", sample, layer=LAYER, head=2, position=5, over=-1)
    mean = (lm.run(prompts[0], keep="z")["z", LAYER][0, -1] + lm.run(prompts[1], keep="z")["z", LAYER][0, -1]) / 2
    z, clean = lm.run(IDS, keep="z", edits=[edit])["z", LAYER], lm.run(IDS, keep="z")["z", LAYER]
    assert tiny.difference(z[0, 5, 2], mean[2]) < (1e-6 if machine().rows else tiny.ROUNDING[mx.float32])
    assert tiny.agree(z[0, 5, [0, 1, 3]], clean[0, 5, [0, 1, 3]])


@pytest.mark.parametrize(("site", "number"), [("resid_post", None), ("z", None), ("z", 2), ("q", None), ("q", 2)])
def test_resampling_finds_the_same_text_in_the_donor(site, number):
    lm = tiny.lm("llama")
    donor = lm.run("Alas, the state of things in the city of Dallas is so", keep=site)
    edit = edits.resample(site, donor, layer=LAYER, position=text("Dallas", whole=True), head=number)
    run = lm.run(tiny.TEXT, keep=site, edits=[edit])

    def values(run):
        start = run.prompts[0].text.index("Dallas")
        where = [i for i, (a, b) in enumerate(run.prompts[0].spans) if b > start and a < start + 6]
        value = run[site, LAYER][0].swapaxes(0, 1) if site == "q" else run[site, LAYER][0]
        return value[mx.array(where)] if number is None else value[mx.array(where)][:, number]

    assert values(donor).shape[0] > 1
    assert tiny.same(values(run), values(donor))


# ------------------------------------------------------------------------------------------------ what must not change


@pytest.mark.parametrize(
    ("weights", "activations"), [("float32", "float32"), ("bfloat16", "native"), ("4bit-bfloat16", "native")]
)
@every_family
def test_idle_edits_change_no_bit(name, weights, activations):
    """At every site: adding nothing, scaling by one, and putting back what was there (as float32: the cast is undone)."""
    lm = tiny.lm(name, weights, activations)
    run = lm.run(IDS, keep=EDITABLE)
    changes = []
    for site in EDITABLE:
        own = canonical(site, run[site, layer_of(site)])[0].astype(mx.float32)
        here = {"layer": layer_of(site), "position": "all"}
        changes += [
            replace(site, own, **here),
            add(site, mx.ones(own.shape[1:]), scale=0.0, **here),
            scale(site, 1.0, **here),
        ]
    again = lm.run(IDS, keep=EDITABLE, edits=changes)
    assert tiny.same(again.logits, run.logits)
    assert all(tiny.same(again.kept[key], run.kept[key]) for key in run.kept)


def comes_before(key, layer: int | None) -> bool:
    """Whether a key lies in a layer before `layer`."""
    return layer is not None and (key[0] == "embed" or (key[1] is not None and key[1] < layer))


@pytest.mark.parametrize("site", EDITABLE)
@pytest.mark.parametrize("name", ["llama", "gemma3_text"])
def test_nothing_moves_before_the_edit(name, site):
    """Not at earlier positions, not in earlier layers; and later, something does."""
    lm, layer = tiny.lm(name), layer_of(site)
    clean = lm.run(IDS, keep=SITES)
    edited = lm.run(IDS, keep=SITES, edits=[apply(site, lambda x: x * 0.5 + 0.1, layer=layer, position=6)])
    for key in clean.kept:
        a, b = (canonical(key[0], run.kept[key]) for run in (edited, clean))
        assert tiny.agree(a[:, :6], b[:, :6]), key
        if (site in ("final_norm", "logits") and key[1] is not None) or (
            layer and (key[0] == "embed" or (key[1] or layer) < layer)
        ):
            assert tiny.agree(a, b), key
    assert not tiny.same(edited.kept[site, layer], clean.kept[site, layer])
    assert not tiny.agree(edited.kept["logits", None], clean.kept["logits", None])


def test_an_edit_does_not_change_the_type_of_the_stream():
    lm = tiny.lm("llama", "bfloat16", "native")
    vector = random(64) * 0.01
    run = lm.run(IDS, keep=SITES, edits=[add("resid_post", vector, layer=0, position="all")])
    own = lm.run(IDS, keep="resid_post")["resid_post", 0]
    assert {value.dtype for value in run.kept.values()} == {mx.bfloat16}
    assert tiny.same(run["resid_post", 0], (own + vector).astype(mx.bfloat16))


@every_family
def test_a_batch_under_edits_is_each_prompt_alone(name):
    lm = tiny.lm(name)
    prompts = ["The state is Dallas, Dallas is", "Dallas", "The capital of the state containing Dallas is"]
    changes = [
        replace("resid_post", V, layer=0, position=text("Dallas", occurrence=-1)),
        zero("z", layer=1, head=2, position=-1),
        ablate(V, layers=[1, 2]),
        knockout(queries=-1, keys=0, layer=2),
        apply("mlp_out", lambda x: x - x.mean(axis=1, keepdims=True), layer=0, position="all"),
    ]
    batch = lm.run(prompts, keep=SITES, edits=changes)
    for row, prompt in enumerate(prompts):
        alone = lm.run(prompt, keep=SITES, edits=changes)
        assert tiny.agree(batch.logits[row], alone.logits[0])
        for key, value in alone.kept.items():
            together = canonical(key[0], batch.kept[key])[row, : alone.lengths[0]]
            if key[0] in ("scores", "pattern"):
                together = together[..., : alone.lengths[0]]
            assert tiny.agree(together, canonical(key[0], value)[0]), key
