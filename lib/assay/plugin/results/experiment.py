"""`@experiment`: a measurement that runs once per model, or is read back from its snapshot with `--recorded`.

    @experiment
    def backpatch(lm, tier):
        ...
        return {"rescue_rate": Metric.rate(hits, n), "null_rate": Metric.rate(null_hits, n)}

    def test_metrics(backpatch, metrics):
        assert metrics == backpatch

An experiment is a module-scoped fixture with the function's name. The function's arguments are fixtures, which are set up
only when the experiment measures: `--recorded` loads no model. An AssertionError of the function becomes a
MeasurementError, since in a suite an AssertionError means that a claim does not hold.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, overload

import pytest

from assay.errors import AssayError, DataError, NotEligible
from assay.plugin import options
from assay.plugin.results import locations, one_revision
from assay.plugin.results.made_by import made_by
from assay.plugin.results.result import Result, not_eligible
from assay.record.compare import MADE_BY
from assay.record.digest import data
from assay.record.metric import Row

Measure = Callable[..., Mapping[str, Any]]
RUNNING = pytest.StashKey[str]()
"""Name of the experiment that is measuring."""


class MeasurementError(AssayError):
    """An experiment failed an assertion while it measured: its claims can't be judged."""


@overload
def experiment(measure: Measure, /) -> Any: ...
@overload
def experiment(*, prompts: Any = None) -> Callable[[Measure], Any]: ...
def experiment(measure: Measure | None = None, /, *, prompts: Any = None) -> Any:
    """Makes a fixture of a function that measures: its result is a `Result`, measured once per model.

    prompts: the path of the prompt file, relative to the suite module, or the prompts themselves; their hash is recorded
    beside the metrics.
    Raises DataError for two experiments of one name in a module: the second would silently replace the first.
    """
    if measure is None:
        return lambda measure: _fixture(measure, prompts)
    return _fixture(measure, prompts)


def _fixture(measure: Measure, prompts: Any) -> Any:
    name = measure.__name__
    if name in measure.__globals__:
        raise DataError(f"{measure.__module__}: two things are called {name!r}, and one is an experiment: rename one")
    arguments = list(inspect.signature(measure).parameters)

    def run(request: pytest.FixtureRequest, model_spec: Any) -> Result:
        config = request.config
        if options.recorded(config):
            return _read_back(config, name, model_spec)

        def described() -> dict[str, Any]:
            return made_by(config, model_spec, _prompt_hash(prompts, measure), request.getfixturevalue("system_prompt"))

        try:
            values = {}
            for argument in arguments:
                values[argument] = request.getfixturevalue(argument)  # loads the model, then may measure for hours
                _refuse_a_mixture(request.session, name, model_spec, described())
            config.stash[RUNNING] = name
            try:
                measured = measure(**values)
            finally:
                del config.stash[RUNNING]
        except NotEligible as reason:
            measured = not_eligible(str(reason))
        except AssertionError as error:
            raise MeasurementError(f"experiment {name} on {model_spec.id} failed an assertion: {error}") from error
        recorded = (None, None) if options.null_world(config) else _recorded(config, name, model_spec)
        return Result(name, measured, described(), *recorded)

    run.__doc__ = measure.__doc__
    run.assay_experiment = measure  # type: ignore[attr-defined]  # read by locations.experiments_of
    return pytest.fixture(scope="module", name=name)(run)


def _read_back(config: pytest.Config, name: str, spec: Any) -> Result:
    rows, _ = _recorded(config, name, spec)
    if rows is None:
        pytest.skip(f"nothing recorded for {name} at tier {options.tier(config)}")
    return Result.from_rows(name, rows)


def _recorded(config: pytest.Config, name: str, spec: Any) -> tuple[dict[str, Row] | None, dict[str, Any] | None]:
    """(metrics, `made_by`) of the snapshot when the run began; None for whichever is missing."""
    document, entry = locations.at_start(config, spec.id, name), locations.entry(name, options.tier(config))
    return document.get(entry), document.get(MADE_BY, {}).get(entry)


def _refuse_a_mixture(session: pytest.Session, name: str, spec: Any, described: dict[str, Any]) -> None:
    """Raises SnapshotError before anything is measured, if the result will be recorded and may not (one_revision.py)."""
    path, entry = locations.file(session.config, spec.id, name), locations.entry(name, options.tier(session.config))
    one_revision.check(session, path, entry, described)


def _prompt_hash(prompts: Any, measure: Measure) -> str | None:
    """12 hex digits of the prompts' SHA-256."""
    if prompts is None:
        return None
    if isinstance(prompts, str | Path):
        text = Path(measure.__code__.co_filename).parent.joinpath(prompts).read_bytes()
    else:
        text = json.dumps(data(prompts, "prompts")).encode()
    return hashlib.sha256(text).hexdigest()[:12]
