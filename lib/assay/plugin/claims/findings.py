"""Findings: one test per claim, and for every model the answer whether the claim holds there.

    @finding("back-patching rescues two-hop failures", id="HTL-7")
    @not_replicated("llama3b", reason="both hops happen at the last position")
    def test_rescues(backpatch):
        assert above(backpatch.rescue_rate, backpatch.null_rate)

    yes           the claim holds
    no            the claim fails by assertion, as `not_replicated` says (a strict xfail)
    undecided     the prompts are too few to tell (`assay.record.judgement`): neither a pass nor a failure
    NOW YES, NOW UNDECIDED, NOW NO
                  the verdict is not the one that is recorded, or that `not_replicated` says: a failed test
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

from assay.plugin import options
from assay.plugin.claims import verdicts
from assay.plugin.claims.marks import ids, source
from assay.plugin.models.select import model_of
from assay.plugin.results import locations
from assay.plugin.results.result import Result, forget_reads, is_new, read_since, rows_of
from assay.record.judgement import Judgement, Undecided, heard
from assay.record.tier import TIERS, Tier

SKIPPED = ("not eligible", "undecided", "no")
"""The verdicts of a skipped test, whose reason begins with one: "undecided: 0.75 [0.41, 0.93] n 8 above ..."."""
MEASURED = pytest.StashKey[dict[str, dict[str, Any]]]()
"""The metrics that a finding rests on, name -> row."""
NEW = pytest.StashKey[bool]()
"""Does a finding rest on first measurements only?"""
RESTS = pytest.StashKey[str]()
"""What a verdict rests on: "intervals", "identity" (`holds`) or "assertion" (a bare `assert`)."""
CHANGED = pytest.StashKey[str]()
"""The verdict, where it is another than the recorded one, or than `not_replicated` says."""


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
        "experiments": list(locations.experiments_of(item)),
    }


def call(item: pytest.Item) -> Iterator[None]:
    """Wraps the test's body: skips a claim that cannot be judged, and records which metrics the test read."""
    mark = item.get_closest_marker("finding")
    if mark is None:
        return (yield)
    smallest = mark.kwargs.get("tier", TIERS[0])
    if not Tier(options.tier(item.config)).at_least(smallest):
        pytest.skip(f"not eligible: needs --tier {smallest}")
    results = [value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Result)]
    item.stash[NEW] = bool(results) and all(map(is_new, results)) and not options.null_world(item.config)
    for result in results:
        if result.ineligible is not None:
            _agrees(item, results, "not eligible")
            pytest.skip(f"not eligible: {result.ineligible}")
        forget_reads(result)
    with heard() as said:
        try:
            value = yield
        except AssertionError as reason:
            if options.null_world(item.config):
                pytest.skip(f"no: {said[-1].why if said else reason}")  # what is to be expected there
            if item.get_closest_marker("xfail"):
                _agrees(item, results, "no")  # else the run fails anyway, and the assertion says more
            else:
                verdicts.note(item, results, "no")
            raise
        except Undecided as reason:
            _agrees(item, results, "undecided", str(reason))
            pytest.skip(f"undecided: {reason}")
        finally:
            item.stash[MEASURED], item.stash[RESTS] = _measured(mark, results), _rests(said)
    _agrees(item, results, "yes")
    return value


def _rests(said: list[Judgement]) -> str:
    if not said:
        return "assertion"
    return "identity" if all(one.identity for one in said) else "intervals"


def _agrees(item: pytest.Item, results: list[Result], word: str, reason: str = "") -> None:
    """Notes a verdict for its snapshot; fails if another is recorded, or expected by `not_replicated`."""
    recorded = verdicts.was(item, results)
    if recorded is None and word == "undecided" and item.get_closest_marker("xfail"):
        recorded = "no"  # as `not_replicated` says
    if recorded in (None, word):
        verdicts.note(item, results, word)
        return
    item.stash[CHANGED] = f"NOW {word.upper()}"
    pytest.fail(
        f"the verdict was {recorded} and is {word}{reason and f': {reason}'}. If that is the result, record it with "
        "--snapshot-update (verdicts alone: --recorded --snapshot-update), and change the `not_replicated` above the test",
        pytrace=False,
    )


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
    word = item.stash.get(CHANGED, None) or verdict(report, call, new=item.stash.get(NEW, False))
    properties = [("verdict", word), ("why", why(report)), ("rests", item.stash.get(RESTS, ""))]
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
        return next((word for word in SKIPPED if why(report).startswith(f"{word}: ")), "not run")
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
