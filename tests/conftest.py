"""Settings of hypothesis for all tests: the same examples in every run. `--hypothesis-profile=search` looks for new ones."""

import gc

import pytest
from hypothesis import HealthCheck, settings

LENIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "database": None}

settings.register_profile("repeatable", max_examples=30, derandomize=True, **LENIENT)
settings.register_profile("search", max_examples=700, **LENIENT)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _nothing_stays_frozen():
    """A run with --recorded freezes what there is when it ends; one inside of a test must not."""
    yield
    gc.unfreeze()
