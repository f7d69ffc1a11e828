"""The doctor passes every sound model, and finds every single thing that is broken here on purpose."""

from types import SimpleNamespace

import mlx.core as mx
import pytest
import tiny

from assay.errors import NotExact
from assay.forward import attention as attend
from assay.forward import by_numpy, exactness, generate, layers, placed
from assay.forward.arithmetic import Machine, machine
from assay.forward.doctor import Check, Report, examine
from assay.forward.families import Gemma2, Gemma3, Llama, Phi3
from assay.forward.families.base import Norms
from assay.forward.sweep import resume

HEADS = "what the heads write, one by one, sums to the attention output, in every layer"  # another order of a sum
CASES = [(name, weights, "native") for name in tiny.FAMILIES for weights in tiny.WEIGHTS]
CASES += [(name, "4bit-bfloat16", "float32") for name in tiny.FAMILIES]
CASES += [(name, "float32", "float32") for name in tiny.ODD]


@pytest.mark.parametrize(("name", "weights", "activations"), CASES)
def test_sound_models_pass(name, weights, activations):
    """In every family, all weights, and key heads from one to sixteen; to the bit, but for one sum, where rows hold."""
    report = tiny.lm(name, weights, activations).doctor()
    assert report.ok
    rounded = {check.claim for check in report.checks if check.difference}
    assert f"{len(report.checks) - len(rounded)} of {len(report.checks)} checks bit for bit, on cpu" in str(report)
    if machine().rows:
        assert rounded <= {HEADS}
    own = {
        "float32 products are float32",
        "the instrumented forward equals the model's own",
        "every activation is finite",
    }
    assert not rounded & own


# ------------------------------------------------------------------------------------------------------------ sabotage


def family(base, **methods):
    """A family with some answers changed."""
    return type("Broken", (base,), methods)


def qkv(change):
    """`change(family, q, k, v)` -> q, k, v."""
    return {"qkv": lambda self, i, x: change(self, *Llama.qkv(self, i, x))}


def without_bias(self, i, x):
    attn = self.layers[i].self_attn
    parts = ("q_proj", self.n_heads), ("k_proj", self.n_kv_heads), ("v_proj", self.n_kv_heads)
    return tuple((x @ attn[p].weight.T).reshape(*x.shape[:2], n, -1).transpose(0, 2, 1, 3) for p, n in parts)


def without_qk_norm(self, i, x):
    attn = self.layers[i].self_attn
    parts = ("q_proj", self.n_heads), ("k_proj", self.n_kv_heads), ("v_proj", self.n_kv_heads)
    return tuple(attn[p](x).reshape(*x.shape[:2], n, -1).transpose(0, 2, 1, 3) for p, n in parts)


def split_the_other_way(self, i, x):
    attn = self.layers[i].self_attn
    H, K, D = self.n_heads, self.n_kv_heads, self.head_dim
    k, q, v = mx.split(attn.qkv_proj(x), [K * D, (H + K) * D], axis=-1)
    return tuple(y.reshape(*x.shape[:2], -1, D).transpose(0, 2, 1, 3) for y in (q, k, v))


