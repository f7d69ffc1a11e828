"""Findings: one test per claim, and for every model the answer whether the claim holds there.

    @finding("back-patching rescues two-hop failures", id="HTL-7")
    @not_replicated("llama3b", reason="both hops happen at the last position")
    def test_rescues(backpatch):
        assert backpatch.rescue_rate.low > backpatch.null_rate.high

    yes           the claim holds
    no            the claim fails by assertion, as `not_replicated` says (a strict xfail)
    NOW YES       the claim holds, though `not_replicated` says that it fails: a failed test
    new yes       the claim holds in its first measurement
    new no        the claim fails in its first measurement: a failed test; the `not_replicated` line to paste is below the table
    LOST          the claim fails on a recorded measurement, and no `not_replicated` says so: a failed test
    ERROR         the test or the measurement failed otherwise than by the claim's assertion
    not eligible  the model cannot do the task at all, or the tier is too small to judge
    not run       skipped, deselected by a crash or by -x, or nothing recorded

Beside the verdict the table shows the metrics that the test read, in order, or those named by `finding(measure=, control=)`.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from assay.errors import AssayError
from assay.plugin import options
from assay.plugin.models.select import ids_of, model_of
from assay.plugin.results.result import Result, forget_reads, is_new, read_since, rows_of
from assay.record import papers
from assay.record.tier import TIERS, Tier

MARKERS = (
    "finding(claim, *, paper='', ref='', id=None, measure=None, control=None, tier='smoke'): the test judges a claim",
    "not_replicated(*models, reason, tier=None): the claim is known to fail on these models (strict, by assertion)",
)
SKIP = "not eligible: "
MEASURED = pytest.StashKey[dict[str, dict[str, Any]]]()
"""The metrics that a finding rests on, name -> row."""
NEW = pytest.StashKey[bool]()
"""Does a finding rest on first measurements only?"""


def finding(
    claim: str,
    *,
    paper: str = "",
    ref: str = "",
    id: str | tuple[str, ...] | None = None,
    measure: str | None = None,
    control: str | None = None,
    tier: str = "smoke",
) -> pytest.MarkDecorator:
    """Marks a test that judges `claim`.

    id: its id, or ids, in the catalogue of experiments: "HTL-7". The catalogue knows the paper.
    paper, ref: the claim's source, if it has no id in the catalogue: "Our paper" and "arXiv:...".
    measure, control: metrics to show beside the verdict, instead of those that the test reads.
    tier: the smallest tier whose intervals are narrow enough to judge; below it the claim is "not eligible".
    """
    return pytest.mark.finding(claim, paper=paper, ref=ref, id=id, measure=measure, control=control, tier=tier)


def not_replicated(*models: str, reason: str = "", tier: str | None = None) -> pytest.MarkDecorator:
    """Marks models (ids, aliases, groups, globs) on which the claim is known to fail: if it holds there, the test fails.

    reason: why the claim fails, in a few words; printed below the table, and required.
    tier: only at this tier.
    """
    return pytest.mark.not_replicated(*models, reason=reason, tier=tier)


# --- collection -------------------------------------------------------------------------------------------


def prepare(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Checks the marks and turns `not_replicated` into strict xfail. Raises UsageError."""
    for item in items:
        for mark in item.iter_markers("finding"):
            _check_finding(item, mark)
        for mark in item.iter_markers("not_replicated"):
            known = _check_not_replicated(item, mark)
            spec, at = model_of(item), mark.kwargs.get("tier")
            if spec and spec.id in known and at in (None, options.tier(config)):
                reason = mark.kwargs["reason"]
                item.add_marker(pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason))
                if options.recorded(config) and not (config.option.xfail_tb or config.option.runxfail):
                    _without_traceback(item)


