"""Methods of the refusal papers (Arditi et al. 2024, Wang et al. 2025): judges, directions, their selection."""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """What was in `assay.methods.refusal` while that was one file."""
    if name.startswith("_"):
        raise AttributeError(name)
    try:
        return getattr(import_module("assay.methods.refusal.judging"), name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
