"""Choices: how well the probabilities of answers agree with what is true (Kadavath et al. 2022).

    >>> p_true = [0.1, 0.2, 0.9, 0.4]                   # of four proposed answers, of which the third is right
    >>> float(squared_errors(p_true, [False, False, True, False]).mean()) < 0.25      # a probability of one half scores 0.25
    True

The probability of an answer against another is its *preference* (`assay.methods.preferences`). Two measures of *calibration*
compare such probabilities with outcomes; they run no model.
"""

from collections.abc import Sequence

import numpy as np

from assay.errors import DataError


def squared_errors(p: Sequence[float] | np.ndarray, came_true: Sequence[bool] | np.ndarray) -> np.ndarray:
    """Squared distance of each probability from its outcome, 1 (true) or 0 (false): [N]. Their mean is the Brier score.

    0 at best, 1/4 for a probability of 1/2. Raises DataError for a number outside 0 to 1, and unless each has its outcome.
    """
    return np.square(_off(p, came_true))


def calibration_error(p: Sequence[float] | np.ndarray, came_true: Sequence[bool] | np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: |mean probability - share of true outcomes| in bins of equal width, weighted by their counts.

    Raises as `squared_errors`, and DataError for less than one bin.
    """
    if bins < 1:
        raise DataError(f"calibration needs one bin or more, got {bins}")
    off, edges = _off(p, came_true), np.linspace(0.0, 1.0, bins + 1)[1:-1]
    place = np.digitize(p, edges)
    return float(sum(abs(off[place == i].sum()) for i in range(bins)) / len(off))


def _off(p: Sequence[float] | np.ndarray, came_true: Sequence[bool] | np.ndarray) -> np.ndarray:
    """Probability minus outcome, [N]. Raises as `squared_errors`."""
    if not len(p) or len(p) != len(came_true):
        raise DataError(f"calibration needs one truth for each probability, got {len(came_true)} for {len(p)}")
    given = np.asarray(p, np.float64)
    if not ((given >= 0) & (given <= 1)).all():
        raise DataError("a probability lies between 0 and 1")
    return given - np.asarray(came_true, np.float64)
