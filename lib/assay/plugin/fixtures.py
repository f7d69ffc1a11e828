"""The fixtures of tests and experiments.

    def test_anything(lm, metrics): ...          model_spec   which model; cheap
    @experiment                                  lm           that model, loaded once, freed before the next
    def anything(lm, tier, progress): ...        metrics      `assert metrics == {...}` records or compares
                                                 null_world   is nothing there in this run (`--null`)?
                                                 tier         how much to measure
                                                 progress     shows how far a loop is
                                                 journal      the same, and survives an interruption

Tests are parametrized over `model_spec`, and `lm` depends on it. So a test can know its model without loading it, and
`--recorded` loads none.
"""

import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from assay.errors import DataError
from assay.models.registry import ModelSpec
from assay.plugin import options
from assay.plugin.models.select import MODEL_NOW
from assay.plugin.results.journal import Journal
from assay.plugin.results.made_by import note
from assay.plugin.results.progress import Progress
from assay.plugin.results.snapshots import Metrics, MetricsExtension
from assay.record.tier import Tier


@pytest.fixture(scope="session")
def model_spec(request: pytest.FixtureRequest) -> Iterator[ModelSpec]:
    """The `assay.models.ModelSpec` of the model that the test runs on.

    Its teardown frees the model's memory. It comes after those of `lm` and of all experiments, which depend on it; during
    the teardown of `lm` pytest itself still refers to the model.
    """
    if not hasattr(request, "param"):
        raise DataError(
            "the models of a test are chosen at collection: name lm or model_spec among the arguments of the test, the "
            "experiment or the fixture, instead of request.getfixturevalue"
        )
    request.config.stash[MODEL_NOW] = request.param.id
    yield request.param
    if options.recorded(request.config):
        return  # no model was loaded, and a garbage collection is slow
    forget_last_failure()
    gc.collect()
    if "mlx.core" in sys.modules:
        sys.modules["mlx.core"].clear_cache()


@pytest.fixture(scope="session")
def lm(request: pytest.FixtureRequest, model_spec: ModelSpec) -> Any:
    """The loaded model, the same object for all tests of this model."""
    if options.recorded(request.config):
        pytest.skip("needs the loaded model, and --recorded loads none")
    loaded = request.config.hook.pytest_assay_load(config=request.config, spec=model_spec)
    note(request.config, model_spec, loaded)
    return loaded


def forget_last_failure() -> None:
    """Drops the frames of the last failed test, whose local variables refer to the model.

    pytest keeps them for `pdb.pm()` until the next test is called, after the next model was loaded (pytest #12198).
    """
    for name in ("last_exc", "last_value", "last_traceback", "last_type"):
        if hasattr(sys, name):
            delattr(sys, name)


@pytest.fixture(scope="session")
def tier(pytestconfig: pytest.Config) -> Tier:
    """How much to measure: `tier.choose(smoke=8, quick=40, full=None)`."""
    return Tier(options.tier(pytestconfig))


@pytest.fixture(scope="session")
def null_world(pytestconfig: pytest.Config) -> bool:
    """With `--null` True: the experiment then puts a second draw of its control in the place of what it claims an effect of.

    The claims of an experiment that takes this fixture, itself or through another, are judged in such a run.
    """
    return options.null_world(pytestconfig)


@pytest.fixture(scope="session")
def progress(pytestconfig: pytest.Config) -> Progress:
    """`for query in progress(queries, "back-patching"): ...` shows how many are done, and the time that is left."""
    return Progress(pytestconfig)


@pytest.fixture(scope="module")
def journal(request: pytest.FixtureRequest, model_spec: ModelSpec, lm: Any, progress: Progress) -> Journal:
    """`journal(measure, items, label)`: [measure(item), ...], kept on disk for `--resume` if the run is cut off."""
    return Journal(request.config, model_spec, lm, progress, request.module)


@pytest.fixture(scope="session")
def system_prompt() -> Any:
    """The system prompt of the chat prompts in a folder, recorded with its experiments: a conftest there overrides this fixture.

    A text; False, none; None (this one), what the chat template writes by itself, or no chat: nothing is recorded.
    """
    return None


@pytest.fixture
def metrics(request: pytest.FixtureRequest, snapshot: SnapshotAssertion) -> Metrics:
    """`assert metrics == {...}`: record metrics, or compare them with the recorded ones."""
    if options.recorded(request.config):
        pytest.skip("nothing is measured with --recorded")
    return Metrics(
        session=snapshot.session,
        extension_class=MetricsExtension,
        test_location=snapshot.test_location,
        update_snapshots=snapshot.update_snapshots,
        # For `metrics` only: other snapshots of the repository keep syrupy's own rules.
        update_new_snapshots_only=options.records_missing(request.config),
    )
