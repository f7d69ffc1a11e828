"""Which trials make a vector or are probes: those that are right, and of a task with two answers as many of each.

    chosen = right_ones(trials, right, 16)                    # their places
    chosen = as_many_of_each_answer(trials, right, None)      # as many as the rarer answer has

A model that prefers one of two answers is right by that wherever it is due: a vector of that answer raises the odds of the right
one in all trials that are right. Among as many of each answer it raises half of the odds, and lowers the other half.
"""

import numpy as np

from assay import methods
from assay.errors import NotEligible
from assay.stats import wilson

AT_LEAST = 5
"""Independent test prompts; with fewer no interval is judged."""


def enough(what, *groups):
    """Raises NotEligible unless every group has as many as a claim needs."""
    if min(map(len, groups)) < AT_LEAST:
        raise NotEligible(f"{' and '.join(str(len(group)) for group in groups)} {what}, and it takes {AT_LEAST}")


def right_ones(trials, right, n):
    """The places of at most n of the trials that are right."""
    return methods.spread(np.flatnonzero(right).tolist(), n)


def as_many_of_each_answer(trials, right, n):
    """The same, as many of each answer.

    Raises NotEligible where the trials may be right by chance of two answers, and where too few are right of one of them.
    """

    def answer(i):
        return trials[i].context.query[1]

    places, hits = np.flatnonzero(right).tolist(), int(right.sum())
    if wilson(hits, len(trials))[0] <= 0.5:
        raise NotEligible(
            f"{hits} of {len(trials)} queries are right after ten examples: no more than by chance of two answers"
        )
    answers = dict.fromkeys(map(answer, range(len(trials))))
    enough(
        "queries of each answer are right after ten examples", *([i for i in places if answer(i) == a] for a in answers)
    )
    return methods.balanced(places, n, answer)
