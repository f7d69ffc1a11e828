"""Random checkpoints: the same numbers everywhere, sane activations, no dense model on the way."""

import hashlib
import json
import shutil
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from assay.errors import CheckpointError, LayerError
from assay.models import random as random_weights
from assay.models.load import load_checkpoint
from assay.models.random import hf_cache_layout, random_model, write_random
from assay.models.registry import FAMILIES, REGISTRY, is_cached, locate, resolve
from assay.models.shapes import SHAPES


def tensors(path: Path) -> dict[str, np.ndarray]:
    read = {}
    for file in sorted(path.glob("*.safetensors")):
        read |= mx.load(str(file))
    exact = {name: value if value.dtype == mx.uint32 else value.astype(mx.float32) for name, value in read.items()}
    return {name: np.array(value) for name, value in exact.items()}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("bits", [None, 3, 4, 8])
def test_a_seed_names_the_numbers(bits, config, tmp_path):
    make = {"bits": bits, "tokenizer": False}
    first = tensors(write_random(tmp_path / "a", config("llama"), seed=1, **make))
    assert same(first, tensors(write_random(tmp_path / "b", config("llama"), seed=1, **make)))
    other = tensors(write_random(tmp_path / "c", config("llama"), seed=2, **make))
    assert not [name for name in first if np.array_equal(first[name], other[name])]


def test_the_numbers_never_change(config, tmp_path):
    """Recorded once: another numpy, mlx or machine must make the same weights from the same seed."""
    found = tensors(write_random(tmp_path / "a", config("llama"), tokenizer=False))
    packed = found["model.layers.0.self_attn.q_proj.weight"]
    assert packed.shape == (64, 8)
    assert hashlib.sha256(packed.tobytes()).hexdigest()[:16] == "34e7f3f4b382b278"
    assert found["model.norm.weight"][:3].tolist() == pytest.approx([1.09744, 0.98191, 0.94039], abs=1e-5)


