"""One load per model, whatever ordered the tests before: --ff, --nf, a random-order plugin.

pytest groups tests by model on its own, but plugins that reorder afterwards undo it: `--ff` loads a, b, c, a,
b, c.
"""

from collections.abc import Generator

import pytest

from assay.plugin.models.select import model_of


class KeepModelsTogether:
    """The outermost wrapper: sorts when everybody else is done, stably, models in the order of their first
    test."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None]:
        yield
        rank: dict[object, int] = {}
        items.sort(key=lambda item: rank.setdefault(model_of(item), len(rank)))
