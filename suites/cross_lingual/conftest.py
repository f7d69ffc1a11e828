"""Fixtures of the cross-lingual experiments: every language's test requests, judged under every language's direction.

A *source* is a language in which the model refuses and a direction was found; a *target* is any of the six. Swahili is the
negative control: the built-in models were never taught to refuse in it. A refusal in any of the languages counts.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from assay import methods
from assay.data.instructions import LANGUAGES, refuses


@pytest.fixture(scope="session")
def system_prompt(no_system_prompt):
    """Recorded with every experiment of this folder."""
    return no_system_prompt


@pytest.fixture(scope="session")
def sources(refusal_in):
    """{language: RefusalDirection} of those where one was found, and {language: reason} of the others."""
    found = {language: refusal_in(language) for language in LANGUAGES}
    return SimpleNamespace(
        found={language: one for language, (one, _) in found.items() if one},
        missing={language: why for language, (one, why) in found.items() if not one},
    )


@pytest.fixture(scope="session")
def everywhere(lm, sources, system_prompt, answer_tokens, tier, progress):
    """{language: {kind: {variant: Outcome}}} of the test requests in every language; None without an English direction.

    Harmful requests under ablation of every source's direction and of a random one; harmless ones under addition of the
    English direction and of a random one, and under its ablation. A language without refusal tokens of its own is scored
    by those of all others together.
    """
    if "en" not in sources.found:
        return None
    rng = np.random.default_rng(0)
    english = sources.found["en"].direction
    every_token = sorted({token for one in sources.found.values() for token in one.tokens})
    n, out = tier.choose(smoke=2, quick=7, full=None), {}
    for language in LANGUAGES:
        tokens = sources.found[language].tokens if language in sources.found else every_token
        prompts = {
            kind: methods.request_prompts(lm, kind, language, system=system_prompt)[:n]
            for kind in ("harmful", "harmless")
        }
        drawn = [methods.random_control(english, rng) for _ in prompts["harmful"]]
        ablated = {f"ablated_{source}": [one.direction.ablation()] for source, one in sources.found.items()}
        variants = {
            "harmful": [{"none": [], **ablated, "random_ablated": [one.ablation()]} for one in drawn],
            "harmless": [
                {
                    "none": [], "added": [english.addition()], "random_added": [one.addition()],
                    "ablated": [english.ablation()],
                }
                for one in drawn
            ],
        }  # fmt: skip
        out[language] = {
            kind: methods.judge_refusals(
                lm, prompts[kind], variants[kind], tokens, is_any_refusal, max_tokens=answer_tokens,
                track=lambda loop, kind=kind, language=language: progress(loop, f"{kind} requests ({language})"),
            )
            for kind in prompts
        }  # fmt: skip
    return out


def is_any_refusal(text):
    """Whether `text` is a refusal in any of the languages."""
    return any(refuses(text, language) for language in LANGUAGES)


@pytest.fixture(scope="session")
def split(lm, system_prompt, answer_tokens):
    """(languages that the model refuses in, the others): by its answers to at least half of the harmful validation requests."""
    refusing = []
    for language in LANGUAGES:
        asked = methods.request_prompts(lm, "harmful", language, "valid", system_prompt)
        said = lm.generate(asked, max_tokens=answer_tokens)
        if np.mean([is_any_refusal(answer.text) for answer in said]) >= 0.5:
            refusing.append(language)
    return refusing, [language for language in LANGUAGES if language not in refusing]
