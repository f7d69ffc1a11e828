"""Controls of a direction: random vectors, directions from shuffled or permuted labels, and its stability.

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
    >>> permuted_differences(harmful, harmless, rng).shape         # as they are: some lie along the direction
    (99, 8)

Steering and ablation are compared with the first two controls, which are as long as the direction and act at its layer. A random
vector misses the stream's few large dimensions; a difference in means with shuffled labels has them, and without its component
along the direction does not do what the direction does.

Separation and cosines are compared with differences in means under permuted labels, left as they are. The direction is the
difference in means of the same states, so one that is orthogonal to it separates them worse than an unrelated one would.
"""

from collections.abc import Sequence

import numpy as np

from assay.errors import DataError
from assay.methods.directions import Direction
from assay.methods.geometry import cosine_matrix


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


def permuted_differences(
    positive: np.ndarray, negative: np.ndarray, rng: np.random.Generator, *, draws: int = 99
) -> np.ndarray:
    """Differences in means of the same states [N, E] under permuted labels, for each draw: [draws, E] float64."""
    both = np.concatenate([positive, negative]).astype(np.float64)
    weight = np.concatenate([np.full(len(positive), 1 / len(positive)), np.full(len(negative), -1 / len(negative))])
    return rng.permuted(np.tile(weight, (draws, 1)), axis=1) @ both


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


def cosine_pseudo_values(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Jackknife of the mean cosine between the differences in means of several sets of states: a value for each prompt, [2 N].

    pairs: for each set, say each language, the positive and the negative states, [N, E] each; state i is of the same prompt in
    every set, and left out of all sets together. The mean of the values is the mean cosine; its interval is that of a mean.
    Raises DataError for fewer than two sets, or than two states of a kind.
    """
    if len(pairs) < 2 or min(len(states) for pair in pairs for states in pair) < 2:
        raise DataError("a jackknife of cosines needs two sets or more, with two states of each kind or more")
    whole, out = mean_cosine(np.array([_difference(*pair) for pair in pairs])), []
    for kind in (0, 1):
        n = len(pairs[0][kind])
        without = np.array(
            [mean_cosine(np.array([_difference(*_less(pair, kind, i)) for pair in pairs])) for i in range(n)]
        )
        out.append(whole + 2 * (n - 1) * (without.mean() - without))
    return np.concatenate(out)


def mean_cosine(vectors: np.ndarray) -> float:
    """Mean cosine of every two of n vectors [n, E]. DataError for a vector of length 0."""
    return float(cosine_matrix(vectors)[np.triu_indices(len(vectors), 1)].mean())


def _difference(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    return positive.mean(axis=0, dtype=np.float64) - negative.mean(axis=0, dtype=np.float64)


def _less(pair: tuple[np.ndarray, np.ndarray], kind: int, i: int) -> list[np.ndarray]:
    """The states of both kinds without the i-th of one."""
    return [np.delete(states, i, axis=0) if k == kind else states for k, states in enumerate(pair)]
