"""Sampling inside a sweep: the Gumbel-max trick as an edit, so that a variant's samples depend on its key alone.

    >>> variants = [sampling_edits(f"sample {i}", temperature=2.0) for i in range(3)]
    >>> sweep = lm.sweep("The capital of France is", variants, max_tokens=1, progress=False)
    >>> len({continuation.text for continuation in sweep.continuations}) > 1
    True

The likeliest token of `logits + temperature * noise`, with noise from the Gumbel distribution, is a sample of the softmax of
`logits / temperature`. So a sweep, which continues greedily, samples when its logits are edited in this way. The noise depends
on the key and the number of the step alone, not on other variants of the sweep. The logits of the sweep include the noise.
"""

import hashlib

import mlx.core as mx

from assay.errors import EditError
from assay.forward.edits import Edit, apply

LIMIT = 20.0  # float32 noise is within -3 and 17; at a uniform of exactly 0 or 1 it would be infinite


class GumbelNoise:
    """Adds noise to the logits of one variant [1, 1, V], each call that of the next step."""

    def __init__(self, key: str, temperature: float):
        self.key, self.temperature, self.step = key, temperature, 0

    def __call__(self, logits: mx.array) -> mx.array:
        seed = int.from_bytes(hashlib.sha256(f"{self.key}/{self.step}".encode()).digest()[:8])
        self.step += 1
        noise = mx.random.gumbel(logits.shape, mx.float32, key=mx.random.key(seed))
        return logits.astype(mx.float32) + self.temperature * mx.clip(noise, -LIMIT, LIMIT)


def sampling_edits(key: str, temperature: float = 1.0) -> list[Edit]:
    """Edits that make the continuation of one variant of one sweep a sample. They count steps: make new ones for each variant.

    Raises EditError unless `temperature` is above 0.
    """
    if not temperature > 0:
        raise EditError(f"sampling needs a temperature above 0, got {temperature}; leave sampling out to be greedy")
    noise = GumbelNoise(key, temperature)
    return [apply("logits", noise, position=-1), apply("logits", noise, position="generated")]
