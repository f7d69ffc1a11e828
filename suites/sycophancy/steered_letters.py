"""What modules of contrastive activation addition share: the metrics of one behaviour, and judgements on three controls."""

from functools import reduce
from operator import and_

from assay.plugin import Metric, above, below, not_eligible

NONE = "no difference"
CONTROLS = ("random", "shuffled", "other")


def steered_letters(steering, readable, compared, name):
    """The metrics of a behaviour's vector, added to and subtracted before the letter of held-out questions."""
    answers = readable(name)
    if not answers.ok:
        return unreadable(name, answers)
    one = steering(name)
    (raised, raised_controls), (lowered, lowered_controls), p = one.shifts((1.0, -1.0))
    return {
        **answers.metrics(name),
        **one.metrics(),
        "preference": Metric.mean(p.tolist(), (0, 1), one.topics, tol=0.1),
        **compared("raised", raised, raised_controls, one.topics),
        **compared("lowered", lowered, lowered_controls, one.topics),
    }


def unreadable(name, answers):
    """The result for a behaviour whose preference cannot be read, with what was measured.

    The two letters have less than 0.8 of the probability, or another option is chosen when the options change places.
    """
    why = f"the preference of {name} cannot be read: the letters have too little probability, or decide alone"
    return not_eligible(why, **answers.metrics(name))


def raises(r, name="raised", controls=CONTROLS, **options):
    """Is it raised at all, and more than by each control?"""
    return _apart(above, r, name, controls, options)


def lowers(r, name="lowered", controls=CONTROLS, **options):
    """Is it lowered at all, and more than by each control?"""
    return _apart(below, r, name, controls, options)


def _apart(side, r, name, controls, options):
    every = name, *(f"{name}_less_{one}" for one in controls)
    return reduce(and_, (side(getattr(r, one), 0, source=NONE, **options) for one in every))
