"""Every error that assay raises on purpose: one sentence with what was given, what is possible and what to do.

    >>> raise unknown(UnknownSite, "site", "resid_pots", ["resid_pre", "resid_post"])
    Traceback (most recent call last):
    assay.errors.UnknownSite: unknown site 'resid_pots'. Did you mean resid_post or resid_pre? Known: resid_pre, resid_post

All derive from `AssayError`: a caller catches one type for every request that cannot be met. None is an AssertionError: in a
suite an AssertionError means that the claim does not hold, and no other error means that.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TypeVar

E = TypeVar("E", bound="AssayError")


class AssayError(Exception):
    """A request that cannot be met; the message is one sentence."""


class UnknownModel(AssayError):
    """No registered, built-in or on-disk model has this name."""


class ModelNotCached(AssayError):
    """A known model is not in the Hugging Face cache of this machine; the message has the download line."""


class CheckpointError(AssayError):
    """Files of a checkpoint are missing, damaged, or would be read wrongly by mlx-lm."""


class UnsupportedFamily(AssayError):
    """The checkpoint's model_type has no adapter in `assay.forward.families`."""


class UnknownSite(AssayError):
    """A site name that is not in the glossary of `assay.forward.sites`."""


class PositionError(AssayError):
    """A position outside the prompt, a text that does not occur in it, or occurs more than once."""


class LayerError(AssayError):
    """A layer or head that the model does not have."""


class EditError(AssayError):
    """An edit with the wrong shape, at a place where it cannot act, or that never fired."""


class PromptError(AssayError):
    """An empty prompt, or one that is not in the form that the experiment needs."""


class NotComparable(PromptError):
    """Two answers to a prompt that the tokenizer does not part into tokens whose probabilities can be compared."""


class NotEligible(AssayError):
    """The model cannot do what an experiment needs: neither a failure nor a result. The message has the number that shows it.

    An experiment that raises this error, or whose fixture raises it, is recorded as not eligible on this model.
    """


class NoChatTemplate(PromptError, NotEligible):
    """A conversation was asked for of a base model."""


class SelectionError(AssayError):
    """No candidate is left to choose from: the message says which filter removed how many."""


class NotExact(AssayError):
    """The doctor found that the instrumented forward differs from the model's own."""


class BudgetError(AssayError):
    """A memory budget too small for the work asked for."""


class SnapshotError(AssayError):
    """A snapshot file that cannot be read."""


class DataError(AssayError):
    """A data file that is missing, malformed or inconsistent."""


def shown(value: object, most: int = 80) -> str:
    """A value for a message: its repr on one line, of at most so many characters."""
    try:
        text = " ".join(repr(value).split())
    except (RuntimeError, TypeError, ValueError):  # an array of MLX that cannot be evaluated
        text = f"<{type(value).__name__}>"
    return _cut(text, most)


def brief(error: BaseException, most: int = 200) -> str:
    """The first line of another library's error, for a message; its type where it says nothing."""
    text = next((line.strip(" .,:") for line in str(error).splitlines() if line.strip(" .,:")), type(error).__name__)
    return _cut(text, most)


def of_tokenizers(error: BaseException) -> bool:
    """Whether the Rust code of tokenizers raised an error: a plain Exception, or a panic, which is no Exception."""
    return type(error) is Exception or type(error).__name__ == "PanicException"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def near(given: str, known: Iterable[str], n: int = 3) -> list[str]:
    """The names in `known` that look most like `given`, best first, whatever the case."""
    by_lower = {name.lower(): name for name in known}
    return [by_lower[match] for match in get_close_matches(given[:80].lower(), by_lower, n=n, cutoff=0.5)]


def unknown(error: type[E], kind: str, given: object, known: Iterable[str]) -> E:
    """The error to raise when `given` is not one of the `known` names of a `kind` of thing."""
    known = list(known)
    guesses = near(given, known) if isinstance(given, str) else []
    hint = f" Did you mean {' or '.join(guesses)}?" if guesses else ""
    return error(f"unknown {kind} {shown(given)}.{hint} Known: {_cut(', '.join(known), 600)}")
