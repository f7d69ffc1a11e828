"""Settings of hypothesis for all tests: the same examples in every run. `--hypothesis-profile=search` looks for new ones."""

from hypothesis import HealthCheck, settings

LENIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "database": None}

settings.register_profile("repeatable", max_examples=30, derandomize=True, **LENIENT)
settings.register_profile("search", max_examples=700, **LENIENT)
settings.load_profile("repeatable")
