"""Are two measurements the same result? Tolerant comparison, a diff for people, and what to write.

    ~ rescue_rate  0.6 -> 0.8  (+0.2, +33.3%, n 30, CI 0.63..0.9, tol 0.07)
    ~ best_layer   tolerance 1 -> 2
    + null_rate    (new) -> 0.05
    - mean_gap     2.2 -> (gone)

Two numbers are close within the *new* row's tolerance; a change of tolerance, of n, of unit or of control is
a change, because loosening a tolerance must pass through a review like a changed value.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from assay.record.metric import Row

REL_TOL, ABS_TOL = 1e-4, 1e-6
"""Closeness of floats without a tolerance of their own: six digits are stored, and the last two may
jitter."""

MADE_BY = "_made_by"
"""Key of the block that says what produced the metrics; never a difference by itself."""

MEASURED = ("model", "revision", "bits", "activations", "prompts", "datasets")
"""What of that block says what was measured, not with what."""


def close(new: Any, old: Any, tol: float | None) -> bool:
    """Is `new` the same result as `old`? Bools, strings and shapes exactly; numbers within `tol`
    (absolute)."""
    if isinstance(new, list) and isinstance(old, list):
        return len(new) == len(old) and all(close(a, b, tol) for a, b in zip(new, old, strict=True))
    if isinstance(new, dict) and isinstance(old, dict):
        return new.keys() == old.keys() and all(close(new[key], old[key], tol) for key in new)
    if not (_is_number(new) and _is_number(old)):
        return type(new) is type(old) and new == old
    if tol is not None:
        return abs(new - old) <= tol * (1 + 1e-9)  # 0.67 - 0.6 is a little more than 0.07
    if isinstance(new, int) and isinstance(old, int):
        return new == old
    return math.isclose(new, old, rel_tol=REL_TOL, abs_tol=ABS_TOL)


def same_row(new: Row, old: Row) -> bool:
    """Nothing about the metric changed beyond its tolerance."""
    return not _changes(new, old)


def merge(
    new: Mapping[str, Row], old: Mapping[str, Row], new_by: Mapping[str, Any], old_by: Mapping[str, Any]
) -> dict[str, Row]:
    """What an update writes: the old numbers wherever the new ones are close, so that jitter is never a diff.

    Only if the same weights were measured on the same prompts, as their `made_by` blocks say: an entry is one measurement,
    and mixes no two models.
    """
    if any(new_by.get(key) != old_by.get(key) for key in MEASURED):
        return dict(new)
    merged = {}
    for name, row in new.items():
        was = old.get(name)
        if was is not None and _measured_same(row, was):
            row = {**row, **{key: was[key] for key in ("value", "ci") if key in was}}
        merged[name] = row
    return merged


def diff(new: Mapping[str, Row], old: Mapping[str, Row]) -> Iterator[str]:
    """One line per metric that changed, appeared or went."""
    names = [name for name in (*old, *(name for name in new if name not in old)) if name != MADE_BY]
    width = max(map(len, names), default=0)
    for name in names:
        now, was = new.get(name), old.get(name)
        if now is None and was is not None:
            yield f"- {name:<{width}}  {show(was['value'])} -> (gone)"
        elif was is None and now is not None:
            yield f"+ {name:<{width}}  (new) -> {show(now['value'])}"
        elif now is not None and was is not None and (changes := _changes(now, was)):
            yield f"~ {name:<{width}}  {'; '.join(changes)}"


def made_by_diff(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[str]:
    """One line per thing that differs between what measured `new` and what measured `old`."""
    for key in sorted(new.keys() | old.keys()):
        if new.get(key) != old.get(key):
            now, was = show(new.get(key, "-")), show(old.get(key, "-"))
            yield f"    measured with {key} {now}, recorded with {was}"


def show(value: Any) -> str:
    """A value in a few characters."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _changes(now: Row, was: Row) -> list[str]:
    changes = []
    if not close(now["value"], was["value"], now.get("tol")):
        changes.append(_value_change(now, was))
    elif not close(now.get("ci"), was.get("ci"), now.get("tol")):
        changes.append(f"interval {show(was.get('ci', '-'))} -> {show(now.get('ci', '-'))}")
    for key, label in (("n", "n"), ("tol", "tolerance"), ("unit", "unit"), ("control", "control")):
        if now.get(key) != was.get(key):
            changes.append(f"{label} {show(was.get(key, '-'))} -> {show(now.get(key, '-'))}")
    return changes


def _measured_same(now: Row, was: Row) -> bool:
    """A value on another number of prompts is another measurement, and so is its interval."""
    tol = now.get("tol")
    near = close(now["value"], was["value"], tol) and close(now.get("ci"), was.get("ci"), tol)
    return near and now.get("n") == was.get("n")


def _value_change(now: Row, was: Row) -> str:
    a, b = now["value"], was["value"]
    notes = []
    if _is_number(a) and _is_number(b):
        notes.append(f"{a - b:+.4g}")
        if b:
            notes.append(f"{(a - b) / abs(b):+.1%}")
    elif isinstance(a, list | dict) and isinstance(b, type(a)):
        notes.append(_where(a, b, now.get("tol")))
    if "n" in now:
        notes.append(f"n {now['n']}")
    if "ci" in now:
        low, high = (f"{end:.3g}" if _is_number(end) else show(end) for end in now["ci"])
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


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
