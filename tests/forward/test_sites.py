"""The glossary: what a site is called, its axes, and that a run keeps exactly what its one sentence says."""

import mlx.core as mx
import pytest
import tiny

from assay.errors import LayerError, UnknownSite
from assay.forward.sites import SITES, axes, expand, head_axis, position_axis

IDS = tiny.ids()
every_family = pytest.mark.parametrize("name", [*tiny.FAMILIES, *tiny.ODD])


@every_family
def test_shapes_are_the_axes(name):
    lm = tiny.lm(name)
    f = lm.family
    sizes = {
        "B": 2, "L": 13, "S": 13, "E": 64, "V": tiny.VOCAB, "D": f.head_dim, "H": f.n_heads, "K": f.n_kv_heads,
    }  # fmt: skip
    run = lm.run([IDS, IDS[:4]], keep=SITES)
    assert set(run.kept) == set(expand(SITES, lm.n_layers))
    for (site, _), value in run.kept.items():
        assert value.shape == tuple(sizes[letter] for letter in axes(site).split()), site


@every_family
def test_the_stream_is_the_sum_of_what_is_written(name):
    """In float32 to the bit, in the order of the glossary."""
    lm = tiny.lm(name)
    run = lm.run(IDS, keep=SITES)
    stream = run["embed"]
    for i in range(lm.n_layers):
        assert tiny.same(run["resid_pre", i], stream)
        stream = stream + run["attn_out", i]
        assert tiny.same(run["resid_mid", i], stream)
        stream = stream + run["mlp_out", i]
        assert tiny.same(run["resid_post", i], stream)
    assert tiny.same(lm.family.final_norm(stream), run["final_norm"])
    assert tiny.same(run["logits"][:, -1], run.logits)


@every_family
def test_raw_and_out_differ_by_a_post_norm_in_gemma_only(name):
    run = tiny.lm(name).run(IDS, keep=["attn_raw", "attn_out", "mlp_raw", "mlp_out"])
    for branch in ("attn", "mlp"):
        assert tiny.same(run[f"{branch}_raw", 0], run[f"{branch}_out", 0]) != name.startswith("gemma")


@every_family
def test_inside_attention(name):
    """q, k, v -> rotary -> scores -> pattern -> z, recomputed by hand from what was kept."""
    lm, f = tiny.lm(name), tiny.lm(name).family
    run = lm.run(IDS, keep=["q", "k", "v", "q_rot", "k_rot", "scores", "pattern", "z"])
    for i, layer in enumerate(f.layers):
        attn, r = layer.self_attn, f.n_heads // f.n_kv_heads
        assert tiny.same(run["q_rot", i], attn.rope(run["q", i]))
        assert tiny.same(run["k_rot", i], attn.rope(run["k", i]))
        keys, values = (mx.repeat(run[site, i], r, axis=1) for site in ("k_rot", "v"))
        scores = attn.scale * run["q_rot", i] @ keys.swapaxes(-1, -2)
        if name == "gemma2":
            scores = mx.tanh(scores / 5) * 5
        seen = run["pattern", i] > 0
        assert tiny.difference(mx.where(seen, run["scores", i], 0), mx.where(seen, scores, 0)) < 1e-5
        assert tiny.difference(run["pattern", i], mx.softmax(run["scores", i], axis=-1)) < 1e-6
        assert tiny.difference(run["z", i].swapaxes(1, 2), run["pattern", i] @ values) < 1e-5


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("resid_post", [("resid_post", 0), ("resid_post", 1), ("resid_post", 2)]),
        ("z.1", [("z", 1)]),
        ("z.-1", [("z", 2)]),
        (["logits", "embed"], [("logits", None), ("embed", None)]),
        ([("pattern", 2), "z.0", "z.0"], [("pattern", 2), ("z", 0)]),
        (("q.0", "k.0"), [("q", 0), ("k", 0)]),
        ([("z", None)], [("z", 0), ("z", 1), ("z", 2)]),
        ([], []),
    ],
)
def test_keys(keep, expected):
    assert expand(keep, n_layers=3) == expected


@pytest.mark.parametrize(
    ("keep", "error", "message"),
    [
        ("resid_pots", UnknownSite, "Did you mean resid_post"),
        ("patern.2", UnknownSite, "Did you mean pattern"),
        ("Z", UnknownSite, "Did you mean z"),
        ("z.3", LayerError, "layer 3 is out of range: this model has layers 0 to 2"),
        ([("z", -4)], LayerError, "layer -4 is out of range"),
        ("z.one", LayerError, "cannot read a layer from 'z.one'"),
        ([("z", True)], LayerError, "a layer is a whole number, got True"),
        ([("z", 1.0)], LayerError, "a layer is a whole number"),
        ("logits.2", LayerError, "'logits' is outside the layers"),
        ([3], UnknownSite, r"a site is written 'z', 'z.3' or \('z', 3\), got 3"),
        (3, UnknownSite, "got 3"),
        (("z", 1), UnknownSite, "got 1"),
    ],
)
def test_bad_keys(keep, error, message):
    with pytest.raises(error, match=message):
        expand(keep, n_layers=3)


def test_axes():
    assert [(s, position_axis(s), head_axis(s)) for s in ("resid_post", "q", "z", "pattern")] == [
        ("resid_post", 1, None), ("q", 2, 1), ("z", 1, 2), ("pattern", 2, 1),
    ]  # fmt: skip


def test_what_was_not_kept_is_not_made_up():
    run = tiny.lm("llama").run(IDS, keep="resid_post.1")
    assert ("resid_post", 1) in run
    assert "embed" not in run
    with pytest.raises(UnknownSite, match=r"unknown kept site 'resid_post.2'. Did you mean resid_post.1"):
        run["resid_post", 2]
    with pytest.raises(UnknownSite, match="Did you mean resid_post"):
        run["resid_pots", 1]


def test_kept_values_are_not_views():
    """A kept value is its own array, evaluated and contiguous; changing it changes no other run."""
    lm = tiny.lm("llama")
    run = lm.run(IDS, keep=["resid_post", "q", "z"])
    before = mx.array(run["resid_post", 0])
    changed = run["q", 0]
    changed *= 2
    assert tiny.same(lm.run(IDS, keep="resid_post")["resid_post", 0], before)
    assert tiny.same(run["resid_post", 0], before)
