"""The geometry of a set of vectors: are those of one kind closer to each other than to those of other kinds? (FV-19)

    >>> cosines = cosine_matrix(np.array([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0], [0.1, 1.0]]))
    >>> kinds = ["antonym", "antonym", "capitals", "capitals"]
    >>> own, others = within_and_between_kinds(cosines, kinds)
    >>> bool((own > others).all()), nearest_is_own_kind(cosines, kinds).tolist()
    (True, [True, True, True, True])

Every vector has a kind (its task) and is made from its own data (other queries), so that vectors of a kind share no prompts. A
kind gives one value, however many vectors it has: the cosine of two vectors is one observation, not two.
"""

from collections.abc import Sequence

import numpy as np

from assay.errors import DataError


def cosine_matrix(vectors: np.ndarray) -> np.ndarray:
    """Cosine of every two of n vectors [n, E]: [n, n]. Raises DataError for a vector of length 0."""
    vectors = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (lengths > 0).all():
        raise DataError(f"vector {int(np.flatnonzero(lengths[:, 0] == 0)[0])} is zero: it has no direction")
    return (vectors / lengths) @ (vectors / lengths).T


def within_and_between_kinds(cosines: np.ndarray, kinds: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """For each kind, the mean cosine of two of its vectors, and of one of them with one of another kind: two arrays [kinds].

    The kinds are in the order of their first vectors. Raises DataError for a kind with one vector, and for a single kind.
    """
    names = list(dict.fromkeys(kinds))
    belongs = np.array(kinds)[None] == np.array(names)[:, None]
    sizes = belongs.sum(axis=1)
    if len(names) < 2 or (sizes < 2).any():
        raise DataError("closeness needs two kinds or more, of two vectors or more each")
    apart = cosines * ~np.eye(len(kinds), dtype=bool)
    of_kinds = belongs @ apart @ belongs.T
    within = of_kinds.diagonal()
    return within / (sizes * (sizes - 1)), (of_kinds.sum(axis=1) - within) / (sizes * (len(kinds) - sizes))


def nearest_is_own_kind(cosines: np.ndarray, kinds: Sequence[str]) -> np.ndarray:
    """Whether the nearest other vector is of the same kind, [n] bool."""
    away = np.where(np.eye(len(kinds), dtype=bool), -np.inf, cosines)
    return np.array(kinds)[away.argmax(axis=1)] == np.array(kinds)
