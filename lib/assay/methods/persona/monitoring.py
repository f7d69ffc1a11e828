"""Monitoring: does the projection of a prompt's last token predict what the response will show? (Chen et al. 2025, 3.3)

    >>> projections, scores, names = [0.1, 0.4, 0.3, 0.8, 0.2, 0.7], [0, 0, 0, 1, 1, 1], [(name,) for name in "abcdef"]
    >>> low, high = rank_correlation_interval(projections, scores, names)
    >>> bool(low < spearman(projections, scores) < high)
    True
    >>> states = np.random.default_rng(0).standard_normal((40, 3, 8))              # prompts, layers, width
    >>> states[:20, 1, 0] += 9.0
    >>> monitor_layers(states, np.arange(40) < 20, np.ones((2, 3, 8)) * np.eye(8)[0])  # of two directions at each layer
    array([1, 1])

Prompts about one thing are not independent, and instructions differ in what they do: the interval is that of other labels of
every factor (`crossed.py`), so that of other questions and other instructions.
"""

import math
from collections.abc import Hashable, Sequence

import numpy as np

from assay.methods.persona.crossed import crossed_interval
from assay.methods.separation import spearman
from assay.stats import Interval

MOST = 1 - 1e-9
"""Of a correlation: that of 1 is infinite by Fisher's transformation."""


def rank_correlation_interval(
    projections: Sequence[float] | np.ndarray, scores: Sequence[float] | np.ndarray, about: Sequence[Sequence[Hashable]]
) -> Interval:
    """The interval of Spearman's correlation of N prompts, for other labels of every factor.

    about: the labels of each prompt, one for each factor. NaN where projections or scores are all equal. By Fisher's
    transformation, as the distribution of a large correlation leans to one side, and at least as wide as that of N independent
    prompts (Fieller et al. 1957): where nearly all of them are in order, leaving one out changes too little.
    """
    x, y = np.asarray(projections, float), np.asarray(scores, float)

    def transformed(kept: np.ndarray) -> float:
        return float(np.arctanh(np.clip(spearman(x[kept], y[kept]), -MOST, MOST)))

    whole, bounds = transformed(np.ones(len(x), bool)), (-math.inf, math.inf)
    low, high = crossed_interval(transformed, list(zip(*about, strict=True)), bounds)
    least = 1.96 * math.sqrt(1.06 / (len(x) - 3)) if len(x) > 3 else math.inf
    return math.tanh(min(low, whole - least)), math.tanh(max(high, whole + least))


def monitor_layers(states: np.ndarray, shows: Sequence[bool] | np.ndarray, directions: np.ndarray) -> np.ndarray:
    """For each of D directions, with a vector at each layer, the layer at which projections go with `shows` most: [D].

    states: [N, L, E]. shows: [N]. directions: [D, L, E]. By Pearson's correlation, whichever way a direction points.
    """
    y = np.asarray(shows, float) - np.mean(shows)
    along = np.einsum("nle,dle->dln", states.astype(np.float64), directions, optimize=True)
    along -= along.mean(axis=-1, keepdims=True)
    lengths = np.maximum(np.linalg.norm(along, axis=-1), np.finfo(np.float64).tiny)
    return (np.abs(along @ y) / lengths).argmax(axis=1)