def test_a_cut_model_has_the_first_layers_of_the_whole(config, tmp_path):
    whole = tensors(write_random(tmp_path / "a", config("qwen2")))
    part = tensors(write_random(tmp_path / "b", config("qwen2"), layers=2))
    assert same(part, {name: value for name, value in whole.items() if "layers.2." not in name})
    assert json.loads((tmp_path / "b" / "config.json").read_text())["num_hidden_layers"] == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_memory_and_disk_hold_the_same(family, config, tmp_path):
    model = random_model(config(family), seed=3)
    found = tree_flatten(model.parameters(), destination={})
    written = mx.load(str(write_random(tmp_path / "a", config(family), seed=3) / "model.safetensors"))
    assert found.keys() == written.keys()
    assert all(
        mx.array_equal(found[name], written[name]) and found[name].dtype == written[name].dtype for name in found
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_is_the_embedding_where_the_family_has_it_so(family, config):
    """gemma3_text decides it by the weights: a head of its own in the file would untie a tied model."""
    names = tree_flatten(random_model(config(family)).parameters(), destination={}).keys()
    tied = config(family).get("tie_word_embeddings", family == "gemma3_text")
    assert ("lm_head.weight" in names) != tied


def test_files_are_cut_at_the_size_given(config, tmp_path, monkeypatch):
    one = write_random(tmp_path / "one", config("gemma2"))
    monkeypatch.setattr(random_weights, "SHARD_BYTES", 50_000)
    many = write_random(tmp_path / "many", config("gemma2"))
    files = sorted(many.glob("model-*.safetensors"))
    assert files[-1].name == f"model-{len(files):05d}-of-{len(files):05d}.safetensors"
    assert all(file.stat().st_size < 60_000 for file in files[1:]), "only the embedding is larger"
    assert same(tensors(one), tensors(many))
    index = json.loads((many / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == {file.name for file in files}
    data = sum(value.nbytes for file in files for value in mx.load(str(file)).values())
    assert index["metadata"]["total_size"] == data


@pytest.mark.parametrize("bits", [None, 2, 4, 8])
def test_matrices_have_the_asked_spread_and_no_pattern(bits, config):
    """Every column centred: a generator with weak low bits would make each eighth column of a 4-bit matrix constant."""
    model = random_model(config("llama", hidden_size=1024, num_attention_heads=8), bits=bits, layers=1)
    layer = model.layers[0].mlp.gate_proj
    w = layer.weight
    if bits:
        w = mx.dequantize(layer.weight, layer.scales, layer.biases, layer.group_size, layer.bits)
    w = np.array(w.astype(mx.float32))
    assert w.shape == (128, 1024)
    assert w.std() * 1024**0.5 == pytest.approx(1.0, rel=0.05)
    columns = w.mean(axis=0) * (128 * 1024) ** 0.5  # each a standard normal, were the rows independent
    assert np.abs(columns).max() < 5
    assert columns.std() == pytest.approx(1.0, rel=0.2)
    assert np.abs(w).max() < 3 / 1024**0.5 * 1.5


def test_norms_and_biases_are_not_trivial(config, tmp_path):
    """A forward pass that forgets a bias, or takes Gemma's 1 + weight for weight, must not get away with it."""
    qwen = tensors(write_random(tmp_path / "qwen", config("qwen2")))
    gemma = tensors(write_random(tmp_path / "gemma", config("gemma2")))
    norm = "model.layers.0.input_layernorm.weight"
    assert qwen[norm].mean() == pytest.approx(1.0, abs=0.05)
    assert gemma[norm].mean() == pytest.approx(0.0, abs=0.05)
    for vector in (qwen[norm], gemma[norm], qwen["model.layers.0.self_attn.q_proj.bias"]):
        assert 0.03 < vector.std() < 0.1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", None])
def test_numbers_are_stored_in_the_type_of_the_config(dtype, config):
    model = random_model(config("llama", torch_dtype=dtype))
    kinds = {value.dtype for _, value in tree_flatten(model.parameters())}
    assert kinds == {mx.uint32, getattr(mx, dtype or "float32")}


def test_what_cannot_be_written(config, tmp_path):
    with pytest.raises(CheckpointError, match="no matrix of this llama has a width divisible by 96"):
        random_model(config("llama"), group_size=96)
    with pytest.raises(LayerError, match="cannot cut this gemma3_text to 1 layers"):
        write_random(tmp_path / "a", config("gemma3_text"), layers=1)
    with pytest.raises(CheckpointError, match="a llama tokenizer needs 262 tokens or more, not 200"):
        write_random(tmp_path / "b", config("llama", vocab_size=200))
    write_random(tmp_path / "c", config("llama"))
    with pytest.raises(CheckpointError, match="already holds weights"):
        write_random(tmp_path / "c", config("llama"))


def test_the_hugging_face_cache_accepts_it(hub, config):
    repo = "some-org/Some-Model-4bit"
    (spec,) = resolve([repo])
    assert not is_cached(spec)
    path = hf_cache_layout(hub, repo, config("gemma2"), seed=4)
    assert path.parent.parent == hub / "models--some-org--Some-Model-4bit"
    assert locate(spec) == path
    assert load_checkpoint(spec).revision == path.name
    other = hf_cache_layout(hub, repo, config("gemma2"), seed=5)
    assert locate(spec) == other != path, "the newest is the main one"


def test_generation_survives_ids_without_a_text(config, local, tmp_path):
    """The vocabulary of the model is larger than that of its tokenizer."""
    from mlx_lm import stream_generate

    checkpoint = load_checkpoint(local(write_random(tmp_path / "a", config("qwen2", vocab_size=5000))))
    assert len(checkpoint.tokenizer) < 500
    steps = list(stream_generate(checkpoint.model, checkpoint.tokenizer, "The capital of", max_tokens=8))
    assert max(step.token for step in steps) >= len(checkpoint.tokenizer)
    assert isinstance("".join(step.text for step in steps), str)


def test_a_true_shape_cut_to_two_layers(hub, request):
    """Qwen2.5-7B, two of its 28 layers: 0.9 GB on disk. The one large test of this room (about 10 s, two cores)."""
    spec = REGISTRY["qwen7b"]
    shape = {**SHAPES[spec.id], "torch_dtype": "float32"}  # matrix products in 16 bit are very slow on a CPU
    request.addfinalizer(lambda: shutil.rmtree(hub))  # pytest would keep the folders of three runs
    path = hf_cache_layout(hub, spec.repo, shape, layers=2)
    mx.reset_peak_memory()
    checkpoint = load_checkpoint(spec)
    size = sum(value.nbytes for _, value in tree_flatten(checkpoint.model.parameters()))
    assert size == json.loads((path / "model.safetensors.index.json").read_text())["metadata"]["total_size"]
    assert mx.get_peak_memory() < 1.3 * size, "nothing dense was made"
    assert checkpoint.model.lm_head.weight.shape == (152064, 3584 // 8)
    out = checkpoint.model(mx.array([checkpoint.tokenizer.encode(" capital")]))
    assert out.shape == (1, 1, 152064)
    assert mx.isfinite(out).all()
    assert 0.5 < out.std().item() < 2
