"""Settings of hypothesis for all tests: the same examples in every run. `--hypothesis-profile=search` looks for new ones.

Without hypothesis, which is no dependency of assay but of its tests, `pytest --help` and `pytest suites` work all the same.
"""

import gc

import pytest

try:
    from hypothesis import HealthCheck, settings
except ModuleNotFoundError:
    HYPOTHESIS = False
else:
    HYPOTHESIS = True
    LENIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "database": None}
    settings.register_profile("repeatable", max_examples=30, derandomize=True, **LENIENT)
    settings.register_profile("search", max_examples=700, **LENIENT)
    settings.load_profile("repeatable")


def pytest_sessionstart(session: pytest.Session) -> None:
    if not HYPOTHESIS:
        raise pytest.UsageError(
            "the library's own tests need hypothesis: pip install -e '.[dev]', or run the suites alone: pytest suites"
        )


@pytest.fixture(autouse=True)
def _nothing_stays_frozen():
    """A run with --recorded freezes what there is when it ends; one inside of a test must not."""
    yield
    gc.unfreeze()
