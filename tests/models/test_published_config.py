"""config.json by the publisher's rules: who answers for each key, absent keys, both spellings of the rotation."""

import json

import mlx.core as mx
import pytest

import assay
from assay.errors import AssayError, CheckpointError, PromptError
from assay.models.config import published
from assay.models.keys import COMMON, KEYS, Refused, answers
from assay.models.load import load_checkpoint
from assay.models.random import write_random
from assay.models.registry import FAMILIES
from assay.models.shapes import SHAPES

SLIDING = ["sliding_attention", "full_attention", "sliding_attention"]


def test_every_family_has_its_keys():
    assert set(KEYS) == set(FAMILIES)


@pytest.mark.parametrize("config_of", SHAPES, ids="shape_{}".format)
def test_registered_models_are_read(config_of):
    found = published(SHAPES[config_of])
    assert len(found.windows) == len(found.ropes) == SHAPES[config_of]["num_hidden_layers"]
    assert found.limit is None
    assert found.ignored == ()


@pytest.mark.parametrize(
    ("family", "changes", "windows"),
    [
        ("llama", {}, (None, None, None)),
        ("mistral", {}, (4096, 4096, 4096)),  # the publisher's default for an absent key
        ("mistral", {"sliding_window": None}, (None, None, None)),
        ("phi3", {}, (None, None, None)),
        ("phi3", {"sliding_window": 8}, (8, 8, 8)),
        ("qwen2", {"sliding_window": 8}, (None, None, None)),
        ("qwen2", {"sliding_window": 8, "use_sliding_window": True}, (None, None, None)),  # max_window_layers is 28
        ("qwen2", {"sliding_window": 8, "use_sliding_window": True, "max_window_layers": 1}, (None, 8, 8)),
        ("qwen3", {"sliding_window": 8, "use_sliding_window": True, "layer_types": SLIDING}, (8, None, 8)),
        ("gemma2", {}, (4096, None, 4096)),
        ("gemma2", {"sliding_window": 8, "layer_types": SLIDING[::-1]}, (8, None, 8)),
        ("gemma3_text", {}, (8, 8, None)),
        ("gemma3_text", {"sliding_window_pattern": 2}, (8, None, 8)),
    ],
)
def test_windows(family, changes, windows, config):
    assert published(config(family, **changes)).windows == windows


@pytest.mark.parametrize("family", FAMILIES)
def test_both_spellings_of_the_rotation(family, config):
    old = config(family, rope_theta=5e5, rope_scaling=None)
    new = {
        key: value for key, value in old.items() if key not in ("rope_theta", "rope_scaling", "rope_local_base_freq")
    }
    both = {"rope_type": "default", "rope_theta": 5e5}
    new["rope_parameters"] = (
        {"full_attention": both, "sliding_attention": {**both, "rope_theta": 1e4}} if family == "gemma3_text" else both
    )
    a, b = published(old), published(new)
    assert [rope.frequencies.tolist() for rope in a.ropes] == [rope.frequencies.tolist() for rope in b.ropes]
    assert a.for_mlx_lm == b.for_mlx_lm


@pytest.mark.parametrize("family", FAMILIES)
def test_a_rotation_in_the_new_form_is_loaded(family, config, local, tmp_path):
    """transformers 5 writes `rope_parameters`; mlx-lm's families read it in one of seven."""
    write_random(tmp_path / "old", config(family, rope_theta=5e5, rope_scaling=None))
    new = json.loads((tmp_path / "old" / "config.json").read_text())
    both = {"rope_type": "default", "rope_theta": new.pop("rope_theta")}
    local_base = {"rope_type": "default", "rope_theta": new.pop("rope_local_base_freq", 1e4)}
    new.pop("rope_scaling")
    gemma3 = family == "gemma3_text"
    new["rope_parameters"] = {"full_attention": both, "sliding_attention": local_base} if gemma3 else both
    expected = load_checkpoint(local(tmp_path / "old")).model(mx.array([[1, 2, 300, 4]]))
    (tmp_path / "old" / "config.json").write_text(json.dumps(new))
    assert mx.array_equal(load_checkpoint(local(tmp_path / "old")).model(mx.array([[1, 2, 300, 4]])), expected)