def keep_only(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects every test that judges no claim, for a run with --recorded."""
    others = [item for item in items if item.get_closest_marker("finding") is None]
    items[:] = [item for item in items if item.get_closest_marker("finding") is not None]
    if others:
        config.hook.pytest_deselected(items=others)


def _without_traceback(item: pytest.Item) -> None:
    """Gives an expected failure no traceback: it is not printed, and takes longer to make than the claim to judge."""
    full = item.repr_failure

    def repr_failure(excinfo: pytest.ExceptionInfo, *args: Any, **kwargs: Any) -> Any:
        return str(excinfo.value) if excinfo.errisinstance(AssertionError) else full(excinfo, *args, **kwargs)

    item.repr_failure = repr_failure  # type: ignore[method-assign]


def _check_finding(item: pytest.Item, mark: pytest.Mark) -> None:
    if len(mark.args) != 1 or not isinstance(mark.args[0], str) or not mark.args[0].strip():
        raise pytest.UsageError(f"{item.nodeid}: finding needs its claim, one sentence")
    if mark.kwargs.get("tier", TIERS[0]) not in TIERS:
        raise pytest.UsageError(f"{item.nodeid}: finding has no tier {mark.kwargs['tier']!r}: {', '.join(TIERS)}")
    if "subtests" in getattr(item, "fixturenames", ()):
        # pytest passes a test whose subtests are expected to fail: a strict xfail would turn that into NOW YES (#14101).
        raise pytest.UsageError(
            f"{item.nodeid}: a finding is one claim, and cannot have subtests: write one test for each"
        )
    try:
        source(mark)
    except AssayError as error:
        raise pytest.UsageError(f"{item.nodeid}: {error}") from error


def _check_not_replicated(item: pytest.Item, mark: pytest.Mark) -> set[str]:
    """Ids of the models that the mark names."""
    reason = mark.kwargs.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        raise pytest.UsageError(f"{item.nodeid}: not_replicated needs a reason: why does the claim fail there?")
    if not mark.args:
        raise pytest.UsageError(f"{item.nodeid}: not_replicated names no model")
    if mark.kwargs.get("tier") not in (None, *TIERS):
        raise pytest.UsageError(f"{item.nodeid}: not_replicated has no tier {mark.kwargs['tier']!r}")
    try:
        return ids_of(mark.args)
    except AssayError as error:
        raise pytest.UsageError(f"{item.nodeid}: not_replicated: {error}") from error


def ids(mark: pytest.Mark) -> tuple[str, ...]:
    """The catalogue ids of a finding."""
    id = mark.kwargs.get("id") or ()
    return (id,) if isinstance(id, str) else tuple(id)


def source(mark: pytest.Mark) -> dict[str, str]:
    """The paper and reference that a finding names, or those of its first id. Raises UnknownExperiment for a misspelt id."""
    found = [paper for id in ids(mark) if (paper := papers.of(id))]
    named = {"paper": mark.kwargs.get("paper", ""), "ref": mark.kwargs.get("ref", "")}
    return named if any(named.values()) or not found else {"paper": found[0]["name"], "ref": found[0]["ref"]}


def describe(item: pytest.Item) -> dict[str, Any] | None:
    """The table's entry for an item that has not run; None if the item is not a finding."""
    mark = item.get_closest_marker("finding")
    if mark is None:
        return None
    spec = model_of(item)
    return {
        "test": item.nodeid.partition("[")[0],
        "model": spec.id if spec else "-",
        "claim": mark.args[0],
        **source(mark),
        "ids": list(ids(mark)),
        "control": mark.kwargs.get("control"),
    }


# --- running ----------------------------------------------------------------------------------------------


def call(item: pytest.Item) -> Iterator[None]:
    """Wraps the test's body: skips a claim that cannot be judged, and records which metrics the test read."""
    mark = item.get_closest_marker("finding")
    if mark is None:
        return (yield)
    smallest = mark.kwargs.get("tier", TIERS[0])
    if not Tier(options.tier(item.config)).at_least(smallest):
        pytest.skip(f"{SKIP}needs --tier {smallest}")
    results = [value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Result)]
    item.stash[NEW] = bool(results) and all(map(is_new, results))
    for result in results:
        if result.ineligible is not None:
            pytest.skip(SKIP + result.ineligible)
        forget_reads(result)
    try:
        return (yield)
    finally:
        item.stash[MEASURED] = _measured(mark, results)


def _measured(mark: pytest.Mark, results: list[Result]) -> dict[str, dict[str, Any]]:
    named = [name for name in (mark.kwargs.get("measure"), mark.kwargs.get("control")) if name]
    found: dict[str, dict[str, Any]] = {}
    for result in results:
        rows = rows_of(result)
        for name in (name for name in named if name in rows) if named else read_since(result):
            found[name] = rows[name]
            # The control that a metric names is shown even if the test did not read it.
            if (control := rows[name].get("control")) is not None:
                found.setdefault(control, rows[control])
    for name in named:
        if name not in found:
            raise LookupError(f"finding: no metric is called {name!r} in what the test was given")
    return found


def report(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Writes the verdict of a finding into its report, where JUnit and the table find it."""
    if item.get_closest_marker("finding") is None:
        return
    if call.when == "setup" and hasattr(report, "wasxfail") and report.skipped:
        # A fixture that failed an assertion is a broken measurement, not a claim that fails.
        report.outcome = "failed"
        del report.wasxfail
    if not (report.when == "call" or (report.when == "setup" and not report.passed)):
        return
    properties = [("verdict", verdict(report, call, new=item.stash.get(NEW, False))), ("why", why(report))]
    if measured := item.stash.get(MEASURED, {}):
        properties.append(("measured", json.dumps(_short(measured), ensure_ascii=False)))
    described = describe(item) or {}
    properties += [(key, str(described[key])) for key in ("claim", "paper", "ref", "model") if described[key]]
    if described["ids"]:
        properties.append(("ids", " ".join(described["ids"])))
    # Each report copies the item's list when it is made: JUnit reads the teardown's copy, the table this one.
    item.user_properties += properties
    report.user_properties += properties


def _short(measured: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The metrics without curves and heatmaps, which a table cannot show."""
    return {name: row for name, row in measured.items() if not isinstance(row["value"], list | dict)}


def verdict(report: pytest.TestReport, call: pytest.CallInfo[None], new: bool = False) -> str:
    """The verdict of a report (see the module docstring). new: whether it rests on first measurements only."""
    if hasattr(report, "wasxfail"):
        return "no" if report.skipped else "NOW YES"
    if report.passed:
        return "new yes" if new else "yes"
    if report.skipped:
        return "not eligible" if why(report).startswith(SKIP) else "not run"
    if call.excinfo is None:
        return "NOW YES"  # a strict xfail that passed
    if report.when == "call" and call.excinfo.errisinstance(AssertionError):
        return "new no" if new else "LOST"
    return "ERROR"


def why(report: pytest.TestReport) -> str:
    """The reason of a skip or of an expected failure."""
    if hasattr(report, "wasxfail"):
        return report.wasxfail.removeprefix("reason: ")
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return ""
