"""Controls of a direction: random vectors, directions from shuffled labels, and the stability of the real direction.

    >>> states = np.random.default_rng(1).standard_normal((2, 20, 8))
    >>> harmful, harmless = states[0] + 2.0, states[1]
    >>> direction = Direction(harmful.mean(axis=0) - harmless.mean(axis=0), layer=4, position=-1, stream_norm=1.0)
    >>> rng = np.random.default_rng(0)
    >>> bool(np.isclose(random_control(direction, rng).norm, direction.norm))
    True
    >>> shuffled = shuffled_control(direction, harmful, harmless, rng)
    >>> bool(abs(shuffled.unit @ direction.unit) < 1e-6)           # no component along the direction
    True
    >>> split_half(harmful, harmless, rng).mean() > split_half(harmful, harmless, rng, shuffled=True).mean()
    np.True_

Both controls are as long as the direction and act at its layer. A random vector misses the stream's few large dimensions; a
difference in means with shuffled labels has them, but does not depend on the kind of the states.
"""

import numpy as np

from assay.errors import DataError
from assay.methods.directions import Direction


def random_control(direction: Direction, rng: np.random.Generator) -> Direction:
    """A vector drawn uniformly from the sphere."""
    return direction.like(rng.standard_normal(len(direction.vector)))


def shuffled_control(
    direction: Direction, positive: np.ndarray, negative: np.ndarray, rng: np.random.Generator
) -> Direction:
    """Difference in means of the same states [N, E] under shuffled labels, less its component along the direction."""
    mixed = rng.permutation(np.concatenate([positive, negative]).astype(np.float64))
    drawn = mixed[: len(positive)].mean(axis=0) - mixed[len(positive) :].mean(axis=0)
    unit = direction.unit.astype(np.float64)
    return direction.like(drawn - (drawn @ unit) * unit)


def split_half(
    positive: np.ndarray, negative: np.ndarray, rng: np.random.Generator, *, draws: int = 100, shuffled: bool = False
) -> np.ndarray:
    """Cosine between directions found in two random halves of the states [N, E], for each draw: [draws].

    shuffled: permute the labels first, as a control. Raises DataError for fewer than two states of a kind.
    """
    if min(len(positive), len(negative)) < 2:
        raise DataError(f"two halves need two states of each kind, got {len(positive)} and {len(negative)}")
    out = np.zeros(draws)
    for i in range(draws):
        a, b = rng.permutation(positive.astype(np.float64)), rng.permutation(negative.astype(np.float64))
        if shuffled:
            mixed = rng.permutation(np.concatenate([a, b]))
            a, b = mixed[: len(a)], mixed[len(a) :]
        x = a[: len(a) // 2].mean(axis=0) - b[: len(b) // 2].mean(axis=0)
        y = a[len(a) // 2 :].mean(axis=0) - b[len(b) // 2 :].mean(axis=0)
        out[i] = x @ y / (np.linalg.norm(x) * np.linalg.norm(y))
    return out
