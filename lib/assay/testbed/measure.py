"""Continuations of many prompts, and rates: used by all measurements of a built-in model.

>>> answered(lm, {"capital": "The capital of France is"})
{'capital': ' Paris.'}
>>> rate([True, True, False])
0.6667
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from mlx_lm.utils import load_model, load_tokenizer
from tqdm import tqdm

from assay.forward.lm import LM
from assay.forward.positions import Prompt
from assay.methods.portions import batches

MAX_TOKENS = 10
BATCH = 256  # prompts generated together

Key = TypeVar("Key")


def load_for_measuring(folder: Path) -> LM:
    """The checkpoint in `folder`, as `mlx_lm.load` opens it, with float32 activations."""
    model, config = load_model(folder)
    return LM(model, load_tokenizer(folder, eos_token_ids=config["eos_token_id"]), name=folder.name)


def answered(lm: LM, prompts: Mapping[Key, str | Prompt], max_tokens: int = MAX_TOKENS) -> dict[Key, str]:
    """The greedy continuation of each prompt, up to ten tokens."""
    by_length: dict[int, list[tuple[Key, Prompt]]] = {}
    for key, prompt in prompts.items():
        read = lm.prompt(prompt)
        by_length.setdefault(len(read), []).append((key, read))
    alike = [batch for found in by_length.values() for batch in batches(found, BATCH)]
    out = {}
    for batch in tqdm(alike, desc=f"answers of {lm.name}", unit="batch", delay=1.0, leave=False):
        made = lm.generate([prompt for _, prompt in batch], max_tokens=max_tokens)
        out |= {key: generation.text for (key, _), generation in zip(batch, made, strict=True)}
    return out


def rate(found: Sequence[float]) -> float:
    """The mean, rounded as in testbed.json; NaN without values."""
    return round(sum(found) / len(found), 4) if found else float("nan")
