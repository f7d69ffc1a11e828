"""A metric: one measured number, with its number of prompts, interval, tolerance, unit and control.

    >>> rate = Metric.rate(18, 30, tol=0.07, unit="of prompts")      # Metric(18 / 30, n=30, ci=wilson(18, 30), ...)
    >>> rate > 0.5, f"{rate:.2f}", round(rate.low, 2)                # a metric behaves as its number
    (True, '0.60', 0.42)
    >>> to_row(rate)
    {'value': 0.6, 'n': 30, 'ci': [0.423204, 0.754094], 'tol': 0.07, 'unit': 'of prompts'}
    >>> number(to_row(rate))
    '0.6 of prompts [0.42, 0.75] n 30'

The *value* is a number, bool, string, list, list of rows, or mapping of those; the *interval* (`ci`) is where
the true value probably lies; the *tolerance* (`tol`) is how far a later measurement may differ and still be
the same result. A *row* is a metric in JSON, as a snapshot file holds it.

A new field of `Metric` needs one line in `FIELDS`: from there come its place in a file, in a diff and in a number's text.
"""

import json
import math
import operator as op
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, ClassVar, TypeGuard

from assay.errors import DataError
from assay.stats import auroc_interval, difference_interval, mean_interval, rate_interval, wilson


def _plain(other: object) -> Any:
    return other.value if isinstance(other, Metric) else other


def _of_value(operation: Callable[..., Any]) -> Callable[..., Any]:
    """The operation, on the value of a metric, and of the metrics among its other operands."""
    return lambda metric, *others: operation(metric.value, *map(_plain, others))


@dataclass(frozen=True, eq=False)
class Metric:
    """One measured value. Comparisons and arithmetic use `value` alone, against numbers and other metrics."""

    value: Any
    """What was measured; numpy and mlx arrays are turned into lists when the metric is recorded."""
    n: int | None = None
    """Number of prompts (or heads, or layers...) that the value is computed from."""
    ci: tuple[float, float] | None = None
    """Low and high end of its interval, from `assay.stats`."""
    tol: float | None = None
    """Absolute tolerance of numbers; None: exact for integers, 1 in 10,000 for floats. Other values are always exact."""
    unit: str = ""
    """Unit for the table and figures: "nats", "layers"."""
    control: str | None = None
    """Name of the metric, in the same experiment, that is the control."""
    clusters: int | None = None
    """Number of independent groups (requests, bridges, entities...) that the n prompts fall into; None: each is its own."""

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # equal to a number, but maybe a list

    @classmethod
    def rate(cls, hits: int, n: int, **options: Any) -> "Metric":
        """`hits` of `n`, with its Wilson interval; NaN when `n` is 0."""
        return cls(hits / n if n else math.nan, n=n, ci=wilson(hits, n), **options)

    @classmethod
    def share(cls, flags: Iterable[Any], clusters: Sequence[Hashable] | None = None, **options: Any) -> "Metric":
        """The rate of true ones among `flags`, one per prompt.

        clusters: a label for each, equal where they are not independent.
        """
        flags = [bool(flag) for flag in flags]
        if clusters is None:
            return cls.rate(sum(flags), len(flags), **options)
        value, ci = (sum(flags) / len(flags) if flags else math.nan), rate_interval(flags, clusters)
        return cls(value, n=len(flags), ci=ci, clusters=len(set(clusters)), **options)

    @classmethod
    def mean(
        cls,
        values: Sequence[float],
        bounds: tuple[float, float] | None = None,
        clusters: Sequence[Hashable] | None = None,
        **options: Any,
    ) -> "Metric":
        """The mean of `values`, one per prompt.

        bounds: what a value can be, (0, 1) for shares and (-1, 1) for their differences; None for numbers without bounds.
        clusters: as for `share`. One value has the bounds for an interval; none has NaN, for which <, > and == are False.
        """
        n, groups = len(values), None if clusters is None else len(set(clusters))
        if not n:
            return cls(math.nan, n=0, ci=(math.nan, math.nan), **options)
        few = (n if groups is None else groups) < 2
        ci = (bounds or (-math.inf, math.inf)) if few else mean_interval(values, bounds, clusters)
        return cls(math.fsum(values) / n, n=n, ci=ci, clusters=groups, **options)

    @classmethod
    def difference(
        cls,
        own: Sequence[float],
        draws: Sequence[Sequence[float]],
        bounds: tuple[float, float] | None = (-1, 1),
        clusters: Sequence[Hashable] | None = None,
        **options: Any,
    ) -> "Metric":
        """The mean of `own` less a control that was drawn several times, prompt by prompt, with room for one further draw.

        own: one value per prompt, [N]; draws: [D, N]. bounds: of a difference. With one draw it is the mean of the differences.
        """
        less = [value - math.fsum(column) / len(column) for value, *column in zip(own, *draws, strict=True)]
        mean = cls.mean(less, bounds, clusters, **options)
        few = len(set(range(len(own)) if clusters is None else clusters)) < 2
        if len(draws) < 2 or few or not math.isfinite(mean.high - mean.low):
            return mean
        return replace(mean, ci=difference_interval(own, draws, bounds, clusters))

    @classmethod
    def auroc(cls, area: float, positives: int, negatives: int, **options: Any) -> "Metric":
        """An area under the ROC curve, from that many independent values of both kinds."""
        return cls(area, n=int(positives + negatives), ci=auroc_interval(area, positives, negatives), **options)

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
                "use Metric.rate, Metric.share, Metric.mean or Metric.auroc, or give it ci=(low, high)"
            )
        return self.ci

    # Comparison and arithmetic use the value alone.
    __lt__, __le__, __gt__, __ge__ = map(_of_value, (op.lt, op.le, op.gt, op.ge))
    __add__, __sub__, __mul__, __truediv__ = map(_of_value, (op.add, op.sub, op.mul, op.truediv))
    __radd__ = _of_value(lambda value, other: other + value)
    __rsub__ = _of_value(lambda value, other: other - value)
    __rmul__ = _of_value(lambda value, other: other * value)
    __rtruediv__ = _of_value(lambda value, other: other / value)
    __neg__, __abs__, __round__ = map(_of_value, (op.neg, abs, round))
    __bool__, __float__, __int__ = map(_of_value, (bool, float, int))
    __len__, __iter__, __contains__, __getitem__ = map(_of_value, (len, iter, op.contains, op.getitem))

    def __eq__(self, other: object) -> bool:
        return bool(self.value == _plain(other))

    def __index__(self) -> int:
        if isinstance(self.value, int):
            return self.value
        raise TypeError(f"a metric of {type(self.value).__name__} is not an index")

    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)