POST = ("post_attention_layernorm", "post_feedforward_layernorm")
FAMILIES = {
    "norms of the branches swapped": ("llama", family(Llama, norms=Norms("post_attention_layernorm", "input_layernorm"))),
    "norm before the MLP of another family": (
        "gemma2", family(Gemma2, norms=Norms("input_layernorm", "post_attention_layernorm", *POST))),
    "post-norms forgotten": (
        "gemma3_text", family(Gemma3, norms=Norms("input_layernorm", "pre_feedforward_layernorm"))),
    "final norm forgotten": ("mistral", family(Llama, final_norm=lambda self, x: x)),
    "wrong scale": ("llama", family(Llama, **qkv(lambda f, q, k, v: (q * 1.0001, k, v)))),
    "embedding not scaled": ("gemma2", family(Gemma2, embed=Llama.embed)),
    "embedding scaled twice": ("gemma3_text", family(Gemma3, embed_as_mlx_lm=lambda self, t: Gemma3.embed(self, t) * 8)),
    "embedding scaled in a family without": ("llama", family(Llama, embed=lambda self, t: Llama.embed(self, t) * 8)),
    "softcap of the logits forgotten": ("gemma2", family(Gemma2, unembed=lambda self, x: self.core.embed_tokens.as_linear(x))),
    "bias forgotten": ("qwen2", family(Llama, qkv=without_bias)),
    "q and k norms forgotten": ("qwen3", family(Llama, qkv=without_qk_norm)),
    "query heads in another order": ("llama", family(Llama, **qkv(lambda f, q, k, v: (q[:, ::-1], k, v)))),
    "key heads in another order": ("qwen2", family(Llama, **qkv(lambda f, q, k, v: (q, k[:, ::-1], v)))),
    "values of the other key head": ("gemma2", family(Gemma2, **qkv(lambda f, q, k, v: (q, k, v[:, ::-1])))),
    "fused projection split the other way": ("phi3", family(Phi3, qkv=split_the_other_way)),
    "head as wide as the stream allows": ("gemma2", family(Gemma2, head_dim=property(lambda self: self.width // self.n_heads))),
    "unembedding with the embedding": ("llama_untied", family(Llama, tied=property(lambda self: True))),
    "residual addition": ("gemma3_text", family(Gemma3, add=lambda self, x, y: x * 0.999 + y)),
    "window ignored": ("llama_window", family(Llama, find_windows=lambda self: [None] * len(self.layers))),
    "window ignored in gemma3": ("gemma3_text", family(Gemma3, find_windows=lambda self: [None] * len(self.layers))),
    "window off by one": ("gemma3_text", family(Gemma3, find_windows=lambda self: [7, 7, None])),
    "window in the wrong layers": ("gemma3_text", family(Gemma3, find_windows=lambda self: [None, 8, 8])),
}  # fmt: skip


def broken(name, kind, **changes):
    lm = tiny.around(tiny.build(name, **changes))
    lm.family = kind(lm.model)
    return lm


@pytest.mark.parametrize(("name", "kind"), FAMILIES.values(), ids=FAMILIES)
def test_a_wrong_family_is_found(name, kind):
    with pytest.raises(NotExact, match="changed is not hooked exactly: "):
        broken(name, kind).doctor()


def test_a_forgotten_softcap_of_scores_is_found():
    lm = tiny.around(tiny.build("gemma2"))
    lm.family.softcap = None
    with pytest.raises(NotExact):
        lm.doctor()


@pytest.mark.parametrize("windows", [[None] * 3, [5000, None, 5000], [None, 4096, None]])
def test_a_window_longer_than_the_doctors_prompt_is_found(windows):
    """Nine tokens cannot show it: mlx-lm's own caches say what it is."""
    lm = broken("llama_window", family(Llama, find_windows=lambda self: windows), sliding_window=4096)
    with pytest.raises(NotExact, match="each layer's window is that of the model's own cache"):
        lm.doctor()
    assert broken("llama_window", Llama, sliding_window=4096).doctor().ok


def shifted_mask(mask, L, S):
    """Every query sees one key more than it may."""
    return mx.arange(S - L, S)[:, None] + 1 >= mx.arange(S)[None]


def by_remainder(family, i, q, k, v, mask, tap):
    """Query head h reads key head h % K."""
    groups = q.shape[1] // k.shape[1]
    k, v = (mx.concatenate([x] * groups, axis=1) for x in (k, v))
    return attention(family, i, q, k, v, mask, tap)


def scaled_scores(family, scores):
    """The cap, of scores that are not quite those of the model."""
    return softcap(family, scores) * 1.01


def rope_from_0(self, i, q, k, v, tap):
    """Attention with a cache, at positions that start over in every call."""
    attn, cache = self.family.layers[i].self_attn, self.cache[i]
    q, k = tap("q_rot", i, attn.rope(q)), tap("k_rot", i, attn.rope(k))
    if cache is not None:
        k, v = cache.update_and_fetch(k, v)
    return attend.attention(self.family, i, q, k, v, self.masks[i], tap)


def heads_in_another_order(o_proj, z):
    B, L, H, D = z.shape
    weight = o_proj.weight.reshape(-1, D, H).transpose(2, 1, 0)
    return (z.transpose(2, 0, 1, 3).reshape(H, B * L, D) @ weight).reshape(H, B, L, -1).transpose(1, 2, 0, 3)


def right_padded(caches, order):
    """Merged caches that know nothing of padding."""
    batch = merge(caches, order)
    batch.left_padding = mx.zeros_like(batch.left_padding)
    return batch


def in_order_of_length(caches, order):
    return merge(caches, mx.arange(order.size))


def off_by_one(self, i, m):
    """A resumed query that cannot see itself."""
    seen = mx.arange(self.front + m)[None] < mx.arange(self.front, self.front + m)[:, None]
    return seen if m > 1 else resume_mask(self, i, m)


def without_own_key(self, i, q, k, v, old_k, old_v, tap):
    return one_query(self, i, q, k, mx.zeros_like(v), old_k, old_v, tap)


attention, softcap, merge = attend.attention, attend.softcap, generate.merge
resume_mask, one_query = resume.AttendResumed.mask, resume.AttendResumed.one_query
MACHINERY = {
    "mask off by one": ("llama", attend, "bool_mask", shifted_mask),
    "mask off by one, softcapped": ("gemma2", attend, "bool_mask", shifted_mask),
    "query heads read other key heads": ("llama", attend, "attention", by_remainder),
    "scores scaled": ("gemma2", attend, "softcap", scaled_scores),
    "scores scaled, only when watched": ("llama", attend, "softcap", scaled_scores),
    "positions start over with a cache": ("qwen2", attend.AttendSelf, "__call__", rope_from_0),
    "head outputs in another order": ("llama", layers, "head_outputs", heads_in_another_order),
    "padding of merged caches forgotten": ("llama", generate, "merge", right_padded),
    "rows of merged caches out of order": ("gemma2", generate, "merge", in_order_of_length),
    "resumed mask off by one": ("llama", resume.AttendResumed, "mask", off_by_one),
    "resumed query without its own value": ("gemma2", resume.AttendResumed, "one_query", without_own_key),
}  # fmt: skip


@pytest.mark.parametrize(("name", "where", "attribute", "wrong"), MACHINERY.values(), ids=MACHINERY)
def test_wrong_machinery_is_found(name, where, attribute, wrong, monkeypatch):
    monkeypatch.setattr(where, attribute, wrong)
    with pytest.raises(NotExact):
        tiny.lm(name).doctor()


def test_another_activation_is_found(monkeypatch):
    """mlx-lm's own MLP does not ask the family for it; NumPy's gate does, where it is chosen."""
    monkeypatch.setattr(by_numpy, "machine", lambda: Machine(rows=False, float32=True))
    monkeypatch.setattr(exactness, "machine", lambda: Machine(rows=False, float32=True))
    assert tiny.lm("llama").doctor().ok
    with pytest.raises(NotExact, match="exponentials by NumPy are those of MLX"):
        broken("llama", family(Llama, activation="gelu_approx")).doctor()


def test_weights_that_are_not_finite_are_found():
    lm = tiny.around(tiny.build("llama"))
    lm.model.model.layers[1].mlp.down_proj.weight[3, 3] = float("nan")
    with pytest.raises(NotExact):
        lm.doctor()


@pytest.mark.parametrize("edit", ["replace", "add", "scale"])
def test_edits_that_are_not_idle_are_found(edit, monkeypatch):
    operation = placed.OPERATIONS[edit]
    monkeypatch.setitem(placed.OPERATIONS, edit, lambda x, value: operation(x, value) * 1.0001)
    with pytest.raises(NotExact, match="changes nothing"):
        tiny.lm("llama").doctor()


def test_a_changed_model_is_found():
    """A layer that does what its family does not know of."""
    lm = tiny.around(tiny.build("llama"))
    plain = type(lm.model.model.layers[2])
    louder = type(
        "Louder", (plain,), {"__call__": lambda self, *args, **more: 1.5 * plain.__call__(self, *args, **more)}
    )
    lm.model.model.layers[2].__class__ = louder
    with pytest.raises(NotExact, match="the instrumented forward equals the model's own"):
        lm.doctor()


# ---------------------------------------------------------------------------------------------------------- the report


def test_the_report_is_read_by_people():
    sound = examine(tiny.lm("llama"))
    assert str(sound).startswith("llama, float32 is hooked exactly (")
    assert "ok  the instrumented forward equals the model's own" in str(sound)
    bad = Report(
        "x", "cpu", (Check("a holds", 0.0, 0.0), Check("b holds", 0.25, 0.1), Check("c holds", float("nan"), 1.0))
    )
    assert not bad.ok
    assert str(bad).startswith("x is NOT hooked exactly")
    assert bad.failures() == "b holds (off by 2.5e-01); c holds (off by nan)"
    assert "BAD b holds" in str(bad)


def test_loading_examines(monkeypatch, tmp_path):
    """`assay.load` calls the doctor unless told not to."""
    from assay.forward import load
    from assay.models.registry import ModelSpec

    made = SimpleNamespace(
        model=tiny.model("llama"), tokenizer=tiny.tokenizer(), made_of={"revision": "r", "bits": None}, published=None
    )
    monkeypatch.setattr("assay.models.load.load_checkpoint", lambda spec, unknown_keys: made)
    called = []
    monkeypatch.setattr(load.LM, "doctor", lambda self: called.append(self.name))
    spec = ModelSpec("some", "", None, None, None, path=tmp_path)
    load.load(spec, doctor=False)
    assert called == []
    load.load(spec)
    assert called == ["some"]
