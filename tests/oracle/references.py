"""What transformers said of a part of the variants and of those with a limit: committed, so that no test of it needs torch.

    saved = load()["gemma2-window"]
    saved.last[9].shape, saved.columns.shape, saved.logsumexp.shape      # ((320,), (17, 32), (17,))

For the last token of every prompt all logits are kept; for every token of the longest prompt 32 columns, and the log of the sum
of all exponentials. `python tests/oracle/make_references.py` writes the file again.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bounds import LIMIT, LIMITED
from families import LENGTHS, WINDOW, Config, prompt
from variants import VARIANTS

FILE = Path(__file__).with_name("references.npz")
COLUMNS = tuple(range(0, 320, 10))
CONTINUED = WINDOW + 1
"""The prompt of this length is continued."""
TOKENS = 6

SAVED = (
    *("llama-plain", "mistral-plain", "qwen2-plain", "qwen3-plain", "gemma2-plain", "gemma3_text-plain", "phi3-plain"),
    *("gemma2-window", "mistral-window", "phi3-window", "qwen2-window", "qwen3-window-later", "qwen3-layer-types"),
    *(
        "gemma2-layer-types",
        "gemma3_text-pattern-underscore",
        "phi3-longrope",
        "phi3-longrope-long",
        "phi3-of-phi-4-mini",
    ),
    *(
        "llama-gelu",
        "gemma2-relu",
        "llama-tie-absent",
        "llama-tied",
        "qwen3-tie-absent",
        "llama-llama3-new",
        "qwen2-yarn-betas",
    ),
    *(
        "gemma3_text-local-linear-new",
        "gemma2-softcap-null",
        "gemma3_text-final-softcap",
        "llama-all-bias",
        "mistral-mixed-6",
    ),
    "qwen3-two-heads",
)
"""Variants whose references are committed: every family, and every kind of feature."""

CONFIGS: dict[str, Config] = {
    **{name: VARIANTS[name] for name in SAVED},
    **{f"limit-{k}": v for k, v in LIMITED.items()},
}


def lengths(name: str) -> tuple[int, ...]:
    """The lengths of the prompts of a reference."""
    return (*(n for n in LENGTHS if n < LIMIT), LIMIT) if name.startswith("limit-") else LENGTHS


@dataclass(frozen=True)
class Reference:
    """What transformers said of one config."""

    config: Config
    shapes: dict[str, tuple[int, ...]]
    """Of the tensors, by their names in the checkpoint."""
    last: dict[int, np.ndarray]
    """length of the prompt -> the logits after its last token [V]"""
    columns: np.ndarray
    """Of the longest prompt: the logits `COLUMNS` after each token [L, 32]."""
    logsumexp: np.ndarray
    """Of the longest prompt, after each token [L]."""
    tokens: tuple[int, ...]
    """The greedy continuation of the prompt of `CONTINUED` tokens."""

    @property
    def long(self) -> list[int]:
        """The longest prompt."""
        return prompt(max(self.last))


def logsumexp(logits: np.ndarray) -> np.ndarray:
    """The log of the sum of exponentials of the last axis, computed in float64."""
    exact = logits.astype(np.float64)
    top = exact.max(axis=-1, keepdims=True)
    return top[..., 0] + np.log(np.exp(exact - top).sum(axis=-1))


def apart(ours: Any, theirs: np.ndarray) -> float:
    """The largest difference, relative to the largest expected value."""
    return float(abs(np.asarray(ours) - theirs).max() / abs(theirs).max())


@functools.cache
def load() -> dict[str, Reference]:
    """The committed references by name."""
    with np.load(FILE) as file:
        arrays = dict(file)
    about = json.loads(arrays.pop("about").tobytes())
    return {
        name: Reference(
            entry["config"],
            {tensor: tuple(shape) for tensor, shape in entry["shapes"].items()},
            dict(zip(entry["lengths"], arrays[f"{name}/last"], strict=True)),
            arrays[f"{name}/columns"],
            arrays[f"{name}/logsumexp"],
            tuple(entry["tokens"]),
        )
        for name, entry in about["references"].items()
    }
