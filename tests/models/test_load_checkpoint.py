"""Loading: every family opens; every kind of damage ends in one sentence of a typed error."""

import json
import logging
import shutil
from pathlib import Path

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from assay.errors import AssayError, CheckpointError, ModelNotCached, UnsupportedFamily
from assay.models import random as random_weights
from assay.models.load import load_checkpoint
from assay.models.random import hf_cache_layout, random_model, write_random
from assay.models.registry import FAMILIES, REGISTRY


def logits(model, ids=(1, 2, 300, 4)) -> mx.array:
    return model(mx.array([ids])).astype(mx.float32)


@pytest.mark.parametrize("bits", [None, 4])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_opens(family, bits, config, local, tmp_path):
    written = write_random(tmp_path / "model", config(family), bits=bits)
    checkpoint = load_checkpoint(local(written))
    assert checkpoint.config == json.loads((written / "config.json").read_text())
    assert (checkpoint.made_of["bits"], checkpoint.path) == (bits, written)
    assert not checkpoint.model.training
    out = logits(checkpoint.model)
    assert out.shape == (1, 4, 1024)
    assert 0.1 < out.std().item() < 10
    assert mx.array_equal(out, logits(random_model(config(family), bits=bits)))


def test_the_ids_that_end_a_generation_come_along(config, local, rewrite, tmp_path):
    path = write_random(tmp_path / "model", config("qwen2"))
    assert load_checkpoint(local(path)).tokenizer.eos_token_ids == {2}
    (path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0]}))
    assert load_checkpoint(local(path)).tokenizer.eos_token_ids == {0, 2}


# --- which weights these are ------------------------------------------------------------------------------


def test_revision_of_a_snapshot_is_its_commit(hub, config):
    spec = REGISTRY["qwen7b"]
    path = hf_cache_layout(hub, spec.repo, config("qwen2", num_hidden_layers=28, hidden_size=64))
    checkpoint = load_checkpoint(spec)
    assert checkpoint.revision == path.name
    assert len(checkpoint.revision) == 40


# --- damage -----------------------------------------------------------------------------------------------


@pytest.fixture
def path(config, tmp_path) -> Path:
    """A whole 4-bit checkpoint, for a test to damage."""
    return write_random(tmp_path / "model", config("llama"))


def edit(name, change):
    """Damage: the bytes of one file, changed."""

    def damage(path: Path) -> None:
        (path / name).write_bytes(change((path / name).read_bytes()))

    return damage


def entries(name, **changes):
    """Damage: entries of a JSON file, changed, or removed for None."""

    def change(raw: bytes) -> bytes:
        value = {**json.loads(raw), **changes}
        return json.dumps({key: entry for key, entry in value.items() if entry is not None}).encode()

    return edit(name, change)


def gone(name):
    return lambda path: (path / name).unlink()


def unknown_type(path: Path) -> None:
    """Damage: a type of number that does not exist, in the header."""
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes().replace(b'"U32"', b'"U99"'))


def type_that_mlx_lacks(path: Path) -> None:
    """Damage: a whole file, with a tensor of a type that safetensors knows and mlx does not."""
    file = path / "model.safetensors"
    raw = file.read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:end])
    entry = next(entry for entry in header.values() if entry.get("dtype") == "U32")
    rows, columns = entry["shape"]
    entry |= {"dtype": "F8_E5M2", "shape": [rows, 4 * columns]}
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + raw[end:])


def twice(path: Path) -> None:
    """A file left over from another conversion: its tensors would win or lose by the order of the folder."""
    weights = mx.load(str(path / "model.safetensors"))
    mx.save_safetensors(str(path / "model_old.safetensors"), {"model.norm.weight": weights["model.norm.weight"] + 1})


