"""What more than one folder of experiments shares: the refusal direction of the model, found once per language."""

import pytest


@pytest.fixture(scope="session")
def refusal_in(lm, tier, progress):
    """`found, why = refusal_in("de")`: the refusal direction in a language, or None and the reason that there is none.

    English is selected in the paper's full form (REF-4), other languages by successive halving and with the filters of the
    cross-lingual paper: a wider KL, and no demand that adding it induces refusal. Where the KL filter leaves nothing it is
    doubled until something passes; what it came to is a metric.
    """
    known = {}

    def find(language):
        if language not in known:
            known[language] = _find(lm, language, tier, lambda loop: progress(loop, f"selection ({language})"))
        return known[language]

    return find


def _find(lm, language, tier, track):
    from assay.errors import PromptError, SelectionError
    from assay.methods.refusal_direction import refusal_direction
    from assay.methods.selection import Filters, Halving

    halving = Halving(first=tier.choose(2, 3, 8), finalists=tier.choose(2, 3, 10))
    options = {"filters": Filters(kl=0.2, induce=None, loosen=True), "halving": halving}
    if language == "en":
        options = {"filters": Filters(loosen=True), "halving": tier.choose(halving, None, None)}
    try:
        return refusal_direction(lm, language, track=track, **options), None
    except (PromptError, SelectionError) as reason:
        return None, str(reason)
