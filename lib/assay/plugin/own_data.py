"""`--dataset NAME=PATH`: a file of your own in place of a built-in in-context task or prompt set.

    $ pytest suites/function_vectors --dataset antonym=mine.json --dataset english-french=/data/french.json
    $ pytest suites/refusal --dataset harmful=harmful.json --dataset harmless=alpaca.json
    $ pytest suites/hopping_too_late --dataset two-hop=two_hop.csv
    $ pytest suites/confidence --dataset statements=cities.csv --dataset entities=names.csv
    $ pytest suites/sycophancy --dataset opinions=views.csv --dataset right-or-wrong=trivia.csv

    @experiment
    def shots(lm, datasets):
        antonym = datasets.get("antonym") or task("antonym")

A task is a list of {"input": ..., "output": ...}; a prompt set has the form of its paper's authors (`assay.data.own`). Tasks
arrive by the fixture `datasets`, prompt sets in the place of the built-in ones.

Metrics on other data are never compared with those on the built-in data, nor written over them: a run with `--dataset` has
journals of its own and a folder of snapshots of its own, named by the task and a hash of the file's pairs. `--recorded`
with the same `--dataset` judges the findings from that folder.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from assay.errors import DataError, unknown
from assay.record.digest import data, digest

if TYPE_CHECKING:
    from assay.data.tasks import Task

READ = pytest.StashKey["dict[str, Task]"]()
"""Name of the built-in task -> the task that replaces it."""
PROMPTS = pytest.StashKey["dict[str, tuple[object, ...]]"]()
"""Name of the built-in prompt set -> the prompts that replace it."""


def configure(config: pytest.Config) -> None:
    """Reads the files. Raises UsageError for a malformed or missing file, and for an unknown task."""
    config.stash[READ], config.stash[PROMPTS] = {}, {}
    for given in config.option.dataset:
        name, equals, path = given.partition("=")
        if not (name and equals and path):
            raise pytest.UsageError(f"--dataset is NAME=PATH, such as antonym=mine.json, not {given!r}")
        if name in config.stash[READ] or name in config.stash[PROMPTS]:
            raise pytest.UsageError(f"--dataset replaces {name} twice: give one file")
        try:
            _read(config, name, config.invocation_params.dir / path)
        except DataError as error:
            raise pytest.UsageError(f"--dataset: {error}") from error


def _read(config: pytest.Config, name: str, path: Path) -> None:
    # Imported only here: runs without --dataset start faster.
    from assay.data import given, own
    from assay.data.tasks import read_task, tasks

    if name in own.PROMPTS:
        config.stash[PROMPTS][name] = own.read(name, path)
        given.give(name, config.stash[PROMPTS][name])
    elif name in (known := [task.name for task in tasks()]):
        config.stash[READ][name] = read_task(path, name)
    else:
        raise unknown(DataError, "task or prompt set", name, [*known, *own.PROMPTS])


def unconfigure(config: pytest.Config) -> None:
    """The built-in prompts are used again: tests of this plugin run pytest inside pytest."""
    if config.stash.get(PROMPTS, {}):
        from assay.data import given

        given.take_back()


def hashes(config: pytest.Config) -> dict[str, str]:
    """Name of what is replaced -> 12 hex digits of the hash of what replaces it: {"antonym": "5f2c91ab03de"}."""
    content = {name: task.pairs for name, task in config.stash[READ].items()} | config.stash[PROMPTS]
    return {name: digest(data(items, name))[:12] for name, items in content.items()}


def suffix(config: pytest.Config) -> str:
    """What `--dataset` appends to the name of the folder of snapshots: "-antonym-5f2c91ab03de"; "" without it."""
    return "".join(f"-{name}-{short}" for name, short in sorted(hashes(config).items()))


def header(config: pytest.Config) -> list[str]:
    """One line per file for the header of the run."""
    sizes = {name: f"{len(task.pairs)} pairs" for name, task in config.stash[READ].items()}
    sizes |= {name: f"{len(items)} prompts" for name, items in config.stash[PROMPTS].items()}
    folder = f"{config.getini('metrics_dir')}{suffix(config)}"
    return [f"assay: --dataset {name}: {size} of yours, recorded in {folder}" for name, size in sizes.items()]


@pytest.fixture(scope="session")
def datasets(pytestconfig: pytest.Config) -> "dict[str, Task]":
    """The tasks of `--dataset`, by the name of the built-in task that each replaces; {} without the option."""
    return dict(pytestconfig.stash[READ])
