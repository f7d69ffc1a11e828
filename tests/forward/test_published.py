"""What the published model computes and mlx-lm does not: windows, rotations, activations and softcaps, in every kind of pass.

The oracle is mlx-lm's own modules, called by hand with the published mask, rotation or activation in place (`plain.py`).
"""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
import tiny
from plain import plain

import assay
from assay.forward.families.follow import follow, rotation
from assay.forward.lm import LM
from assay.models.config import published

LENGTH, WINDOW = 2 * tiny.WINDOW + 1, tiny.WINDOW
LAYERS = tiny.COMMON["num_hidden_layers"]

# family -> what its config.json adds, all of which mlx-lm leaves out
OURS = {
    "gemma2": {"sliding_window": WINDOW},
    "mistral": {"sliding_window": WINDOW},
    "phi3": {"sliding_window": WINDOW},
    "qwen2": {"sliding_window": WINDOW, "use_sliding_window": True, "max_window_layers": 1},
    "qwen3": {"sliding_window": WINDOW, "use_sliding_window": True, "max_window_layers": 2},
    "gemma3_text": {"layer_types": ["full_attention", "sliding_attention", "sliding_attention"]},
    "llama": {"rope_scaling": {"rope_type": "longrope", "short_factor": [1.5] * 8, "long_factor": [9.0] * 8,
                               "original_max_position_embeddings": 64}, "max_position_embeddings": 256},
}  # fmt: skip


def made(name: str, **changes) -> LM:
    """A tiny model of a family as published, with keys over its config."""
    own = {"rope_scaling": None, **{k: v for k, v in tiny.FAMILIES[name].items() if k != "rope_scaling"}}
    config = {"model_type": name, **tiny.COMMON, **own, "tie_word_embeddings": "tie_word_embeddings" not in own
              or own["tie_word_embeddings"], **changes}  # fmt: skip
    meant = published(config)
    built = tiny.build(name, **meant.for_mlx_lm)
    return LM(built, tiny.tokenizer(), name=name, published=meant)


@pytest.fixture(scope="module", params=OURS)
def lm(request) -> LM:
    return made(request.param, **OURS[request.param])


def by_hand(lm: LM, ids: list[int]) -> mx.array:
    """[L, V]: mlx-lm's modules with the published rotation in place, under the published windows."""
    hidden = mx.stack([
        mx.arange(len(ids))[None] <= mx.arange(len(ids))[:, None] - (window or len(ids)) for window in lm.family.windows
    ])  # fmt: skip
    before = [layer.self_attn.rope for layer in lm.family.layers]
    try:
        for layer, rotate in zip(lm.family.layers, lm.family.rotations, strict=True):
            layer.self_attn.rope = rotate
        for layer in lm.family.layers:
            layer.use_sliding = layer.self_attn.is_sliding = False  # the mask says what a query sees
        return plain(lm.model, ids, hidden=hidden)
    finally:
        for layer, rope in zip(lm.family.layers, before, strict=True):
            layer.self_attn.rope = rope


def close(a, b) -> bool:
    return tiny.difference(mx.array(np.asarray(a)), mx.array(np.asarray(b))) < 1e-5


def test_something_is_ours(lm):
    assert lm.family.ours


@pytest.mark.parametrize("length", [1, WINDOW, WINDOW + 1, LENGTH])
def test_a_run_is_the_published_model(lm, length):
    ids = tiny.ids(length)
    logits = lm.run(ids, keep="logits")["logits", None][0]
    assert close(logits, by_hand(lm, ids))
    theirs = lm.model(mx.array([ids]))[0]
    if length == LENGTH:
        assert not close(logits, theirs), "mlx-lm's model is another one"


def test_the_doctor_says_what_is_ours(lm):
    report = lm.doctor()
    assert report.ok
    assert report.ours == lm.family.ours
    assert f"as published: {lm.family.ours[0]}" in str(report)


def test_caches_and_batches(lm):
    prompts = [tiny.ids(LENGTH), tiny.ids(3, seed=1), tiny.ids(WINDOW + 2, seed=2)]
    together = lm.generate(prompts, max_tokens=5)
    for ids, one in zip(prompts, together, strict=True):
        text = list(ids)
        for _ in range(5):
            token = int(by_hand(lm, text)[-1].argmax())
            if token in lm.end_tokens:
                break
            text.append(token)
        assert list(one.tokens) == text[len(ids) :]


