"""Are two measurements the same result? Tolerant comparison, a diff for people, and what to write.

    >>> old = {"rate": {"value": 0.6, "n": 30, "tol": 0.07}, "best_layer": {"value": 3, "tol": 1}, "gap": {"value": 2.2}}
    >>> new = {"rate": {"value": 0.8, "n": 30, "tol": 0.07}, "best_layer": {"value": 3, "tol": 2}, "null": {"value": 0.05}}
    >>> for line in diff(new, old):
    ...     print(line)
    ~ rate        0.6 -> 0.8  (+0.2, +33.3%, n 30, tol 0.07)
    ~ best_layer  tolerance 1 -> 2
    - gap         2.2 -> (gone)
    + null        (new) -> 0.05

Two numbers are close within the *new* row's tolerance; a change of tolerance, of n, of unit or of control is
a change, because loosening a tolerance must pass through a review like a changed value.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from assay.record.metric import FIELDS, Row, is_number, show

REL_TOL, ABS_TOL = 1e-4, 1e-6
"""Tolerances of floats without a `tol`: six digits are stored, and the last two may jitter."""

MADE_BY = "_made_by"
"""Key of the block that says what produced the metrics."""

VERDICTS = "_verdicts"
"""Key of the block with the verdicts of the claims that rest on the metrics."""

BLOCKS = (VERDICTS, MADE_BY)
"""The keys of a file that are no entries, in their order at its end."""

MEASURED = (
    "model", "revision", "bits", "quantised", "ignored_keys", "activations", "chat_date", "few_shot", "system", "prompts",
    "datasets",
)  # fmt: skip
"""Keys of that block that say what was measured: other values are another measurement. The other keys name software and
platform, and are never a difference by themselves."""


def close(new: Any, old: Any, tol: float | None) -> bool:
    """Is `new` the same result as `old`? Bools, strings and shapes must be equal; numbers differ by `tol` at most."""
    if isinstance(new, list) and isinstance(old, list):
        return len(new) == len(old) and all(close(a, b, tol) for a, b in zip(new, old, strict=True))
    if isinstance(new, dict) and isinstance(old, dict):
        return new.keys() == old.keys() and all(close(new[key], old[key], tol) for key in new)
    if not (is_number(new) and is_number(old)):
        return type(new) is type(old) and new == old
    if tol is not None:
        return abs(new - old) <= tol * (1 + 1e-9)  # 0.67 - 0.6 is a little more than 0.07
    if isinstance(new, int) and isinstance(old, int):
        return new == old
    return math.isclose(new, old, rel_tol=REL_TOL, abs_tol=ABS_TOL)


def same_model(new_by: Mapping[str, Any], old_by: Mapping[str, Any]) -> bool:
    """Do two `made_by` blocks name the same weights, chat form and prompts?"""
    return all(new_by.get(key) == old_by.get(key) for key in MEASURED)


def other_model(new_by: Mapping[str, Any], old_by: Mapping[str, Any]) -> bool:
    """Do they name different ones? A block without a revision says nothing."""
    return "revision" in new_by and "revision" in old_by and not same_model(new_by, old_by)


def merge(
    new: Mapping[str, Row], old: Mapping[str, Row], new_by: Mapping[str, Any], old_by: Mapping[str, Any]
) -> dict[str, Row]:
    """The rows that an update writes: the old number wherever the new one is close, so that jitter is never a diff.

    Old numbers are kept only if both `made_by` blocks name the same weights and prompts, and the same edition of intervals.
    """
    if not same_model(new_by, old_by) or new_by.get("intervals") != old_by.get("intervals"):
        return dict(new)
    merged = {}
    for name, row in new.items():
        was = old.get(name)
        # A value on another number of prompts is another measurement, and so is its interval.
        if was is not None and not _moved(row, was) and row.get("n") == was.get("n"):
            row = {**row, **{key: was[key] for key, field in FIELDS.items() if field.measured and key in was}}
        merged[name] = row
    return merged


def diff(new: Mapping[str, Row], old: Mapping[str, Row]) -> Iterator[str]:
    """One line per metric that changed, appeared or went."""
    names = [name for name in (*old, *(name for name in new if name not in old)) if name not in BLOCKS]
    width = max(map(len, names), default=0)
    for name in names:
        now, was = new.get(name), old.get(name)
        if now is None and was is not None:
            yield f"- {name:<{width}}  {show(was['value'])} -> (gone)"
        elif was is None and now is not None:
            yield f"+ {name:<{width}}  (new) -> {show(now['value'])}"
        elif now is not None and was is not None and (changes := _changes(now, was)):
            yield f"~ {name:<{width}}  {'; '.join(changes)}"


def differs(new: Row, old: Row) -> bool:
    """Is one metric another result: beyond its tolerance, or with another n, unit, tolerance or control?"""
    return bool(_changes(new, old))


def where_moved(new: Row, old: Row) -> str:
    """How many numbers of a curve or heatmap moved beyond the tolerance, and where first; "" for anything else."""
    a, b = new["value"], old["value"]
    moved = isinstance(a, list | dict) and isinstance(b, type(a)) and not close(a, b, new.get("tol"))
    return _where(a, b, new.get("tol")) if moved else ""


def made_by_diff(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[str]:
    """One line per key in which two `made_by` blocks differ."""
    for key, now, was in made_otherwise(new, old):
        yield f"    measured with {key} {now}, recorded with {was}"


def made_otherwise(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(key, what it is, what it was) of every key in which two `made_by` blocks differ; "-" is nothing."""
    for key in sorted(new.keys() | old.keys()):
        if new.get(key) != old.get(key):
            yield key, show(new.get(key, "-")), show(old.get(key, "-"))


