"""Scores of a trait without a judging model: phrases, and the model's own yes or no (in place of the judge of Chen et al. 2025).

    >>> from assay.data.personas import trait
    >>> from assay.methods import respond
    >>> sycophantic = trait("sycophantic")
    >>> said = respond(lm, [lm.chat(sycophantic.extraction[0])], max_tokens=8)
    >>> self_scores(lm, sycophantic, [(sycophantic.extraction[0], said[0].text)]).shape
    (1,)
    >>> labelled_area(lm, sycophantic)[1:]                         # of ten answers of either kind
    (10, 10)

A *self score* is the probability of "Yes", against "No", as the model's reply to a short question about an answer. A model that
gives labelled answers of the two kinds the same scores is no judge: ask `labelled_area` first.
"""

from collections.abc import Sequence

import numpy as np

from assay.data.personas import NO, YES, Trait
from assay.forward.lm import LM
from assay.methods.portions import Track
from assay.methods.preferences import answer_preference
from assay.methods.separation import auroc


def self_scores(
    lm: LM, trait: Trait, answers: Sequence[tuple[str, str]], *, batch: int = 16, track: Track = iter
) -> np.ndarray:
    """The model's own score of N pairs of a question and an answer: [N] float64. Raises as `answer_preference`."""
    asked = [trait.judged(question, answer) for question, answer in answers]
    return answer_preference(lm, asked, (YES, NO), batch=batch, track=track)


def labelled_area(lm: LM, trait: Trait) -> tuple[float, int, int]:
    """Area under the ROC curve of self scores of labelled answers, and the numbers of answers that show the trait and do not."""
    scores = self_scores(lm, trait, [(one.question, one.answer) for one in trait.labelled])
    shows = np.array([one.shows for one in trait.labelled])
    return auroc(scores[shows], scores[~shows]), int(shows.sum()), int((~shows).sum())
