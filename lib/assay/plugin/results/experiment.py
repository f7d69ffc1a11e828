"""`@experiment`: a measurement that runs once per model, or is read back from its snapshot with `--recorded`.

    @experiment
    def backpatch(lm, tier):
        ...
        return {"rescue_rate": Metric.rate(hits, n), "null_rate": Metric.rate(null_hits, n)}

    def test_metrics(backpatch, metrics):
        assert metrics == backpatch

It is a module-scoped fixture with the function's name; its arguments are fixtures, `lm` first. They are asked
for only when it measures: judging recorded results loads nothing. An AssertionError while measuring is turned
into a MeasurementError, since in a suite an AssertionError means "the claim does not hold" and nothing else
does.
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
from assay.plugin.results import places
from assay.plugin.results.made_by import made_by
from assay.plugin.results.result import Result, not_eligible
from assay.record.compare import MADE_BY
from assay.record.digest import data
from assay.record.metric import Row

Measure = Callable[..., Mapping[str, Any]]
RUNNING = pytest.StashKey[str]()
"""Name of the experiment that measures now."""


class MeasurementError(AssayError):
    """The measurement itself broke; nothing is known about its claims."""


@overload
def experiment(measure: Measure, /) -> Any: ...
@overload
def experiment(*, prompts: Any = None) -> Callable[[Measure], Any]: ...
def experiment(measure: Measure | None = None, /, *, prompts: Any = None) -> Any:
    """Makes a fixture of a function that measures.

    prompts: the path of the prompt file, relative to the suite module, or the prompts themselves; their hash is
    recorded beside the metrics.
    Raises DataError for a second experiment of the same name in the module, which would silently replace the first.
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
        try:
            values = {
                argument: request.getfixturevalue(argument) for argument in arguments
            }  # only now is anything loaded
            config.stash[RUNNING] = name
            try:
                measured = measure(**values)
            finally:
                del config.stash[RUNNING]
        except NotEligible as reason:
            measured = not_eligible(str(reason))
        except AssertionError as error:
            raise MeasurementError(f"experiment {name} on {model_spec.id} failed an assertion: {error}") from error
        described = made_by(config, model_spec, _prompt_hash(prompts, measure))
        return Result(name, measured, described, *_recorded(config, name, model_spec))

    run.__doc__ = measure.__doc__
    run.assay_experiment = measure  # type: ignore[attr-defined]  # read by places.experiments_of
    return pytest.fixture(scope="module", name=name)(run)


def _read_back(config: pytest.Config, name: str, spec: Any) -> Result:
    rows, _ = _recorded(config, name, spec)
    if rows is None:
        pytest.skip(f"nothing recorded for {name} at tier {options.tier(config)}")
    return Result.from_rows(name, rows)


def _recorded(config: pytest.Config, name: str, spec: Any) -> tuple[dict[str, Row] | None, dict[str, Any] | None]:
    """What the snapshot held when the run began, and what had produced it."""
    document, entry = places.at_start(config, spec.id, name), places.entry(name, options.tier(config))
    return document.get(entry), document.get(MADE_BY, {}).get(entry)


def _prompt_hash(prompts: Any, measure: Measure) -> str | None:
    """12 hex digits of the prompts' SHA-256."""
    if prompts is None:
        return None
    if isinstance(prompts, str | Path):
        text = Path(measure.__code__.co_filename).parent.joinpath(prompts).read_bytes()
    else:
        text = json.dumps(data(prompts, "prompts")).encode()
    return hashlib.sha256(text).hexdigest()[:12]
