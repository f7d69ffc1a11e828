"""The hooks with which another repository adds models and loads them; they go into its root conftest.py.

    def pytest_assay_models(config):
        return [ModelSpec("ours", "our-org/ours-4bit", family="llama", layers=32, gib=4.1)]

    def pytest_assay_load(config, spec):
        return OurLM(spec.path) if spec.id == "ours" else None

With the first hook, `--model ours` works like any other name; with the second, `lm` may be any object.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from assay.models.registry import ModelSpec


@pytest.hookspec
def pytest_assay_models(config: pytest.Config) -> "Iterable[ModelSpec] | None":  # type: ignore[empty-body]
    """Models to add to the registry for this run; `--model` and `not_replicated` then know them.

    pytest calls this hook once in every process, before `--model` is read.
    """


@pytest.hookspec(firstresult=True)
def pytest_assay_load(config: pytest.Config, spec: "ModelSpec") -> Any:
    """The loaded model for the `lm` fixture: the first result that is not None, by default `assay.load(spec)`.

    Experiments get the very object. If it has a method `provenance()`, the mapping that `provenance` returns (revision,
    bits...) is recorded beside the metrics.
    """
