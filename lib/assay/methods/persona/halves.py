"""Two halves of the responses, which share neither a question nor an instruction: how alike are their vectors?

    >>> rng = np.random.default_rng(0)
    >>> about = [(question, pair) for question in "abcdef" for pair in "12345"] * 2     # positive responses, then negative ones
    >>> positive = np.arange(60) < 30
    >>> states = rng.standard_normal((60, 2, 8)) + 2.0 * positive[:, None, None]        # responses, layers, width
    >>> half = disjoint_halves(about, positive, rng)
    >>> [int((half == one).sum()) for one in (0, 1, -1)]                                # -1: in neither
    [18, 12, 30]
    >>> low, high = half_cosine_interval(states, positive, about, half)
    >>> bool(low < half_cosine(states, positive, half) <= high)
    True

What two responses are *about* is a label for each factor: a name, or a question and the pair of instructions that it was asked
under. A response to a question of one half under an instruction of the other half is in neither, so the halves are independent.
The interval is that of other questions and other instructions (`crossed.py`). Cosines of several divisions of the same responses
are not independent, and their spread is no interval.
"""

from collections.abc import Hashable, Sequence

import numpy as np

from assay.methods.persona.crossed import crossed_interval
from assay.stats import Interval


def disjoint_halves(
    about: Sequence[Sequence[Hashable]], positive: Sequence[bool] | np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """0 or 1, the half of each of N responses, or -1 for one that is in neither: [N] int.

    The labels of each factor are divided in two at random, those of each kind of responses evenly.
    """
    sides = []
    for labels in zip(*about, strict=True):
        kinds: dict[Hashable, set[bool]] = {}
        for label, kind in zip(labels, positive, strict=True):
            kinds.setdefault(label, set()).add(bool(kind))
        order = [list(kinds)[i] for i in rng.permutation(len(kinds))]
        order.sort(key=lambda label: sorted(kinds[label]))
        side = {label: i % 2 for i, label in enumerate(order)}
        sides.append([side[label] for label in labels])
    return np.array([one[0] if len(set(one)) == 1 else -1 for one in zip(*sides, strict=True)])


def exchanged_labels(
    about: Sequence[Sequence[Hashable]], positive: Sequence[bool] | np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Labels of N responses with those about the same thing exchanged, or not, at random: [N] bool. A control of the vectors."""
    flips = {one: bool(rng.integers(2)) for one in dict.fromkeys(map(tuple, about))}
    return np.asarray(positive, bool) ^ np.array([flips[tuple(one)] for one in about])


def half_cosine(states: np.ndarray, positive: np.ndarray, half: np.ndarray, kept: np.ndarray | None = None) -> float:
    """Cosine of the differences in means of the two halves, in the mean over layers; NaN if a half lacks a kind.

    states: [N, L, E]. positive: [N] bool. half: as of `disjoint_halves`. kept: [N] bool, of the responses that count.
    """
    means = []
    for one in (0, 1):
        some = (half == one) if kept is None else (half == one) & kept
        kinds = [states[some & (positive == kind)] for kind in (True, False)]
        if not all(map(len, kinds)):
            return float("nan")
        means.append(kinds[0].mean(axis=0, dtype=np.float64) - kinds[1].mean(axis=0, dtype=np.float64))
    a, b = means
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return float(((a * b).sum(axis=-1) / np.maximum(lengths, np.finfo(np.float64).tiny)).mean())


def half_cosine_interval(
    states: np.ndarray, positive: np.ndarray, about: Sequence[Sequence[Hashable]], half: np.ndarray
) -> Interval:
    """The interval of `half_cosine`, for other labels of every factor."""
    used = half >= 0
    states, positive, half = states[used], positive[used], half[used]
    some = [one for one, here in zip(about, used, strict=True) if here]
    strata = list(zip(half.tolist(), positive.tolist(), strict=True))
    factors = list(zip(*some, strict=True))
    return crossed_interval(lambda kept: half_cosine(states, positive, half, kept), factors, (-1.0, 1.0), strata)
