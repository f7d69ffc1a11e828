"""Fixtures of several folders: the refusal direction, once per language, the length of answers, the system prompt, late names."""

from dataclasses import replace

import numpy as np
import pytest

from assay import methods
from assay.data import judges
from assay.data.instructions import LANGUAGES
from assay.errors import PromptError, SelectionError
from assay.testbed.planted import planted_truth


@pytest.fixture(scope="session")
def answer_tokens(tier):
    """The number of tokens of an answer in which a refusal is looked for."""
    return tier.choose(smoke=8, quick=16, full=32)


@pytest.fixture(scope="session")
def no_system_prompt(lm):
    """The system prompt of requests: False, none, as in the papers' code; None where the template writes none by itself."""
    return False if lm.tokenizer.chat_template and methods.writes_system_prompt(lm) else None


@pytest.fixture(scope="session")
def late(model_spec):
    """Names whose hops a built-in model resolves in too late a layer to use them; empty for other models."""
    truth = planted_truth(model_spec)
    return set(truth["entities"]["late"]) if truth else set()


@pytest.fixture(scope="session")
def refusal_in(lm, no_system_prompt, tier, progress, null_world):
    """`found, why = refusal_in("de")`: the refusal direction in a language, or None and the reason that there is none.

    `refusal_in("en", topics)`: found and selected on requests about these topics alone.

    A language whose judge of refusals is too weak has none: what it misses would count as answered.

    English is selected with the filters of REF-4 (in the paper's full form at tier full, else by successive halving), other
    languages with those of the cross-lingual paper: a higher limit on KL, and no filter on induced refusal.
    If no candidate passes the KL filter, its limit is doubled until one does; the final limit is a metric.
    In the null world every candidate, so also the selected one, is a random vector of its length.
    """
    known = {}

    def find(language, topics=None):
        if (language, topics) not in known:
            track = lambda loop: progress(loop, f"selection ({language})")  # noqa: E731
            found, why = _find(lm, language, no_system_prompt, tier, track, topics)
            draw = 0 if topics is None else len(known) + 1  # in the null world each choice of topics is another draw
            known[language, topics] = at_random(found, draw) if found and null_world else found, why
        return known[language, topics]

    return find


def at_random(found, draw=0):
    """What was found, with random vectors of the same lengths in the place of all candidates."""
    candidates = found.selection.candidates
    rng = np.random.default_rng([1, LANGUAGES.index(found.language), *([draw] if draw else [])])
    drawn = candidates.replaced(rng.standard_normal(candidates.vectors.shape))
    return replace(found, selection=replace(found.selection, candidates=drawn))


def _find(lm, language, system, tier, track, topics=None):
    if why := judges.too_weak(f"refusal[{language}]", "refusal"):
        return None, why
    wider = {} if language == "en" else {"kl": 0.2, "induce": None}
    filters = methods.SelectionFilters(**wider, loosen=True)
    first, finalists = tier.choose((2, 2), (8, 5) if language == "en" else (2, 3), (8, 10))
    halving = None if (language, tier) == ("en", "full") else methods.SuccessiveHalving(first, finalists=finalists)
    try:
        return methods.refusal_direction(
            lm, language, system=system, topics=topics, filters=filters, halving=halving, track=track
        ), None
    except (PromptError, SelectionError) as reason:
        return None, str(reason)
