"""The metadata of one architecture in a file, and a check that no key of it was overlooked.

    >>> keys = Keys({"general.architecture": "llama", "llama.block_count": 30, "llama.logit_scale": 2.0}, "m.gguf")
    >>> keys.integer("block_count")
    30
    >>> keys.check_all_read()
    Traceback (most recent call last):
    assay.errors.CheckpointError: m.gguf: llama.logit_scale is 2.0, which this package cannot honour (only 0, 1)

Every key that begins with the architecture's name must have been read, be in `HARMLESS`, or have one of its `NEUTRAL` values.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from assay.errors import CheckpointError

HARMLESS = {
    "vocab_size": "the embedding's rows say it",
    "tensor_data_layout": "a name for the order of q and k rows that all files of llama have",
    "rope.scaling.finetuned": "says how the model was made",
    "attention.layer_norm_epsilon": "of a LayerNorm, which these architectures have not",
}
"""Keys that do not change the model's output, and why."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "expert_count": (0,),
    "expert_used_count": (0,),
    "leading_dense_block_count": (0,),
    "nextn_predict_layers": (0,),
    "use_parallel_residual": (False,),
    "logit_scale": (0, 1),
    "residual_scale": (0, 1),
    "embedding_scale": (0, 1),
    "attn_logit_softcapping": (0,),
    "final_logit_softcapping": (0,),
    "attention.causal": (True,),
    "attention.clamp_kqv": (0,),
    "attention.max_alibi_bias": (0,),
    "attention.scale": (0,),
    "attention.output_scale": (0, 1),
    "attention.temperature_scale": (0,),
    "attention.sliding_window": (0,),
    "attention.shared_kv_layers": (0,),
    "pooling_type": (0,),
    "rope.scaling.alpha": (0, 1),
    "rope.scaling.attn_factor": (1,),
    "rope.scaling.yarn_log_multiplier": (0,),
}
"""Keys that change the model's output, and the values with which they do not."""

MISSING: Any = object()


class Keys:
    """Metadata under `<architecture>.`; remembers which keys were read."""

    def __init__(self, metadata: Mapping[str, Any], file: object):
        self.metadata, self.file = metadata, file
        self.architecture: str = metadata["general.architecture"]
        self.read: set[str] = set()

    def error(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self.file}: {what}")

    def get(self, key: str, default: Any = MISSING) -> Any:
        """The value in the file, or the default. Raises CheckpointError if both are missing."""
        self.read.add(key)
        value = self.metadata.get(f"{self.architecture}.{key}", default)
        if value is MISSING:
            raise self.error(
                f"{self.architecture}.{key} is missing, and a {self.architecture} cannot be read without it"
            )
        return value

    def integer(self, key: str, default: Any = MISSING, least: int = 1) -> int:
        """A whole number; a list (one for each layer) must hold one number throughout."""
        value = self.get(key, default)
        if isinstance(value, list) and len(set(map(repr, value))) == 1:
            value = value[0]
        if type(value) is not int or not least <= value < 1 << 31:
            raise self.error(f"{self.architecture}.{key} is {_brief(value)}, and should be one number from {least} up")
        return value

    def number(self, key: str, default: Any = MISSING, positive: bool = True) -> float:
        """A finite number, as the shortest decimal with the same float32 (see `shortest`)."""
        value = self.get(key, default)
        if type(value) not in (int, float) or not math.isfinite(value) or (positive and value <= 0):
            raise self.error(f"{self.architecture}.{key} is {_brief(value)}, and should be a finite number above 0")
        return shortest(value)

    def same(self, key: str, value: float, reason: str) -> None:
        """CheckpointError unless the key is absent or has this value."""
        found = self.get(key, value)
        if found != value:
            raise self.error(f"{self.architecture}.{key} is {_brief(found)}, and should be {value}: {reason}")

    def check_all_read(self) -> None:
        """CheckpointError that names the first key of the architecture that was not read and is not harmless."""
        prefix = f"{self.architecture}."
        for full, value in self.metadata.items():
            key = full.removeprefix(prefix)
            if not full.startswith(prefix) or key in self.read or key in HARMLESS:
                continue
            if key not in NEUTRAL:
                raise self.error(
                    f"{full} ({_brief(value)}) is not known to this package: it may change the model's numbers"
                )
            if isinstance(value, list | str) or value not in NEUTRAL[key]:
                allowed = ", ".join(map(str, NEUTRAL[key]))
                raise self.error(f"{full} is {_brief(value)}, which this package cannot honour (only {allowed})")


def shortest(value: float) -> float:
    """1e-05 for 9.999999747378752e-06: the shortest decimal that is the same float32, where `value` is a float32."""
    narrow = np.float32(value)
    return float(str(narrow)) if float(narrow) == value else float(value)


def _brief(value: object) -> str:
    text = repr(shortest(value) if isinstance(value, float) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."
