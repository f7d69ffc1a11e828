"""What a file leaves out and the publisher's config has: recognised by the shape of the model that it is true of."""

from typing import Any

import pytest

from assay.models.gguf.config import Sizes, config
from assay.models.gguf.keys import Keys, shortest

MISTRAL = Sizes(layers=32, E=4096, F=14336, H=32, K=8, D=128, V=32000)
PHI_MINI = Sizes(layers=32, E=3072, F=8192, H=32, K=32, D=96, V=32064)


def made(architecture: str, sizes: Sizes, context: int, base: float, **more: Any) -> dict[str, Any]:
    """The config of a file that says no more than it must."""
    own = {"context_length": context, "rope.freq_base": base, "attention.layer_norm_rms_epsilon": 9.999999747378752e-06}
    said = {f"{architecture}.{key}": value for key, value in {**own, **more}.items()}
    keys = Keys({"general.architecture": architecture, **said}, "file")
    return config(keys, sizes, {}, tied=False)


@pytest.mark.parametrize(
    ("context", "base", "family", "window"),
    [
        (32768, 10000.0, "mistral", 4096),  # Mistral-7B v0.1 and what was made from it
        (32768, 1000000.0, "llama", None),  # v0.2, v0.3: no window
        (8192, 500000.0, "llama", None),  # Llama-3-8B, of the same widths
    ],
)
def test_the_window_of_mistral_v01(context: int, base: float, family: str, window: int | None):
    result = made("llama", MISTRAL, context, base)
    assert (result["model_type"], result.get("sliding_window")) == (family, window)


@pytest.mark.parametrize(
    ("context", "more", "window"),
    [
        (4096, {}, 2047),
        (4096, {"attention.sliding_window": 0}, None),
        (4096, {"attention.sliding_window": 1024}, 1024),
        (131072, {}, None),
    ],
)
def test_the_window_of_early_phi3_files(context: int, more: dict[str, Any], window: int | None):
    assert made("phi3", PHI_MINI, context, 10000.0, **more)["sliding_window"] == window


def test_phi4_mini_rotates_a_part():
    part = made("phi3", Sizes(32, 3072, 8192, 24, 8, 128, 200064), 131072, 10000.0, **{"rope.dimension_count": 96})
    assert part["partial_rotary_factor"] == 0.75


def test_numbers_are_those_a_person_wrote():
    """float32 in the file; transformers computes with the decimal in float64."""
    assert made("llama", MISTRAL, 8192, 500000.0)["rms_norm_eps"] == 1e-5
    assert shortest(9.999999974752427e-07) == 1e-6
    assert shortest(0.1) == 0.1  # a float64, as it is
