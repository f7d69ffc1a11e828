"""What more than one folder of experiments shares: the refusal direction, found once per language, and how answers are read."""

import pytest

from assay import methods
from assay.errors import PromptError, SelectionError


@pytest.fixture(scope="session")
def answer_tokens(tier):
    """How many tokens of an answer are read to tell whether it is a refusal."""
    return tier.choose(smoke=8, quick=16, full=32)


@pytest.fixture(scope="session")
def refusal_in(lm, tier, progress):
    """`found, why = refusal_in("de")`: the refusal direction in a language, or None and the reason that there is none.

    English is selected with the filters of REF-4 (in the paper's full form at tier full, else by successive halving), other
    languages with those of the cross-lingual paper: a wider KL, and no demand that adding the direction induces refusal.
    Where the KL filter leaves nothing it is doubled until something passes; what it came to is a metric.
    """
    known = {}

    def find(language):
        if language not in known:
            known[language] = _find(lm, language, tier, lambda loop: progress(loop, f"selection ({language})"))
        return known[language]

    return find


def _find(lm, language, tier, track):
    wider = {} if language == "en" else {"kl": 0.2, "induce": None}
    filters = methods.SelectionFilters(**wider, loosen=True)
    first, finalists = tier.choose((2, 2), (8, 5) if language == "en" else (2, 3), (8, 10))
    halving = None if (language, tier) == ("en", "full") else methods.SuccessiveHalving(first, finalists=finalists)
    try:
        return methods.refusal_direction(lm, language, filters=filters, halving=halving, track=track), None
    except (PromptError, SelectionError) as reason:
        return None, str(reason)