WEIGHTS = "model.safetensors"
DAMAGE = {
    "config missing": (gone("config.json"), r"there is no config\.json in "),
    "config not JSON": (edit("config.json", lambda raw: raw[:50]), r"config\.json is not JSON"),
    "config a list": (edit("config.json", lambda _: b"[]"), r"config\.json holds a list"),
    "config without model_type": (entries("config.json", model_type=None), r"config\.json of .* has no model_type"),
    "config without width": (
        entries("config.json", hidden_size=None),
        r"does not describe a llama: .*hidden_size",
    ),
    "config with a wrong type": (
        entries("config.json", hidden_size="wide"),
        r"does not describe a llama: .*'hidden_size'",
    ),
    "config asks for code": (entries("config.json", model_file="x.py"), r"model_file is 'x\.py'"),
    "a rotation of no known type": (
        entries("config.json", rope_scaling={"rope_type": "llama4"}),
        r"unknown rope_type in config\.json 'llama4'\. Did you mean llama3\?",
    ),
    "more layers than weights": (
        entries("config.json", num_hidden_layers=4),
        r"do not fit its config\.json: Missing \d+ parameters: model\.layers\.3\.[\w., ]+, \.\.\.",
    ),
    "fewer layers than weights": (
        entries("config.json", num_hidden_layers=2),
        r"do not fit its config\.json: Received \d+ parameters not in model: model\.layers\.2",
    ),
    "another width": (
        entries("config.json", intermediate_size=256),
        r"do not fit its config\.json: Expected shape .* but received shape .* for parameter model\.layers",
    ),
    "quantisation not stated": (
        entries("config.json", quantization=None, quantization_config=None),
        r"do not fit its config\.json: Received \d+ parameters not in model: .*biases",
    ),
    "other bits than stated": (
        entries("config.json", quantization={"bits": 8, "group_size": 64}),
        r"says 8 bits and the weights have \{4\}",
    ),
    "quantisation half stated": (entries("config.json", quantization={"bits": 4}), r"group_size"),
    "weights cut off": (
        edit(WEIGHTS, lambda raw: raw[:-1000]),
        r"model\.safetensors \(\d+ bytes\) is not a whole safetensors file: .*not fully covered",
    ),
    "weights with one byte more": (
        edit(WEIGHTS, lambda raw: raw + b"x"),
        r"\.safetensors \(\d+ bytes\) is not a whole",
    ),
    "weights cut off in the header": (edit(WEIGHTS, lambda raw: raw[:100]), r"\(100 bytes\) is not a whole"),
    "weights empty": (edit(WEIGHTS, lambda _: b""), r"\(0 bytes\) is not a whole"),
    "weights a web page": (edit(WEIGHTS, lambda _: b"<html>" * 99), r"is not a whole safetensors file"),
    "weights a git-lfs pointer": (
        edit(WEIGHTS, lambda _: b"version https://git-lfs.github.com/spec/v1\n"),
        r"is not a whole safetensors file",
    ),
    "weights of an unknown type": (unknown_type, r"is not a whole safetensors file: .*U99"),
    "weights of a type that mlx lacks": (type_that_mlx_lacks, r"mlx cannot read the weights in .*F8_E5M2"),
    "weights missing": (gone(WEIGHTS), r"1 of 1 weight files missing in .*: model\.safetensors"),
    "weights twice": (twice, r"model\.norm\.weight is in more than one file \(model\.safetensors, model_old"),
    "index names another file": (
        entries("model.safetensors.index.json", weight_map={"a": "model-00002-of-00002.safetensors"}),
        r"missing in .*: model-00002-of-00002",
    ),
    "tokenizer missing": (gone("tokenizer.json"), r"there is no tokenizer\.json in "),
    "tokenizer settings missing": (gone("tokenizer_config.json"), r"there is no tokenizer_config\.json in "),
    "tokenizer not JSON": (edit("tokenizer.json", lambda raw: raw[:500]), r"tokenizer\.json is not JSON"),
    "tokenizer something else": (edit("tokenizer.json", lambda _: b"{}"), r"does not describe a tokenizer"),
    "tokenizer without its special tokens": (
        entries("tokenizer.json", added_tokens=None),
        r"the tokenizer in .* cannot be read: .*added_tokens",
    ),
    "tokenizer of an unknown kind": (
        entries("tokenizer.json", model={"type": "Nonsense", "vocab": {}}),
        r"the tokenizer in .* cannot be read",
    ),
    "tokenizer settings not JSON": (
        edit("tokenizer_config.json", lambda raw: raw[:30]),
        r"tokenizer_config\.json is not JSON",
    ),
    "chat template broken": (
        entries("tokenizer_config.json", chat_template="{% for %}"),
        r"the chat template in .* is broken",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_ends_in_one_sentence(kind, path, local):
    damage, message = DAMAGE[kind]
    load_checkpoint(local(path))
    damage(path)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(local(path))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value) or "rope" in str(caught.value)


def test_damage_to_a_download_says_how_to_repeat_it(hub, config):
    spec = REGISTRY["qwen7b"]
    path = hf_cache_layout(hub, spec.repo, config("qwen2", num_hidden_layers=28))
    edit(WEIGHTS, lambda raw: raw[:-1])(path)
    again = f"hf download {spec.repo} --force-download"
    with pytest.raises(CheckpointError, match=rf"model\.safetensors .*: {again}$"):
        load_checkpoint(spec)


def test_a_missing_shard_is_named(hub, config, monkeypatch):
    monkeypatch.setattr(random_weights, "SHARD_BYTES", 1 << 16)
    spec = REGISTRY["qwen7b"]
    path = hf_cache_layout(hub, spec.repo, config("qwen2", num_hidden_layers=28))
    load_checkpoint(spec)
    shard = sorted(path.glob("model-*.safetensors"))[2]
    shard.unlink()
    with pytest.raises(CheckpointError, match=rf"1 of \d+ weight files missing in .*: {shard.name}\. .*force"):
        load_checkpoint(spec)


def test_an_absent_model_is_never_looked_for_online(hub):
    with pytest.raises(ModelNotCached, match=r"assay get gemma2b$"):
        load_checkpoint(REGISTRY["gemma2b"])


@pytest.mark.parametrize("family", ["gpt2", "qwen2_moe", "gemma3"])
def test_a_family_without_an_adapter_names_those_with_one(family, path, local, rewrite):
    rewrite(path / "config.json", model_type=family)
    with pytest.raises(UnsupportedFamily, match=rf"'{family}'.*Known: gemma2, llama, qwen2, qwen3, gemma3_text, mist"):
        load_checkpoint(local(path))


def test_a_registered_model_of_another_family_is_refused(hub, config):
    hf_cache_layout(hub, REGISTRY["qwen7b"].repo, config("llama"))
    with pytest.raises(CheckpointError, match=r"qwen7b should be a qwen2, and its config\.json says llama"):
        load_checkpoint(REGISTRY["qwen7b"])


def test_a_registered_model_of_another_depth_is_announced(hub, config, caplog):
    hf_cache_layout(hub, REGISTRY["qwen7b"].repo, config("qwen2"))
    with caplog.at_level(logging.WARNING):
        load_checkpoint(REGISTRY["qwen7b"])
    assert [record.getMessage() for record in caplog.records] == ["qwen7b has 3 layers here, not 28"]


def test_a_tokenizer_larger_than_the_embedding_is_refused(path, local, config, tmp_path):
    small = write_random(tmp_path / "small", config("llama", vocab_size=300))
    shutil.copy(path / "tokenizer.json", small / "tokenizer.json")
    with pytest.raises(CheckpointError, match=r"has 406 tokens, the model 300 embeddings"):
        load_checkpoint(local(small))


def test_a_tokenizer_that_transformers_replaces_is_announced(config, local, tmp_path, caplog):
    """qwen2 gets Qwen2Tokenizer whatever the files say: words split at spaces would become bytes."""
    from tokenizers import Tokenizer, pre_tokenizers

    path = write_random(tmp_path / "model", config("qwen2"))
    with caplog.at_level(logging.WARNING):
        load_checkpoint(local(path))
    assert not caplog.records
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.save(str(path / "tokenizer.json"))
    with caplog.at_level(logging.WARNING):
        load_checkpoint(local(path))
    assert "transformers splits text otherwise than tokenizer.json" in caplog.text


def test_the_weights_are_in_memory(path, local):
    """Nothing is read lazily later: the files may go away after loading."""
    checkpoint = load_checkpoint(local(path))
    shutil.rmtree(path)
    assert all(mx.isfinite(value.astype(mx.float32)).all() for _, value in tree_flatten(checkpoint.model.parameters()))


def test_no_error_of_this_room_is_an_assertion():
    assert not issubclass(AssayError, AssertionError)
