"""Experiments on language models as pytest tests. Load it with `-p assay.plugin`, in any repository.

    # suites/test_backpatch.py
    from assay.plugin import Metric, above, experiment, finding, not_replicated

    @experiment
    def backpatch(lm, tier):
        ...
        return {"rescue_rate": Metric.rate(hits, n, tol=0.07), "null_rate": Metric.rate(null_hits, n)}

    def test_metrics(backpatch, metrics):
        assert metrics == backpatch

    @finding("back-patching rescues two-hop failures", paper="Hopping Too Late", id="HTL-7")
    @not_replicated("llama3b", reason="both hops happen at the last position")
    def test_rescues(backpatch):
        assert above(backpatch.rescue_rate, backpatch.null_rate)

    $ pytest suites --model qwen7b,llama3b

An *experiment* measures, once per model. Its *metrics* are recorded in `snapshots/<model>/<experiment>.json` on the first
run and compared afterwards, each within its own tolerance. A *finding* is a test of one claim, judged on the recorded
metrics; its *verdict* on a model is yes, no (known, strict), undecided or not eligible (`claims/findings.py` has them all).
A *tier* says how much of the data is used.

Users meet options.py, fixtures.py, own_data.py (`--dataset`) and hookspecs.py (for other repositories). models/ selects the
models of a run, keeps the tests of a model together and gives them to workers. results/ measures, keeps finished prompts
(`--resume`) and records metrics. claims/ judges the findings and writes their table. `assay.record`, which does not use
pytest, defines metrics and their files, and compares them.
"""

import gc
from collections.abc import Generator
from typing import Any

import pytest

from assay import blas
from assay.models.registry import is_random
from assay.plugin import hookspecs, options, own_data
from assay.plugin.claims import findings, marks, summary, verdicts
from assay.plugin.claims.marks import finding, not_replicated
from assay.plugin.fixtures import journal, lm, metrics, model_spec, null_world, progress, system_prompt, tier
from assay.plugin.models import collected, order, scheduling, select
from assay.plugin.own_data import datasets
from assay.plugin.results import audit, locations
from assay.plugin.results import journal as journals
from assay.plugin.results import progress as progress_lines
from assay.plugin.results.experiment import MeasurementError, experiment
from assay.plugin.results.result import Result, not_eligible
from assay.record.judgement import above, below, holds, ordered, within
from assay.record.metric import Metric
from assay.record.tier import Tier
from assay.stats import wilson

# The fixtures are among them: pytest finds fixtures as names of this module.
__all__ = [
    "MeasurementError", "Metric", "Result", "Tier", "above", "below", "datasets", "experiment", "finding", "holds",
    "journal", "lm", "metrics", "model_spec", "not_eligible", "not_replicated", "null_world", "ordered", "progress",
    "system_prompt", "tier", "wilson", "within",
]  # fmt: skip

pytest_addoption = options.add
pytest_generate_tests = select.parametrize
pytest_xdist_make_scheduler = scheduling.pytest_xdist_make_scheduler


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(trylast=True)  # after all other plugins: the wrapper of order.py is then the outermost
def pytest_configure(config: pytest.Config) -> None:
    for line in marks.MARKERS:
        config.addinivalue_line("markers", line)
    # Syrupy warns when crashed or differing workers keep it from deleting unused snapshots. This plugin never deletes any,
    # and under `filterwarnings = error` the warning would end the run with an internal error. A filter cannot contain ":".
    config.addinivalue_line("filterwarnings", "ignore:syrupy. .*unused snapshot detection:UserWarning")
    options.check(config)
    own_data.configure(config)
    select.configure(config)
    locations.read_all(config)
    journals.configure(config)
    audit.configure(config)  # before `collected`: it sets --collect-only, with which xdist starts no workers
    collected.configure(config, findings.describe)
    progress_lines.configure(config)
    summary.configure(config)
    config.pluginmanager.register(order.KeepModelsTogether(), "assay-order")


def pytest_unconfigure(config: pytest.Config) -> None:
    select.unconfigure(config)
    own_data.unconfigure(config)


@pytest.hookimpl(trylast=True)
def pytest_assay_load(config: pytest.Config, spec: Any) -> Any:
    import assay  # imports MLX, which --recorded does not need

    return assay.random_lm(spec) if is_random(spec) else assay.load(spec, weights=config.option.weights)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """The files of `--dataset`, and the BLAS of the CPU, on which the last digits and the speed depend."""
    lines = list(own_data.header(config))
    if not options.recorded(config) and blas.in_use():
        lines.append(f"assay: products on the CPU by {blas.in_use()}")
    return lines


@pytest.hookimpl(tryfirst=True)  # before -k and -m deselect tests: mistakes are reported whatever is selected
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    try:
        select.needs_models(config, items)
        locations.check(config, items)
        marks.prepare(config, items)
    except pytest.UsageError:
        items.clear()  # pytest finishes the collection all the same; `collected` and the audit must find nothing
        raise
    if options.recorded(config) or options.null_world(config):
        marks.keep_only(config, items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    return (yield from findings.call(item))


@pytest.hookimpl(
    wrapper=True, tryfirst=True
)  # outside of pytest's own wrapper, which turns an expected failure into "xfailed"
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, pytest.TestReport]:
    report = yield
    findings.report(item, call, report)
    return report


@pytest.hookimpl(trylast=True)  # after syrupy has written the metrics
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    journals.finish(session.config, exitstatus)
    verdicts.write(session.config)
    if options.recorded(session.config):
        end_quickly(session.config)


def end_quickly(config: pytest.Config) -> None:
    """Shortens the exit of pytest, which takes a third of a run with --recorded (of about a second)."""
    gc.freeze()  # spares the garbage collections of all objects at exit; no model is loaded
    hypothesis = config.pluginmanager.get_plugin("hypothesispytest")
    if hypothesis is not None:  # its summary of property tests imports all of hypothesis
        config.pluginmanager.unregister(hypothesis)