@pytest.mark.parametrize("position", [2, WINDOW + 2, LENGTH - 1])
def test_a_sweep_is_full_runs(lm, position):
    ids = tiny.ids(LENGTH)
    clean = lm.run(ids, keep=assay.SWEEPABLE)
    patches = [
        assay.replace("resid_post", clean["resid_post", source][0, -1], layer=target, position=position)
        for source in range(LAYERS)
        for target in range(LAYERS)
    ]
    swept = lm.sweep(clean, patches, logits=True, max_tokens=2)
    for i, patch in enumerate(patches):
        assert close(swept.logits[i], lm.run(ids, edits=[patch]).logits[0])
    # the oracle: one of them by hand
    own = clean["resid_post", 2][0, -1]
    change = lambda site, i, x: x.at[:, position].add(own - x[:, position]) if (site, i) == ("resid_post", 0) else x  # noqa: E731
    hidden = mx.stack([
        mx.arange(LENGTH)[None] <= mx.arange(LENGTH)[:, None] - (w or LENGTH) for w in lm.family.windows
    ])  # fmt: skip
    if all(a is layer.self_attn.rope for a, layer in zip(lm.family.rotations, lm.family.layers, strict=True)):
        assert close(swept.logits[2 * LAYERS], plain(lm.model, ids, change, hidden)[-1])


@pytest.mark.parametrize(
    ("name", "by"), {"gelu": nn.gelu, "relu": nn.relu, "gelu_pytorch_tanh": nn.gelu_approx}.items()
)
@pytest.mark.parametrize("family", ["llama", "phi3", "gemma2"])
def test_activations(family, name, by):
    key = "hidden_activation" if family == "gemma2" else "hidden_act"
    lm = made(family, **{key: name})
    ids = tiny.ids(5)
    if family != "gemma2" or name != "gelu_pytorch_tanh":
        assert lm.family.ours
    run = lm.run(ids, keep=["mlp_raw", "resid_mid"])
    for i in range(LAYERS):
        gate, up = lm.family.gate_up(i, lm.family.mlp_reads(i, run["resid_mid", i]))
        assert close(run["mlp_raw", i], lm.family.down(i)(by(gate) * up))
    lm.doctor()
    patch = assay.zero("attn_out", layer=1, position=-1)
    assert close(lm.sweep(ids, [patch], logits=True).logits[0], lm.run(ids, edits=patch).logits[0])


@pytest.mark.parametrize("caps", [(None, None), (None, 6.0), (5.0, None)])
def test_softcaps_that_are_null(caps):
    lm = made("gemma2", attn_logit_softcapping=caps[0], final_logit_softcapping=caps[1], sliding_window=64)
    run = lm.run(tiny.ids(9), keep=["scores", "logits", "final_norm"])
    raw = lm.family.core.embed_tokens.as_linear(run["final_norm", None])
    assert close(run["logits", None], raw if caps[1] is None else mx.tanh(raw / 6.0) * 6.0)
    visible = mx.where(run["scores", 0] > -1e30, run["scores", 0], 0)
    assert (float(mx.abs(visible).max()) > 5.0) == (caps[0] is None)
    lm.doctor()


def test_gemma3_caps_its_logits():
    lm = made("gemma3_text", final_logit_softcapping=3.0)
    logits = lm.run(tiny.ids(9)).logits
    assert close(logits, mx.tanh(made("gemma3_text").run(tiny.ids(9)).logits / 3.0) * 3.0)


def test_a_dynamic_rotation_reads_several_lengths():
    """mlx-lm's own module cannot: it takes the larger of a length and an array of offsets."""
    lm = made("llama", rope_scaling={"rope_type": "dynamic", "factor": 2.0}, max_position_embeddings=64)
    prompts = [tiny.ids(9), tiny.ids(4, seed=1)]
    assert [g.tokens for g in lm.generate(prompts, max_tokens=3)] == [
        lm.generate(p, max_tokens=3).tokens for p in prompts
    ]


def test_following_twice_gives_the_same():
    lm = made("gemma2", **OURS["gemma2"])
    before = lm.family.ours
    config = {"model_type": "gemma2", **tiny.COMMON, **tiny.FAMILIES["gemma2"], **OURS["gemma2"]}
    assert follow(lm.family, published(config)) == before


def test_a_rotation_keeps_the_dtype():
    rope = published({"model_type": "llama", **tiny.COMMON, **OURS["llama"]}).ropes[0]
    for dtype in (mx.float32, mx.bfloat16, mx.float16):
        assert rotation(rope, 16)(mx.ones((1, 1, 2, 16), dtype), offset=3).dtype == dtype


@pytest.mark.parametrize("name", ["gemma2", "mistral", "llama"])
def test_an_orthogonalised_model_is_as_published(name):
    from assay.methods import orthogonalise

    lm = made(name, **OURS[name])
    changed = orthogonalise(lm, np.ones(lm.width)).lm
    assert changed.family.ours == lm.family.ours
    assert changed.family.windows == lm.family.windows
    assert close(changed.run(tiny.ids(LENGTH), keep="logits")["logits", None][0], by_hand(changed, tiny.ids(LENGTH)))
