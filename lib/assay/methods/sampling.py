"""Sampling inside a sweep: the Gumbel-max trick as an edit, so that a variant's samples depend on its key alone.

    >>> variants = [sampling_edits(f"sample {i}", temperature=2.0) for i in range(3)]
    >>> sweep = lm.sweep("The capital of France is", variants, max_tokens=1, progress=False)
    >>> len({continuation.text for continuation in sweep.continuations}) > 1
    True

The likeliest token of `logits + temperature * noise`, with noise from the Gumbel distribution, is a sample of the softmax of
`logits / temperature`. So a sweep, which continues greedily, samples when its logits are edited in this way. The noise depends
on the key and the number of the step alone, not on other variants of the sweep. The logits of the sweep include the noise.

With `top_p` the sample is from the nucleus: the fewest tokens whose probabilities, at that temperature, sum to `top_p` or more
(Holtzman et al. 2020); the logits of all others are far below.
"""

import hashlib

import mlx.core as mx

from assay.errors import EditError
from assay.forward.edits import Edit, apply

LIMIT = 20.0  # float32 noise is within -3 and 17; at a uniform of exactly 0 or 1 it would be infinite
OUT = -1e9  # the logit of a token outside the nucleus: no noise reaches the others, and it is finite


class GumbelNoise:
    """Adds noise to the logits of one variant [1, 1, V], each call that of the next step."""

    def __init__(self, key: str, temperature: float, top_p: float = 1.0):
        self.key, self.temperature, self.top_p, self.step = key, temperature, top_p, 0

    def __call__(self, logits: mx.array) -> mx.array:
        seed = int.from_bytes(hashlib.sha256(f"{self.key}/{self.step}".encode()).digest()[:8])
        self.step += 1
        noise = mx.random.gumbel(logits.shape, mx.float32, key=mx.random.key(seed))
        logits = logits.astype(mx.float32)
        inside = _nucleus(logits, self.temperature, self.top_p) if self.top_p < 1 else logits
        return inside + self.temperature * mx.clip(noise, -LIMIT, LIMIT)


def _nucleus(logits: mx.array, temperature: float, top_p: float) -> mx.array:
    """The logits [.., V], with those outside the nucleus at `OUT`. Tokens as likely as the last one inside are inside."""
    ranked = mx.sort(logits, axis=-1)[..., ::-1]
    p = mx.softmax(ranked / temperature, axis=-1, precise=True)
    inside = mx.cumsum(p, axis=-1) - p < top_p  # those before it sum to less: the likeliest token always is
    least = mx.where(inside, ranked, mx.inf).min(axis=-1, keepdims=True)
    return mx.where(logits >= least, logits, OUT)


def sampling_edits(key: str, temperature: float = 1.0, top_p: float = 1.0) -> list[Edit]:
    """Edits that make the continuation of one variant of one sweep a sample. They count steps: make new ones for each variant.

    Raises EditError unless `temperature` is above 0, and `top_p` above 0 and at most 1 (1: all tokens).
    """
    if not temperature > 0:
        raise EditError(f"sampling needs a temperature above 0, got {temperature}; leave sampling out to be greedy")
    if not 0 < top_p <= 1:
        raise EditError(f"top_p is a share of the probability, above 0 and at most 1, got {top_p}")
    noise = GumbelNoise(key, temperature, top_p)
    return [apply("logits", noise, position=-1), apply("logits", noise, position="generated")]