def _changes(now: Row, was: Row) -> list[str]:
    moved = _moved(now, was)
    measured = [_value_change(now, was)] if "value" in moved else [_change(name, now, was) for name in moved]
    exact = [name for name, field in FIELDS.items() if not field.measured and now.get(name) != was.get(name)]
    return measured + [_change(name, now, was) for name in exact]


def _moved(now: Row, was: Row) -> list[str]:
    """The measured fields that differ by more than the tolerance."""
    tol, measured = now.get("tol"), [name for name, field in FIELDS.items() if field.measured]
    return [name for name in measured if not close(now.get(name), was.get(name), tol)]


def _change(name: str, now: Row, was: Row) -> str:
    return f"{FIELDS[name].label} {show(was.get(name, '-'))} -> {show(now.get(name, '-'))}"


def _value_change(now: Row, was: Row) -> str:
    a, b = now["value"], was["value"]
    notes = []
    if is_number(a) and is_number(b):
        notes.append(f"{a - b:+.4g}")
        if b:
            notes.append(f"{(a - b) / abs(b):+.1%}")
    elif isinstance(a, list | dict) and isinstance(b, type(a)):
        notes.append(_where(a, b, now.get("tol")))
    if "n" in now:
        notes.append(f"n {now['n']}")
    if "ci" in now:
        low, high = (f"{end:.3g}" if is_number(end) else show(end) for end in now["ci"])
        notes.append(f"CI {low}..{high}")
    if "tol" in now:
        notes.append(f"tol {now['tol']:g}")
    return f"{show(b)} -> {show(a)}" + (f"  ({', '.join(notes)})" if notes else "")


def _where(a: Any, b: Any, tol: float | None) -> str:
    """How much of a curve or heatmap changed, and where first."""
    flat_a, flat_b = dict(_cells(a)), dict(_cells(b))
    if flat_a.keys() != flat_b.keys():
        return f"{len(flat_b)} values -> {len(flat_a)}"
    moved = [at for at in flat_a if not close(flat_a[at], flat_b[at], tol)]
    at = moved[0]
    return f"{len(moved)} of {len(flat_a)} values, first {at}: {show(flat_b[at])} -> {show(flat_a[at])}"


def _cells(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, list | dict):
        for key, item in enumerate(value) if isinstance(value, list) else value.items():
            yield from _cells(item, f"{at}[{key}]")
    else:
        yield at, value
