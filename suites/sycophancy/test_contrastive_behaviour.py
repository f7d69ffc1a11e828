"""Contrastive activation addition of one behaviour (Rimsky et al. 2024): a vector from pairs of answers, and whether it steers.

    $ pytest suites/sycophancy/test_contrastive_behaviour.py --dataset behaviour=mine.json

The vector is the difference in means at the letter of the answer, over train questions; it is added, and subtracted, at the token
from which the letter of held-out questions is predicted, in the layer and at the strength of the largest effect on other train
topics (conftest.py). The behaviour is sycophancy, or that of a file of your own: docs/bring-your-own-behaviour.md.

The paper adds the vector to all tokens after the prompt; in a question with two options that is the one before the letter.
"Raised" and "lowered" are differences of preferences, question by question.
"""

import pytest
from steered_letters import lowers, raises, steered_letters

from assay.plugin import experiment, finding


@pytest.fixture(scope="session")
def system_prompt(no_system_prompt):
    """Recorded with every experiment of this module."""
    return no_system_prompt


@experiment
def steered_behaviour(steering, readable, compared, behaviour):
    """C1, C3, C4: the behaviour's vector, added and subtracted on held-out questions."""
    return steered_letters(steering, readable, compared, behaviour)


def test_steered_behaviour_metrics(steered_behaviour, metrics):
    assert metrics == steered_behaviour


@finding(
    "added before the letter of new questions, a behaviour's vector (sycophancy, or your own) raises the letter that shows it; "
    "other vectors do not",
    id=("SYC-C1", "SYC-C3", "SYC-C4"),
    tier="quick",
)
def test_behaviour_raised(steered_behaviour):
    assert raises(steered_behaviour)


@finding(
    "subtracted before the letter of new questions, a behaviour's vector (sycophancy, or your own) lowers the letter that shows "
    "it; other vectors do not",
    id=("SYC-C1", "SYC-C3", "SYC-C4"),
    tier="quick",
)
def test_behaviour_lowered(steered_behaviour):
    assert lowers(steered_behaviour)
