"""A config whose rotary embedding mlx-lm would silently ignore is refused, whatever the spelling."""

import pytest
from mlx_lm.utils import _get_classes

from assay.errors import CheckpointError
from assay.models.registry import FAMILIES
from assay.models.rope import check_rope
from assay.models.shapes import SHAPES

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
GEMMA3 = {
    "full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
}
LONG = {"type": "longrope", "long_factor": [2.0] * 8, "short_factor": [1.0] * 8}


def check(config):
    check_rope(config, _get_classes(config)[1].from_dict(config))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_old_form_is_read(family, config):
    check(config(family, rope_theta=5e5))
    check(config(family, rope_theta=5e5, rope_parameters=None, rope_scaling=None if family != "llama" else LLAMA3))


@pytest.mark.parametrize("name", range(len(SHAPES)))
def test_the_registered_models_are_read(name):
    check(list(SHAPES.values())[name])


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "qwen3"])
def test_the_new_form_alone_is_refused(family, config):
    old = {"rope_theta", "rope_scaling"}
    base = {key: value for key, value in config(family).items() if key not in old}
    with pytest.raises(CheckpointError, match=r"'rope_theta': 123456\.0\} \(full_attention\).*would silently use"):
        check({**base, "rope_parameters": {"rope_type": "default", "rope_theta": 123456.0}})


def test_qwen3_reads_the_new_form(config):
    base = {key: value for key, value in config("qwen3").items() if key != "rope_theta"}
    check({**base, "rope_parameters": {"rope_type": "default", "rope_theta": 5e6}})
    check({**base, "rope_parameters": {**YARN, "rope_theta": 5e6}})
    with pytest.raises(CheckpointError, match=r"5000000\.0.*use \{'rope_theta': 1000000\.0\}"):
        check({**base, "rope_theta": 1e6, "rope_parameters": {"rope_type": "default", "rope_theta": 5e6}})


@pytest.mark.parametrize(
    ("family", "extra"),
    [
        ("llama", {"rope_theta": 5e5, "rope_scaling": LLAMA3, "rope_parameters": {**LLAMA3, "rope_theta": 5e5}}),
        ("llama", {"rope_theta": 500000, "rope_scaling": LLAMA3, "rope_parameters": {**LLAMA3, "rope_theta": 5e5}}),
        ("qwen2", {"rope_theta": 1e6, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}),
        ("qwen2", {"rope_scaling": {"type": "yarn", **YARN}, "rope_parameters": {**YARN, "rope_theta": 1e4}}),
        ("gemma3_text", {"rope_theta": 1e6, "rope_local_base_freq": 1e4, "rope_parameters": GEMMA3}),
        ("phi3", {"rope_scaling": {**LONG, "short_factor": [2.0] * 8}, "original_max_position_embeddings": 4096}),
        ("phi3", {"partial_rotary_factor": 0.5, "rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}),
        ("gemma2", {"rope_parameters": {"rope_theta": 10000.0, "attention_factor": None}}),
    ],
)
def test_both_forms_that_agree_are_accepted(family, extra, config):
    check(config(family, **extra))


@pytest.mark.parametrize(
    ("family", "extra", "message"),
    [
        ("llama", {"rope_parameters": {**LLAMA3, "rope_theta": 1e4}}, r"'factor': 32\.0.*use \{'factor': 8\.0"),
        ("mistral", {"rope_theta": 1e6, "rope_parameters": {**LLAMA3, "rope_theta": 1e6}}, r"'rope_type': 'llama3'"),
        ("qwen2", {"rope_parameters": {**YARN, "rope_theta": 1e4}}, r"'yarn'.*use \{'rope_type': 'default'"),
        ("gemma2", {"rope_scaling": {"type": "linear", "factor": 2.0}}, r"'linear'.*gemma2 would silently use"),
        ("gemma3_text", {"rope_theta": 1e6, "rope_local_base_freq": 2e4, "rope_parameters": GEMMA3}, r"\(sliding_att"),
        ("gemma3_text", {"rope_local_base_freq": 1e4, "rope_parameters": GEMMA3}, r"\(full_.* rope_local_base_freq"),
        ("llama", {"partial_rotary_factor": 0.5}, r"'partial_rotary_factor': 0\.5"),
        ("phi3", {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, r"'partial_rotary_factor'"),
        ("phi3", {"rope_scaling": {**LONG, "type": "yarn"}}, r"'yarn'.*use \{.*'default'"),
        ("phi3", {"rope_scaling": LONG}, r"takes the long factors for every prompt"),
        ("phi3", {"rope_scaling": {**LONG, "type": "su"}}, r"takes the long factors for every prompt"),
    ],
)
def test_forms_that_disagree_are_refused(family, extra, message, config):
    with pytest.raises(CheckpointError, match=message):
        check(config(family, **extra))
