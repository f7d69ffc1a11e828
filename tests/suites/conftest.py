"""Tests of the suites start pytest in processes of their own: runs like a user's, not in CI and no workers of this run."""

import os

import pytest


@pytest.fixture(autouse=True)
def like_a_user(monkeypatch):
    for name in ("CI", "BUILD_NUMBER", *(name for name in os.environ if name.startswith("PYTEST_XDIST"))):
        monkeypatch.delenv(name, raising=False)
