"""A result: the metrics of one experiment on one model, by name, as tests and snapshots see them.

    backpatch.rescue_rate            # a Metric, which behaves as its number
    backpatch["rate[en]"]            # names that are no Python names
    backpatch.ineligible             # "0 of 120 prompts passed the gate", or None

A measured result equals the one read back from its snapshot. Every value passes through its stored form, and a number
within tolerance of the recorded one becomes the recorded one, if the same weights and prompts were measured. So a claim
that holds on the measured metrics holds on the recorded ones, and every machine judges a number at the edge of a claim
alike. A result remembers which metrics a test read: the table of findings shows them beside the verdict.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from assay.errors import DataError
from assay.record import compare
from assay.record.metric import Metric, Row, from_row, to_row

NOT_ELIGIBLE = "not_eligible"
"""Name of the metric that holds the reason, in the snapshot of a result that allows no claim."""


class Result(Mapping[str, Metric]):
    """Metrics by name. `metrics == result` in a test records and compares them."""

    def __init__(
        self,
        name: str,
        measured: Mapping[str, Any],
        made_by: Mapping[str, Any] | None = None,
        recorded: Mapping[str, Row] | None = None,
        recorded_by: Mapping[str, Any] | None = None,
    ) -> None:
        """measured: metrics or bare values by name. made_by: what produced them.
        recorded: the snapshot's rows when the run began, or None. recorded_by: what produced those rows.
        Raises DataError for a name or value that cannot be recorded.
        """
        if not isinstance(measured, Mapping):
            raise DataError(f"experiment {name}: returned {type(measured).__name__}, not a mapping of metrics")
        for metric in measured:
            if not isinstance(metric, str) or metric.startswith("_") or metric in RESERVED:
                raise DataError(f"experiment {name}: a metric cannot be called {metric!r}")
        rows = {}
        for metric, value in measured.items():
            try:
                rows[metric] = to_row(value)
            except DataError as error:
                raise DataError(f"experiment {name}, metric {metric}: {error}") from error
        for metric, row in rows.items():
            if row.get("control", metric) not in rows:
                raise DataError(
                    f"experiment {name}: {metric} has the control {row['control']!r}, which was not measured"
                )
        rows = compare.merge(rows, recorded or {}, made_by or {}, recorded_by or {})
        new = recorded is None or compare.other_model(made_by or {}, recorded_by or {})
        self._hold(name, rows, dict(made_by or {}), new=new)

    def _hold(self, name: str, rows: Mapping[str, Row], made_by: dict[str, Any], new: bool, old: bool = False) -> None:
        self._name, self._rows, self._made_by, self._new, self._old = name, dict(rows), made_by, new, old
        self._metrics: dict[str, Metric] = {}  # those that were read; a heatmap that no test reads stays a row
        self._seen: dict[str, None] = {}

    @classmethod
    def from_rows(cls, name: str, rows: Mapping[str, Row]) -> "Result":
        """The result that a snapshot entry holds."""
        result = cls.__new__(cls)
        result._hold(name, rows, {}, new=False, old=True)
        return result

    @property
    def ineligible(self) -> str | None:
        """The reason why no claim is judged on this model; None if claims are judged."""
        return self._rows[NOT_ELIGIBLE]["value"] if NOT_ELIGIBLE in self._rows else None

    def __getitem__(self, metric: str) -> Metric:
        if metric not in self._rows:
            raise KeyError(self._unmeasured(metric))
        self._seen[metric] = None
        if metric not in self._metrics:
            self._metrics[metric] = from_row(self._rows[metric])
        return self._metrics[metric]

    def __getattr__(self, metric: str) -> Metric:
        if metric.startswith("_"):
            raise AttributeError(metric)  # copy, pickle and debuggers look for such names, also before __init__
        if metric in self._rows:
            return self[metric]
        raise AttributeError(self._unmeasured(metric))

    def _unmeasured(self, metric: str) -> str:
        if self.ineligible is not None:
            pytest.skip(f"not eligible: {self.ineligible}")
        if self._old:
            pytest.skip(
                f"recorded before {self._name} had the metric {metric!r}: measure it again with --snapshot-update"
            )
        return f"{self._name} has no metric {metric!r}; measured: {', '.join(self._rows)}"

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._rows]

    def __repr__(self) -> str:
        values = {metric: row["value"] for metric, row in self._rows.items()}
        return f"{self._name}({', '.join(f'{metric}={value!s:.40}' for metric, value in values.items())})"


RESERVED = frozenset(name for name in dir(Result) if not name.startswith("_"))
"""Names that a metric cannot have: `result.keys` is a method."""


def not_eligible(reason: str, /, **metrics: Any) -> dict[str, Any]:
    """The return value of an experiment that no prompt is eligible for. It is recorded, but no claim is judged on it.

        return not_eligible(f"0 of {n} prompts passed the gate", gate_passed=Metric.rate(0, n))

    Every finding that reads a metric other than these is "not eligible": neither a pass nor a failure.
    """
    return {NOT_ELIGIBLE: reason, **metrics}


# What the plugin reads from a result. Functions and not methods, so that metrics may have any name.
def name_of(result: Result) -> str:
    return result._name


def rows_of(result: Result) -> dict[str, Row]:
    return result._rows


def made_by_of(result: Result) -> dict[str, Any]:
    return result._made_by


def is_new(result: Result) -> bool:
    """Was nothing recorded for this experiment, tier and revision of the model when the run began?"""
    return result._new


def forget_reads(result: Result) -> None:
    """Forgets which metrics were read: called before a test."""
    result._seen.clear()


def read_since(result: Result) -> list[str]:
    """Names of the metrics read since `forget_reads`, in order of first reading."""
    return list(result._seen)
