"""Which model this is: the revision of a folder, and the packing of every matrix."""

import json
import os
import shutil
from pathlib import Path

import pytest
from mlx_lm.convert import convert

import assay
from assay.models import identity
from assay.models.gguf import digest
from assay.models.identity import Packing, packings, revision, stated
from assay.models.load import load_checkpoint
from assay.models.random import write_random
from assay.models.registry import REGISTRY

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def folder(config, tmp_path) -> Path:
    return write_random(tmp_path / "model", config("llama"))


def trained_on(folder: Path) -> None:
    """Other weights of the same names, shapes and length in bytes."""
    file = folder / "model.safetensors"
    raw = file.read_bytes()
    file.write_bytes(raw[:-4] + bytes(255 - byte for byte in raw[-4:]))


# --- the revision -----------------------------------------------------------------------------------------


def test_the_same_files_are_one_revision_wherever_they_lie(folder, tmp_path):
    first = revision(folder)
    assert len(first) == 12
    assert first == revision(folder)
    shutil.copytree(folder, tmp_path / "copy")
    assert first == revision(tmp_path / "copy")


def test_trained_on_in_place(folder):
    first = revision(folder)
    trained_on(folder)
    assert revision(folder) != first


def rewritten(name, **entries):
    def change(folder: Path) -> None:
        value = json.loads((folder / name).read_text()) | entries
        (folder / name).write_text(json.dumps(value))

    return change


def written(name, text):
    return lambda folder: (folder / name).write_text(text)


OTHER = {
    "config": rewritten("config.json", rope_theta=20000.0),
    "tokenizer": rewritten("tokenizer.json", truncation={"max_length": 8}),
    "settings of the tokenizer": rewritten("tokenizer_config.json", add_bos_token=False),
    "chat template": rewritten("tokenizer_config.json", chat_template="{{ messages[0]['content'] }}"),
    "chat template of its own": written("chat_template.jinja", "{{ messages[0]['content'] }}"),
    "the ids that end a generation": written("generation_config.json", '{"eos_token_id": 7}'),
}


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_what_decides_numbers_makes_another_revision(folder, change):
    first = revision(folder)
    change(folder)
    assert revision(folder) != first


SAME = {
    "where the config comes from": rewritten("config.json", _name_or_path="/home/me", transformers_version="9.9"),
    "the form of the config": lambda folder: (folder / "config.json").write_text(
        json.dumps(dict(reversed(json.loads((folder / "config.json").read_text()).items())), indent=1)
    ),
    "a page about it": written("README.md", "# A model"),
    "the times of the files": lambda folder: [os.utime(file, (1e9, 1e9)) for file in folder.iterdir()],
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_decides_none_does_not(folder, change):
    first = revision(folder)
    change(folder)
    assert revision(folder) == first


def test_big_files_are_read_once(folder, cache, monkeypatch):
    small = revision(folder)
    assert not (cache / "digests").exists()
    monkeypatch.setattr(identity, "BIG", 1)
    assert revision(folder) == small
    with monkeypatch.context() as closed:
        closed.setattr(digest, "tqdm", lambda **_: pytest.fail("a file was read again"))
        assert revision(folder) == small
    trained_on(folder)
    assert revision(folder) != small


@pytest.mark.parametrize("turn", range(20))
def test_a_file_written_again_within_a_tick_of_the_clock(folder, monkeypatch, turn):
    """Its size and its times may be those of the file that was read a moment before."""
    monkeypatch.setattr(identity, "BIG", 1)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes())
    first = revision(folder)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert revision(folder) != first


def test_the_revisions_of_the_built_in_models_are_those_of_the_snapshots():
    snapshots = Path(__file__).parents[2] / "snapshots"
    for spec in (spec for spec in REGISTRY.values() if spec.builtin and spec.path):
        found = {
            made_by["revision"]
            for file in (snapshots / spec.id).glob("*.json")
            for made_by in json.loads(file.read_text())["_made_by"].values()
        }
        assert found == {revision(spec.path)}, spec.id


# --- quantisation -----------------------------------------------------------------------------------------


def made(path: Path, config, **options) -> Path:
    """A checkpoint that mlx_lm.convert has quantised."""
    write_random(path / "dense", config("llama", num_hidden_layers=8, tie_word_embeddings=False), bits=None)
    convert(str(path / "dense"), str(path / "made"), quantize=True, **options)
    return path / "made"


def test_a_mixed_checkpoint(config, local, tmp_path):
    checkpoint = load_checkpoint(local(made(tmp_path, config, quant_predicate="mixed_3_6")))
    assert checkpoint.packings["model.layers.0.mlp.down_proj"] == Packing(6, 64, "affine")
    assert checkpoint.packings["model.layers.1.mlp.down_proj"] == Packing(3, 64, "affine")
    recorded = checkpoint.made_of
    assert recorded["quantised"] == {
        "3 bits, group 64, affine": "embed_tokens; mlp.down_proj 1-2,4-5; mlp.gate_proj; mlp.up_proj; self_attn.k_proj; "
        "self_attn.o_proj; self_attn.q_proj; self_attn.v_proj 1-2,4-5",
        "6 bits, group 64, affine": "lm_head; mlp.down_proj 0,3,6-7; self_attn.v_proj 0,3,6-7",
    }
    assert "bits" not in recorded


@pytest.mark.parametrize("weights", ["float32", "stored"])
@pytest.mark.parametrize(
    "options",
    [{"quant_predicate": "mixed_3_6"}, {"q_mode": "mxfp4"}, {"q_mode": "nvfp4"}, {"q_mode": "mxfp8"}],
    ids=lambda options: next(iter(options.values())),
)
def test_every_quantisation_of_mlx_lm_passes_the_doctor(options, weights, config, tmp_path):
    lm = assay.load(str(made(tmp_path, config, **options)), weights=weights)
    assert options.get("q_mode", "3 bits") in next(iter(lm.provenance()["quantised"]))


def test_group_and_mode_are_recorded_where_they_are_unusual(config, local, tmp_path):
    matrices = "embed_tokens; mlp.down_proj; mlp.gate_proj; mlp.up_proj; self_attn.k_proj; self_attn.o_proj; " \
        "self_attn.q_proj; self_attn.v_proj"  # fmt: skip
    path = write_random(tmp_path / "model", config("llama"), bits=4, group_size=32)
    assert load_checkpoint(local(path)).made_of["quantised"] == {"4 bits, group 32, affine": matrices}


def test_a_matrix_that_is_left_dense_is_named(config):
    from mlx import nn

    found = packings(nn.Sequential(nn.QuantizedLinear(64, 64), nn.Linear(64, 64), nn.Linear(64, 8)))
    assert stated(found) == {"quantised": {"4 bits, group 64, affine": "layers 0", "dense": "layers 1-2"}}


@pytest.mark.parametrize("bits", [None, 3, 4])
def test_a_uniform_checkpoint_is_recorded_by_its_bits(bits, config, local, tmp_path):
    checkpoint = load_checkpoint(local(write_random(tmp_path / "model", config("llama"), bits=bits)))
    assert checkpoint.made_of == {"revision": checkpoint.revision, "bits": bits}