REFUSED = [
    ("llama", {"sliding_window": 8}, "sliding_window is 8"),
    ("llama", {"layer_types": SLIDING}, "layer_types is"),
    ("llama", {"rope_traditional": True}, "rope_traditional is True"),
    ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
    ("llama", {"hidden_act": "mish"}, "hidden_act is 'mish', and the activations are silu"),
    ("llama", {"attention_sinks": 4}, "key 'attention_sinks' .* unknown_keys='ignore'"),
    ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 2.0, "sharpness": 1}}, "'sharpness'"),
    ("llama", {"quantization_config": {"quant_method": "awq"}}, "quantised by 'awq'"),
    ("llama", {"hidden_size": None}, "no hidden_size"),
    ("qwen3", {"attention_bias": True}, "attention_bias is True"),
    ("qwen2", {"head_dim": 32}, "head_dim 32"),
    ("qwen2", {"layer_types": SLIDING}, "sliding_window is None"),
    ("gemma2", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
    ("gemma2", {"tie_word_embeddings": False}, "tie_word_embeddings"),
    ("gemma2", {"query_pre_attn_scalar": 0}, "query_pre_attn_scalar is 0"),
    ("gemma2", {"final_logit_softcapping": -1.0}, "final_logit_softcapping is -1.0"),
    ("gemma2", {"layer_types": ["chunked_attention"] * 3}, "chunked_attention"),
    ("gemma3_text", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping is 50.0"),
    ("mistral", {"sliding_window": 0}, "sliding_window is 0"),
]


@pytest.mark.parametrize(("family", "changes", "message"), REFUSED)
def test_what_cannot_be_computed_names_its_key(family, changes, message, config):
    with pytest.raises(CheckpointError, match=message):
        published(config(family, **changes))


def test_refused_keys_take_their_neutral_values(config):
    for family in FAMILIES:
        for key, answer in answers(family).items():
            if isinstance(answer, Refused) and answer is not KEYS["llama"].get("layer_types"):
                for value in set(answer.but) - {None}:
                    published(config(family, **{key: value}))


def test_who_knows_better_can_ignore_a_key(config, tmp_path):
    path = write_random(tmp_path / "model", config("llama", attention_sinks=4, note="mine"))
    with pytest.raises(CheckpointError, match=r"model: config\.json has the key 'attention_sinks'"):
        assay.load(str(path))
    lm = assay.load(str(path), unknown_keys="ignore", doctor=False)
    assert lm.provenance()["ignored_keys"] == "attention_sinks, note"
    with pytest.raises(AssayError, match="'refuse' or 'ignore', got 'maybe'"):
        assay.load(str(path), unknown_keys="maybe")


def test_a_key_that_is_null_says_nothing(config):
    assert published(config("llama", attention_sinks=None)).ignored == ()


# --- ties, by what the files hold -------------------------------------------------------------------------------


def weights(path, change):
    """Rewrites the tensors of a folder."""
    file = path / "model.safetensors"
    tensors = dict(mx.load(str(file)))
    change(tensors)
    mx.eval(tensors)
    mx.save_safetensors(str(file), tensors, metadata={"format": "mlx"})


@pytest.fixture
def tied(config, tmp_path):
    return write_random(tmp_path / "tied", config("llama"), bits=None)


def test_an_absent_tie_is_the_publishers_default(tied, local):
    told = json.loads((tied / "config.json").read_text())
    del told["tie_word_embeddings"]  # a llama is not tied by default, in mlx-lm it is
    (tied / "config.json").write_text(json.dumps(told))
    with pytest.raises(CheckpointError, match=r"no lm_head\.weight"):
        load_checkpoint(local(tied))
    weights(tied, lambda tensors: tensors.update({"lm_head.weight": tensors["model.embed_tokens.weight"][::-1]}))
    checkpoint = load_checkpoint(local(tied))
    assert not checkpoint.published.tied
    assert "lm_head" in checkpoint.model


def test_a_copy_of_the_embedding_is_tied(tied, local):
    weights(tied, lambda tensors: tensors.update({"lm_head.weight": tensors["model.embed_tokens.weight"] + 0}))
    checkpoint = load_checkpoint(local(tied))
    assert checkpoint.published.tied
    assert "lm_head" not in checkpoint.model


def test_another_unembedding_is_not_tied_whatever_the_config_says(tied, local):
    before = load_checkpoint(local(tied)).model(mx.array([[1, 2, 3]]))
    weights(tied, lambda tensors: tensors.update({"lm_head.weight": tensors["model.embed_tokens.weight"][::-1]}))
    checkpoint = load_checkpoint(local(tied))
    assert not checkpoint.published.tied
    assert mx.array_equal(checkpoint.model(mx.array([[1, 2, 3]])), before[..., ::-1])


def test_a_tensor_that_is_not_used_is_refused(tied, local):
    weights(tied, lambda tensors: tensors.update({"model.layers.0.self_attn.rotary_emb.inv_freq": mx.ones((8,))}))
    load_checkpoint(local(tied))
    weights(tied, lambda tensors: tensors.update({"model.layers.0.self_attn.sinks": mx.ones((8,))}))
    with pytest.raises(CheckpointError, match=r"self_attn\.sinks"):
        load_checkpoint(local(tied))


# --- limits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "changes", "limit"),
    [
        ("llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}, "max_position_embeddings": 12}, 12),
        (
            "phi3",
            {
                "rope_scaling": {"type": "longrope", "short_factor": [1.0] * 8, "long_factor": [3.0] * 8},
                "original_max_position_embeddings": 12,
            },
            12,
        ),
    ],
)
def test_texts_beyond_the_limit_are_refused(family, changes, limit, config, tmp_path):
    lm = assay.load(str(write_random(tmp_path / "model", config(family, **changes), bits=None)))
    ids = list(range(10, 10 + limit + 1))
    lm.run(ids[:limit])
    lm.generate(ids[:-3], max_tokens=3)
    message = f"a text of {limit + 1} tokens is too long for .*: beyond {limit}"
    patch = assay.zero("resid_post", layer=0, position=0)
    for act in (
        lambda: lm.run(ids),
        lambda: lm.generate(ids[:-3], max_tokens=4),
        lambda: lm.sweep(ids, [patch], logits=True),
        lambda: lm.sweep(ids[:-3], [patch], max_tokens=4),
        lambda: lm.gradients(ids, sites="resid_post", target=3),
        lambda: lm.states(ids, "resid_post"),
    ):
        with pytest.raises(PromptError, match=message):
            act()


def test_common_keys_are_not_repeated():
    for family, keys in KEYS.items():
        assert not [key for key, answer in keys.items() if COMMON.get(key) == answer], family
