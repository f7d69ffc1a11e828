"""Selects the models of a run: `--model`, else (with --recorded) the recorded ones, else `models` in pytest.ini.

    --model qwen7b,gemma* --model ./my-checkpoint

A model that `--model` names and that is not on this machine's disk ends the run before it starts; a model that comes
from pytest.ini, a glob or `all` is skipped, with the command that downloads it as the reason. The network is not used:
an outage must not skip an experiment.
"""

from collections.abc import Iterable

import pytest

from assay.errors import AssayError, ModelNotCached
from assay.models.registry import GROUPS, REGISTRY, ModelSpec, few_shot_twin, known, locate, random_twin, resolve
from assay.plugin import options

SELECTED = pytest.StashKey[list[ModelSpec]]()
"""The models of this run, in the order in which they were named."""

ABSENT = pytest.StashKey[dict[str, str]]()
"""Model id -> why it is skipped."""

ANY_MODEL = ModelSpec("any_model", "any/any_model", None, None, None)
"""Stands for every model in an audit, which runs nothing: tests are then collected once, and not once per model."""

MODEL_NOW = pytest.StashKey[str]()
"""Id of the model whose tests are running."""

_ADDED = pytest.StashKey[list[str]]()


def configure(config: pytest.Config) -> None:
    """Registers the repository's own models and resolves the selection. Raises UsageError."""
    config.stash[_ADDED] = []
    _add_models(config, config.hook.pytest_assay_models(config=config))
    try:
        config.stash[SELECTED], by_name = _select(config)
        needed = not (
            options.recorded(config)
            or options.random_weights(config)
            or config.option.collectonly
            or config.option.snapshots == "audit"
        )
        config.stash[ABSENT] = _absent(config.stash[SELECTED], by_name) if needed else {}
    except AssayError as error:
        raise pytest.UsageError(f"--model: {error}" if config.option.model else str(error)) from error


def unconfigure(config: pytest.Config) -> None:
    """Removes the repository's own models from the registry: one process may run several sessions of pytest."""
    for id in config.stash.get(_ADDED, []):
        REGISTRY.pop(id, None)
        GROUPS["all"] = tuple(name for name in GROUPS["all"] if name != id)


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Every test that needs a model becomes one test per selected model."""
    if not uses(metafunc, "model_spec"):
        return
    config = metafunc.config
    absent, selected = config.stash[ABSENT], config.stash[SELECTED]
    if options.recorded(config) and metafunc.definition.get_closest_marker("finding") is None:
        selected = selected[:1]  # `findings.keep_only` deselects the test: it need not be collected per model
    params = [
        pytest.param(spec, id=spec.id, marks=[pytest.mark.skip(reason=absent[spec.id])] if spec.id in absent else [])
        for spec in selected
    ]
    # Without a model: one placeholder, so that the test is collected and `needs_models` can refuse the run. pytest skips
    # a test with no parameters, and the run would be green.
    metafunc.parametrize("model_spec", params or [pytest.param(None, id="no_model")], indirect=True, scope="session")


def needs_models(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Refuses to run tests of models when no model is selected. Raises UsageError."""
    if not config.stash[SELECTED] and any(uses(item, "model_spec") for item in items):
        raise pytest.UsageError(
            f"no model selected: give --model NAME or set 'models' in pytest.ini. Known: {', '.join(known())}"
        )


def uses(test: pytest.Item | pytest.Metafunc, fixture: str) -> bool:
    """Whether a test uses a fixture, directly or through another fixture."""
    return fixture in getattr(test, "fixturenames", ())


def model_of(item: pytest.Item) -> ModelSpec | None:
    """The model that a test runs on; None for a test without a model."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("model_spec") if callspec else None


def ids_of(names: Iterable[str]) -> set[str]:
    """Model ids behind ids, aliases, groups and globs. Raises UnknownModel."""
    return {spec.id for name in names for spec in resolve([name])}


def _add_models(config: pytest.Config, by_hook: Iterable[Iterable[ModelSpec] | None]) -> None:
    for spec in (spec for specs in by_hook for spec in specs or ()):
        if spec.id in REGISTRY and REGISTRY[spec.id] != spec:
            raise pytest.UsageError(f"pytest_assay_models: there is already a model called {spec.id}")
        if spec.id not in REGISTRY:
            REGISTRY[spec.id] = spec
            GROUPS["all"] = (*GROUPS["all"], spec.id)
            config.stash[_ADDED].append(spec.id)


def _select(config: pytest.Config) -> tuple[list[ModelSpec], set[str]]:
    """The models, and the ids of those that `--model` names without a group or a glob."""
    if config.option.snapshots == "audit":
        return [ANY_MODEL], set()
    asked = config.option.model  # [""] for --model="$MODEL" with an empty variable: refused by `resolve`
    if not asked and options.recorded(config) and (found := _recorded_models(config)):
        return found, set()
    tokens = asked or config.getini("models")
    specs = resolve(tokens) if tokens else []
    if options.random_weights(config):
        return [random_twin(spec) for spec in specs], set()
    names = [name.strip() for token in asked for name in token.split(",")]
    return specs, ids_of(name for name in names if name and name.lower() not in GROUPS and not set(name) & set("*?["))


def _recorded_models(config: pytest.Config) -> list[ModelSpec]:
    """The models that have a folder of snapshots, in the registry's order; base models in few-shot form are behind their own."""
    folder = options.snapshots_folder(config)
    here = {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
    return [one for spec in REGISTRY.values() for one in (spec, few_shot_twin(spec)) if one.id in here]


def _absent(specs: list[ModelSpec], by_name: set[str]) -> dict[str, str]:
    absent = {}
    for spec in specs:
        try:
            locate(spec)
        except AssayError as error:
            if spec.id in by_name:
                raise
            if isinstance(error, ModelNotCached):  # not a damaged checkpoint: its tests fail when they load it
                absent[spec.id] = str(error)
    return absent
