"""A metric: one measured number, with what a reader needs in order to believe it.

    rate = Metric(18 / 30, n=30, ci=wilson(18, 30), tol=0.07)
    rate > 0.5, rate.low > other.high, f"{rate:.2f}"     # behaves as its number
    Metric.rate(18, 30, tol=0.07)                        # the same, written shorter
    Metric(grid)[12][3]                                  # a heatmap: a list of rows

The *value* is a number, bool, string, list, list of rows, or mapping of those; the *interval* (`ci`) is where
the true value probably lies; the *tolerance* (`tol`) is how far a later measurement may differ and still be
the same result.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from assay.errors import DataError
from assay.stats import bootstrap_mean, wilson


@dataclass(frozen=True, eq=False)
class Metric:
    """One measured value. Comparisons and arithmetic use `value` alone, against numbers and other metrics."""

    value: Any
    """What was measured; numpy and mlx arrays are turned into lists when the metric is recorded."""
    n: int | None = None
    """How many prompts (or heads, or layers...) it rests on."""
    ci: tuple[float, float] | None = None
    """Low and high end of its interval, from `assay.stats`."""
    tol: float | None = None
    """Absolute tolerance of numbers; None: exact for integers, 1 in 10,000 for floats. Other values are
    always exact."""
    unit: str = ""
    """Unit for the table and figures: "nats", "layers"."""
    control: str | None = None
    """Name of the metric of the same experiment that says what chance would give."""

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # equal to a number, but maybe a list

    @classmethod
    def rate(cls, hits: int, n: int, **options: Any) -> "Metric":
        """`hits` of `n`, with its Wilson interval; NaN when `n` is 0."""
        return cls(hits / n if n else math.nan, n=n, ci=wilson(hits, n), **options)

    @classmethod
    def share(cls, flags: Iterable[Any], **options: Any) -> "Metric":
        """The rate of true ones among `flags`, one per prompt."""
        flags = [bool(flag) for flag in flags]
        return cls.rate(sum(flags), len(flags), **options)

    @classmethod
    def mean(cls, values: Sequence[float], **options: Any) -> "Metric":
        """The mean of `values`, one per prompt, with its bootstrap interval."""
        return cls(math.fsum(values) / len(values), n=len(values), ci=bootstrap_mean(values), **options)

    @property
    def low(self) -> float:
        """Lower end of the interval. Raises DataError without one: a bare value is not its own bound."""
        return self._interval()[0]

    @property
    def high(self) -> float:
        """Upper end of the interval; raises as `low`."""
        return self._interval()[1]

    def _interval(self) -> tuple[float, float]:
        if self.ci is None:
            raise DataError(
                f"this metric ({self.value!r:.40}) was measured without an interval: "
                "give it ci=wilson(hits, n), ci=bootstrap_mean(values), or use Metric.rate or Metric.mean"
            )
        return self.ci

    # As its value.
    def __eq__(self, other: object) -> bool:
        return bool(self.value == _plain(other))

    def __lt__(self, other: Any) -> bool:
        return self.value < _plain(other)

    def __le__(self, other: Any) -> bool:
        return self.value <= _plain(other)

    def __gt__(self, other: Any) -> bool:
        return self.value > _plain(other)

    def __ge__(self, other: Any) -> bool:
        return self.value >= _plain(other)

    def __add__(self, other: Any) -> Any:
        return self.value + _plain(other)

    def __radd__(self, other: Any) -> Any:
        return other + self.value

    def __sub__(self, other: Any) -> Any:
        return self.value - _plain(other)

    def __rsub__(self, other: Any) -> Any:
        return other - self.value

    def __mul__(self, other: Any) -> Any:
        return self.value * _plain(other)

    def __rmul__(self, other: Any) -> Any:
        return other * self.value

    def __truediv__(self, other: Any) -> Any:
        return self.value / _plain(other)

    def __rtruediv__(self, other: Any) -> Any:
        return other / self.value

    def __neg__(self) -> Any:
        return -self.value

    def __abs__(self) -> Any:
        return abs(self.value)

    def __round__(self, digits: int | None = None) -> Any:
        return round(self.value, digits)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __index__(self) -> int:
        if isinstance(self.value, int):
            return self.value
        raise TypeError(f"a metric of {type(self.value).__name__} is not an index")

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value)

    def __contains__(self, item: object) -> bool:
        return item in self.value

    def __getitem__(self, key: Any) -> Any:
        return self.value[key]

    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)


def _plain(other: object) -> Any:
    return other.value if isinstance(other, Metric) else other


# --- rows: the form in which metrics are stored
# ------------------------------------------------------------------------

Row = dict[str, Any]
"""`{"value": 0.6, "n": 30, "ci": [0.42, 0.75], "tol": 0.07}`: a metric in JSON, without the fields that say
nothing."""

NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
"""How these are written: JSON has no names for them, and an infinite norm is a result to be seen and
compared."""


def to_row(metric: Any) -> Row:
    """A metric, or a bare value, as a row; floats keep 6 significant digits. Raises DataError for other
    types."""
    metric = metric if isinstance(metric, Metric) else Metric(metric)
    optional = {
        "n": metric.n,
        "ci": None if metric.ci is None else clean(list(metric.ci)),
        "tol": metric.tol,
        "unit": metric.unit or None,
        "control": metric.control,
    }
    return {"value": clean(metric.value)} | {k: v for k, v in optional.items() if v is not None}


def from_row(row: Row) -> Metric:
    """The metric that a row stands for."""
    fields = {**row, "value": _restore(row["value"])}
    if "ci" in fields:
        low, high = _restore(fields["ci"])
        fields["ci"] = (low, high)
    return Metric(**fields)


def clean(value: Any) -> Any:
    """`value` as strict JSON with short floats; arrays of numpy and mlx become lists."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str) and value in NOT_FINITE:
        raise DataError(f"the string {value!r} cannot be a metric: it is how the number is stored. Give the float")
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        # "+ 0.0": minus zero equals zero, and would be a line of diff.
        return float(f"{value:.6g}") + 0.0 if math.isfinite(value) else repr(value)
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): clean(value[key]) for key in sorted(value, key=str)}
    raise DataError(f"a metric holds numbers, strings, lists or mappings of them, not {type(value).__name__}")


def _restore(value: Any) -> Any:
    if isinstance(value, str):
        return NOT_FINITE.get(value, value)
    if isinstance(value, list):
        return [_restore(item) for item in value]
    if isinstance(value, dict):
        return {key: _restore(item) for key, item in value.items()}
    return value
