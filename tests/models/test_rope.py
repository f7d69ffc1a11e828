"""The rotary embedding that config.json describes: every scaling type, against mlx-lm's modules and by hand."""

import math

import numpy as np
import pytest
from mlx_lm.models.rope_utils import initialize_rope

from assay.errors import CheckpointError
from assay.forward.families.follow import rotates, rotation
from assay.models.rope import TYPES, rotary

THETA, DIM = 1e4, 16
PLAIN = np.float32(THETA) ** -(np.arange(0, DIM, 2, dtype=np.float32) / DIM)
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
YARN = {"factor": 4.0, "original_max_position_embeddings": 32}
LONG = {"short_factor": [1.0] * 8, "long_factor": [2.0] * 8, "original_max_position_embeddings": 32}


def rope(kind, **parameters):
    return rotary({"rope_type": kind, "rope_theta": THETA, **parameters}, DIM, 128)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("default", {}), ("linear", {"factor": 4.0}), ("llama3", LLAMA3), ("yarn", YARN),
     ("yarn", {**YARN, "beta_fast": 16, "beta_slow": 2}), ("dynamic", {"factor": 2.0})],
)  # fmt: skip
def test_types_that_mlx_lm_computes_as_published(kind, parameters):
    module = initialize_rope(DIM, THETA, False, {"type": kind, **parameters}, 128)
    mine = rope(kind, **parameters)
    assert rotates(module, mine, DIM)
    assert rotates(rotation(mine, DIM), mine, DIM)
    other = rope("default") if kind not in ("default", "dynamic") else rope("linear", factor=2.0)
    assert not rotates(module, other, DIM)


@pytest.mark.parametrize("what", ["frequency", "factor", "dims"])
def test_a_small_difference_is_found(what):
    mine, slow = rope("default"), PLAIN.copy()
    slow[-1] *= 1 + 1e-4
    changed = {
        "frequency": rotation(type(mine)(slow), DIM),
        "factor": rotation(type(mine)(PLAIN, 1.001), DIM),
        "dims": rotation(type(mine)(PLAIN[:-1]), DIM),
    }[what]
    assert rotates(rotation(mine, DIM), mine, DIM)
    assert not rotates(changed, mine, DIM)


def test_short_factors_hold_up_to_the_original_length():
    found = rope("longrope", **LONG, factor=4.0)
    assert found.frequencies.tolist() == PLAIN.tolist()
    assert found.factor == pytest.approx(math.sqrt(1 + math.log(4) / math.log(32)))
    assert found.limit == 32
    assert rope("longrope", **{**LONG, "short_factor": [2.0] * 8}).limit is None, "both sets are the same"
    assert rope("longrope", **LONG, attention_factor=1.5).factor == 1.5
    assert rope("longrope", **LONG).factor == rope("longrope", **LONG, factor=128 / 32).factor


def test_dynamic_holds_up_to_the_longest():
    assert rope("dynamic", factor=2.0).limit == 128


def test_yarn_scales_queries_and_keys():
    assert rope("yarn", **YARN).factor == pytest.approx(0.1 * math.log(4) + 1)
    assert rope("yarn", **YARN, attention_factor=1.25).factor == 1.25
    both = rope("yarn", **YARN, mscale=2.0, mscale_all_dim=1.0)
    assert both.factor == pytest.approx((0.2 * math.log(4) + 1) / (0.1 * math.log(4) + 1))
    assert rope("yarn", **YARN, mscale=2.0).factor == rope("yarn", **YARN).factor, "one of the two is not used"
    whole, cut = rope("yarn", **YARN).frequencies, rope("yarn", **YARN, truncate=False).frequencies
    assert (whole != cut).any()
    assert whole[0] == PLAIN[0]
    assert whole[-1] == pytest.approx(PLAIN[-1] / 4)


def test_a_part_of_the_head():
    found = rope("default", partial_rotary_factor=0.5)
    assert found.dims == 8
    assert found.frequencies.tolist() == (np.float32(THETA) ** -(np.arange(0, 8, 2, dtype=np.float32) / 8)).tolist()


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("lama3", LLAMA3, r"unknown rope_type in config\.json 'lama3'\. Did you mean llama3\?"),
        (None, {}, "unknown rope_type in config.json None"),
        ("linear", {}, "cannot be computed: no 'factor'"),
        ("linear", {"factor": "four"}, "cannot be computed"),
        ("linear", {"factor": 0.0}, "gives no frequency"),
        ("yarn", {"factor": 4.0}, "no 'original_max_position_embeddings'"),
        ("yarn", {**YARN, "original_max_position_embeddings": -1}, "cannot be computed"),
        ("longrope", {**LONG, "short_factor": [1.0] * 7}, "cannot be computed"),
        ("default", {"rope_theta": -3.0}, "gives no frequency"),
        ("default", {"rope_theta": None}, "gives no frequency"),
    ],
)
def test_what_cannot_be_computed(kind, parameters, message):
    with pytest.raises(CheckpointError, match=message):
        rope(kind, **parameters)


def test_every_type_is_tested():
    assert set(TYPES) == {"default", "linear", "dynamic", "yarn", "longrope", "llama3"}
