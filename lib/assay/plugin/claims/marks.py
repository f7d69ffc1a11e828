"""The marks of a claim: `@finding` names it, `@not_replicated` names the models on which it is known to fail.

    @finding("back-patching rescues two-hop failures", id="HTL-7", tier="quick")
    @not_replicated("llama3b", reason="both hops happen at the last position")
    def test_rescues(backpatch): ...

Both are checked when tests are collected. `not_replicated` then is a strict xfail by assertion; with `--null` it is ignored.
"""

from typing import Any

import pytest

from assay.errors import AssayError
from assay.plugin import options
from assay.plugin.models.select import ids_of, model_of
from assay.plugin.results import locations
from assay.record import papers
from assay.record.tier import TIERS

MARKERS = (
    "finding(claim, *, paper='', ref='', id=None, measure=None, control=None, tier='smoke'): the test judges a claim",
    "not_replicated(*models, reason, tier=None): the claim is known to fail on these models (strict, by assertion)",
)
NO_NULL = "no null world: its experiment does not take `null_world`"


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


def prepare(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Checks the marks and turns `not_replicated` into strict xfail. Raises UsageError."""
    for item in items:
        for mark in item.iter_markers("finding"):
            _check_finding(item, mark)
            if options.null_world(config) and "null_world" not in locations.fixtures_of(item):
                item.add_marker(pytest.mark.skip(reason=NO_NULL))
        for mark in item.iter_markers("not_replicated"):
            known = _check_not_replicated(item, mark)
            spec, at = model_of(item), mark.kwargs.get("tier")
            if spec and spec.id in known and at in (None, options.tier(config)) and not options.null_world(config):
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
