"""Keeps the tests of a model together, so that it is loaded once, also under --ff, --nf and plugins for random order.

pytest itself groups the tests by model, but `--ff` and such plugins reorder them afterwards: with failures on all of
three models a, b and c, `--ff` would load a, b, c, a, b, c.
"""

from collections.abc import Generator

import pytest

from assay.plugin.models.select import model_of


class KeepModelsTogether:
    """Sorts after all other plugins: models in the order of their first tests, the tests of a model as they were."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None]:
        yield
        rank: dict[object, int] = {}
        items.sort(key=lambda item: rank.setdefault(model_of(item), len(rank)))
