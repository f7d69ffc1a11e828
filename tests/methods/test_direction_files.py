"""Saved directions come back bit for bit with their provenance; exports follow llama.cpp's counting of layers."""

import mlx.core as mx
import numpy as np
import pytest

from assay.errors import DataError
from assay.methods.direction_files import control_vector, export_control_vector, load_direction, save_direction
from assay.methods.directions import Direction

VECTOR = np.random.default_rng(0).standard_normal(48).astype(np.float32)


def direction(**changes):
    fields = {"layer": 4, "position": -1, "stream_norm": 3.25, "provenance": {"model": "llama_tiny", "prompts": "ab12"}}
    return Direction(VECTOR, **fields | changes)


def test_comes_back_with_its_provenance(tmp_path):
    file = save_direction(direction(), tmp_path / "refusal.safetensors")
    back = load_direction(file, width=48)
    assert back.vector.tobytes() == VECTOR.tobytes()
    assert (back.layer, back.position, back.stream_norm, back.site) == (4, -1, 3.25, "resid_pre")
    assert back.provenance == {"model": "llama_tiny", "prompts": "ab12"}


def test_a_control_vector_is_added_where_the_direction_is(tmp_path):
    file = export_control_vector(direction(), tmp_path / "refusal.gguf", model_hint="llama")
    arrays, metadata = mx.load(str(file), return_metadata=True)
    assert list(arrays) == ["direction.3"]  # what enters layer 4 has left layer 3
    assert arrays["direction.3"].dtype == mx.float32
    assert np.array(arrays["direction.3"]).tobytes() == VECTOR.tobytes()
    assert metadata["general.architecture"] == "controlvector"
    assert metadata["controlvector.model_hint"] == "llama"
    assert list(control_vector(direction(site="resid_post"))) == ["direction.4"]


def test_what_the_format_cannot_say():
    with pytest.raises(DataError, match="cannot be added to resid_pre of layer 1"):
        control_vector(direction(layer=1))
    with pytest.raises(DataError, match="'mlp_out' lies inside one"):
        control_vector(direction(site="mlp_out"))


def test_files_that_are_no_directions(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        load_direction(tmp_path / "none.safetensors")
    mx.save_safetensors(str(tmp_path / "other.safetensors"), {"w": mx.zeros(3)})
    with pytest.raises(DataError, match=r"is not a direction saved by assay \(its tensors: w\)"):
        load_direction(tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(DataError, match="is not a safetensors file"):
        load_direction(tmp_path / "text.safetensors")
    file = save_direction(direction(), tmp_path / "refusal.safetensors")
    with pytest.raises(DataError, match="has width 48, the model 128"):
        load_direction(file, width=128)
