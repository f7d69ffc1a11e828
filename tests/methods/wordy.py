"""Tiny random models whose tokenizer has a token for each word of a few tasks, as that of a real model has.

lm = wordy.lm("gemma2")
lm.prompt("Q: big\\nA: small")            # BOS, "Q", ":", " big", "\\n", "A", ":", " small"
wordy.TOY                                # a task of words of its own: " ka" -> " KA"
"""

import functools
import tempfile
from pathlib import Path

import mlx.core as mx
import tiny
from mlx_lm.utils import load_tokenizer

from assay.data.tasks import Task, tasks
from assay.forward.lm import LM
from assay.models.tokenizer import write_tokenizer

VOCAB = 2048
SYLLABLES = [a + b for a in "kmprstvz" for b in "aeiou"]
TOY = Task(
    "toy",
    tuple((word, word.upper()) for word in SYLLABLES),
    ("train",) * 20 + ("valid",) * 8 + ("test",) * 12,  # type: ignore[arg-type]
)
OTHER = Task("other", tuple((word, f"{word}{word}") for word in SYLLABLES), TOY.splits)


@functools.cache
def tokenizer():
    """Byte-level with BOS, in the style of Llama."""
    words = [word for task in (*tasks(), TOY) for pair in task.pairs for word in pair]
    with tempfile.TemporaryDirectory() as folder:
        ids = write_tokenizer(
            Path(folder), "llama", corpus=[f" {word}" for word in words for _ in range(8)], vocab_size=VOCAB
        )
        return load_tokenizer(Path(folder), eos_token_ids=ids["eos_token_id"])


@functools.cache
def lm(name: str, weights: str = "float32") -> LM:
    """The LM of a tiny model of a family (`tiny.FAMILIES`)."""
    return LM(tiny.build(name, weights, vocab_size=VOCAB), tokenizer(), name=f"{name}, {weights}")


def added(vector, layer, at):
    """A change for the oracle `plain`: `vector` added to the stream that leaves `layer`, at some positions."""
    return lambda site, i, x: x.at[0, mx.array(at)].add(vector) if (site, i) == ("resid_post", layer) else x
