"""`--dataset NAME=PATH`: a file of your own in place of a built-in in-context task.

    $ pytest suites/function_vectors --dataset antonym=mine.json --dataset english-french=/data/french.json

    @experiment
    def shots(lm, datasets):
        antonym = datasets.get("antonym") or task("antonym")

The file is a list of {"input": ..., "output": ...}, the format of the paper's authors (`assay.data.tasks.read_task`).

Metrics on other data are never compared with those on the built-in data, nor written over them: a run with `--dataset` has
journals of its own and a folder of snapshots of its own, named by the task and a hash of the file's pairs. `--recorded`
with the same `--dataset` judges the findings from that folder.
"""

from typing import TYPE_CHECKING

import pytest

from assay.errors import DataError
from assay.record.digest import data, digest

if TYPE_CHECKING:
    from assay.data.tasks import Task

READ = pytest.StashKey["dict[str, Task]"]()
"""Name of the built-in task -> the task that replaces it."""


def configure(config: pytest.Config) -> None:
    """Reads the files. Raises UsageError for a malformed or missing file, and for an unknown task."""
    config.stash[READ] = {}
    for given in config.option.dataset:
        name, equals, path = given.partition("=")
        if not (name and equals and path):
            raise pytest.UsageError(f"--dataset is NAME=PATH, such as antonym=mine.json, not {given!r}")
        if name in config.stash[READ]:
            raise pytest.UsageError(f"--dataset replaces {name} twice: give one file")
        from assay.data.tasks import read_task, task  # only here: runs without --dataset start faster

        try:
            config.stash[READ][name] = read_task(config.invocation_params.dir / path, task(name).name)
        except DataError as error:
            raise pytest.UsageError(f"--dataset: {error}") from error


def hashes(config: pytest.Config) -> dict[str, str]:
    """Name of the replaced task -> 12 hex digits of the hash of the pairs that replace it: {"antonym": "5f2c91ab03de"}."""
    return {name: digest(data(task.pairs, name))[:12] for name, task in config.stash[READ].items()}


def suffix(config: pytest.Config) -> str:
    """What `--dataset` appends to the name of the folder of snapshots: "-antonym-5f2c91ab03de"; "" without it."""
    return "".join(f"-{name}-{short}" for name, short in sorted(hashes(config).items()))


def header(config: pytest.Config) -> list[str]:
    """One line per file for the header of the run."""
    return [
        f"assay: --dataset {name}: {len(task.pairs)} pairs of yours, recorded in {config.getini('metrics_dir')}{suffix(config)}"
        for name, task in config.stash[READ].items()
    ]


@pytest.fixture(scope="session")
def datasets(pytestconfig: pytest.Config) -> "dict[str, Task]":
    """The tasks of `--dataset`, by the name of the built-in task that each replaces; {} without the option."""
    return dict(pytestconfig.stash[READ])