# --- rows: the form in which metrics are stored

Row = dict[str, Any]
"""`{"value": 0.6, "n": 30, "ci": [0.42, 0.75], "tol": 0.07}`: the fields of a metric, without those at their default."""

NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
"""How a row writes these: JSON has no names for them, and an infinite norm is a result to be seen and compared."""


def to_row(metric: Any) -> Row:
    """The row of a metric, or of a bare value; floats keep 6 significant digits. Raises DataError for other types."""
    metric = metric if isinstance(metric, Metric) else Metric(metric)
    return {
        field.name: FIELDS[field.name].store(content)
        for field, content in ((field, getattr(metric, field.name)) for field in fields(Metric))
        if field.default is MISSING or content not in (None, field.default)
    }


def from_row(row: Row) -> Metric:
    """The metric of a row."""
    return Metric(**{name: FIELDS[name].restore(content) for name, content in row.items()})


def number(row: Row) -> str:
    """A row as a table shows it: `0.6 nats [0.42, 0.75] n 30`."""
    return "".join(field.text(row[name]) for name, field in FIELDS.items() if name in row)


def show(value: Any) -> str:
    """A value in 60 characters at most; floats have 6 significant digits."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def is_number(value: Any) -> TypeGuard[int | float]:
    """Is `value` an int or a float? A bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def clean(value: Any) -> Any:
    """`value` as strict JSON with short floats; arrays of numpy and mlx become lists."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str) and value in NOT_FINITE:
        raise DataError(f"the string {value!r} cannot be a metric: it is how the number is stored. Give the float")
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        # "+ 0.0" turns minus zero into zero: they are equal, but a file would differ.
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


# --- how each field is stored, shown and compared


def _unchanged(content: Any) -> Any:
    return content


@dataclass(frozen=True)
class Field:
    """One field of a metric in a row: how it is stored and restored, and what a table and a diff say about it."""

    label: str
    """Name of the field in a diff."""
    store: Callable[[Any], Any] = _unchanged
    restore: Callable[[Any], Any] = _unchanged
    text: Callable[[Any], str] = lambda stored: ""
    """The field's part of a number's text; by default it has none."""
    fits: Callable[[Any], bool] = lambda stored: True
    form: str = "anything"
    """`fits` accepts what the field can hold, `form` says it in words; a file that holds anything else is refused."""
    measured: bool = False
    """Whether two values within the tolerance count as the same; other fields are compared exactly."""


def _digits(digits: int, value: Any) -> str:
    return f"{value:.{digits}g}" if isinstance(value, float) else show(value)


FIELDS = {
    "value": Field("value", clean, _restore, lambda value: _digits(3, value), measured=True),
    "unit": Field("unit", text=lambda unit: f" {unit}"),
    "ci": Field(
        "interval",
        store=lambda ci: clean(list(ci)),
        restore=lambda ci: tuple(_restore(ci)),
        text=lambda ci: " [" + ", ".join(_digits(2, end) for end in ci) + "]",
        fits=lambda ci: isinstance(ci, list) and len(ci) == 2,
        form="[low, high]",
        measured=True,
    ),
    "n": Field("n", text=lambda n: f" n {n}"),
    "tol": Field("tolerance"),
    "control": Field("control"),
    "clusters": Field("clusters", text=lambda clusters: f" in {clusters} clusters"),
}
"""By the field's name, in the order of a number's text; a row has the order of `Metric`."""
