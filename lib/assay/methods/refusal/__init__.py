"""Methods of the refusal papers (Arditi et al. 2024, Wang et al. 2025): judges, directions, their selection."""

from importlib import import_module
from typing import Any

_RENAMED = {"judge": "judge_refusals", "Outcome": "RefusalOutcome", "kl": "kl_of_logits"}


def __getattr__(name: str) -> Any:
    """Names that `assay.methods.refusal` had while it was one file."""
    if name.startswith("_"):
        raise AttributeError(name)
    try:
        return getattr(import_module("assay.methods.refusal.judging"), _RENAMED.get(name, name))
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
