"""Families: one small class for each mlx-lm architecture that differs from Llama, over mlx-lm's unmodified modules.

    >>> adapt(lm.model).n_layers
    8

`base` has the parts of a family. A new family is a file beside it, and a line in `FAMILIES`. `follow` changes a family where the
published model computes something else than mlx-lm's.
"""

from typing import Any

from assay.errors import UnsupportedFamily, unknown
from assay.forward.families.base import Family
from assay.forward.families.follow import follow
from assay.forward.families.gemma2 import Gemma2
from assay.forward.families.gemma3 import Gemma3
from assay.forward.families.llama import Llama
from assay.forward.families.phi3 import Phi3
from assay.models.config import Published

FAMILIES: dict[str, type[Family]] = {
    "llama": Llama,
    "mistral": Llama,
    "qwen2": Llama,
    "qwen3": Llama,
    "phi3": Phi3,
    "gemma2": Gemma2,
    "gemma3_text": Gemma3,
}
"""The class for each `model_type` of a checkpoint's config.json."""


def adapt(model: Any, published: Published | None = None) -> Family:
    """The family of a model that mlx-lm has loaded: as published, or without `published` as mlx-lm computes it.

    Raises UnsupportedFamily, naming the supported ones.
    """
    if model.model_type not in FAMILIES:
        raise unknown(UnsupportedFamily, "model family", model.model_type, FAMILIES)
    family = FAMILIES[model.model_type](model)
    if published is not None:
        follow(family, published)
    return family
