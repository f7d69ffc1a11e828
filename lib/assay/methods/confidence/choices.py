"""Choices: the probability of one answer against another, at the first token that differs (Kadavath et al. 2022).

    >>> from assay.data.knowledge import statements
    >>> asked = statements("test")[:4]
    >>> p_true = answer_preference(lm, [item.proposal for item in asked], ("(A)", "(B)"))
    >>> p_true.round(1), [item.true for item in asked]
    (array([0., 0., 1., 0.]), [True, False, True, False])
    >>> squared_errors(p_true, [item.true for item in asked]).mean() < 0.25          # a probability of one half scores 0.25
    np.True_

Two answers to one prompt share their tokens up to a first one that differs. The *preference* is the probability of the first
answer's token there, normalised over the two: "(A" against "(B", or "A" against "B" after "(", as the tokenizer splits them.
Two measures of *calibration* compare such probabilities with outcomes; they run no model.
"""

from collections.abc import Sequence

import numpy as np

from assay.errors import DataError, PromptError
from assay.forward.lm import LM
from assay.forward.positions import Prompt
from assay.methods.distributions import log_probs
from assay.methods.portions import Track, batches


def answer_preference(
    lm: LM,
    asked: Sequence[str],
    answers: tuple[str, str],
    *,
    batch: int = 16,
    track: Track = iter,
) -> np.ndarray:
    """Probability of the first of two answers, against the second, to each of N questions of a user: [N] float64.

    asked: the questions, put into the model's chat template. Raises NoChatTemplate without one, and PromptError for no
    questions, for equal answers, and for answers whose first different tokens begin alike.
    """
    if not asked:
        raise PromptError("the set of questions is empty: there is nothing to choose")
    parted = [where_answers_part(lm, one, answers) for one in asked]
    out = []
    for some in track(list(batches(parted, batch))):
        logits = np.array(lm.run([prompt for prompt, _ in some]).logits)
        pairs = np.take_along_axis(logits, np.array([tokens for _, tokens in some]), axis=-1)
        out.append(np.exp(log_probs(pairs))[:, 0])
    return np.concatenate(out)


def where_answers_part(lm: LM, asked: str, answers: tuple[str, str]) -> tuple[Prompt, tuple[int, int]]:
    """The prompt with the tokens that two answers share, and each answer's next token. Raises as `answer_preference`."""
    first, second = (lm.chat(asked, answer=answer).tokens for answer in answers)
    at = next((i for i, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), None)
    if at is None:
        raise PromptError(
            f"{answers[0]!r} and {answers[1]!r} never part: give answers that begin with different tokens"
        )
    a, b = (lm.decode([tokens[at]]) for tokens in (first, second))
    if a.startswith(b) or b.startswith(a):
        raise PromptError(
            f"{answers[0]!r} and {answers[1]!r} are not cut alike: where they part, {a!r} of the one begins like {b!r} of the"
            " other; give answers whose probabilities can be compared"
        )
    return Prompt(first[:at]), (first[at], second[at])


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
