"""The fixtures: what a test or an experiment can ask for by name.

    def test_anything(lm, metrics): ...          model_spec   which model; cheap
    @experiment                                  lm           that model, loaded once, gone before the next
    def anything(lm, tier, progress): ...        metrics      `assert metrics == {...}` records and compares
                                                 tier         how much to measure
                                                 progress     shows how far a loop is
                                                 journal      the same, and survives an interruption

Everything is parametrized over `model_spec`, and `lm` hangs on it. So a test can know its model without
loading it, and `--recorded` loads none.
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
    """Which model: its `assay.models.ModelSpec`.

    When it goes, everything that hangs on it has gone before: `lm`, and every experiment with the frames of its failure.
    Only then can the model's memory be given back; in the teardown of `lm`, pytest itself would still hold it.
    """
    if not hasattr(request, "param"):
        raise DataError(
            "which model is decided at collection: name lm or model_spec among the arguments of the test, the experiment or "
            "the fixture, instead of asking for it with request.getfixturevalue"
        )
    request.config.stash[MODEL_NOW] = request.param.id
    yield request.param
    if options.recorded(request.config):
        return  # nothing was loaded, and a collection takes as long as judging a paper
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
    """Drops the frames of the last failed test, and with them the model that its locals hold.

    pytest keeps them for `pdb.pm()` until the next test's call, which is after the next model was loaded
    (pytest #12198).
    """
    for name in ("last_exc", "last_value", "last_traceback", "last_type"):
        if hasattr(sys, name):
            delattr(sys, name)


@pytest.fixture(scope="session")
def tier(pytestconfig: pytest.Config) -> Tier:
    """How much to measure: `tier.choose(smoke=8, quick=40, full=None)`."""
    return Tier(options.tier(pytestconfig))


@pytest.fixture(scope="session")
def progress(pytestconfig: pytest.Config) -> Progress:
    """`for query in progress(queries, "back-patching"): ...` shows how far it is, and how long it will
    take."""
    return Progress(pytestconfig)


@pytest.fixture(scope="module")
def journal(request: pytest.FixtureRequest, model_spec: ModelSpec, lm: Any, progress: Progress) -> Journal:
    """`journal(measure, items, label)`: a list of results that survives the death of the process."""
    return Journal(request.config, model_spec, lm, progress, request.module)


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
        # For this fixture only: other snapshots of the repository keep syrupy's own rules.
        update_new_snapshots_only=options.records_missing(request.config),
    )
