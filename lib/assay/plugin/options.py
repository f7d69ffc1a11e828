"""Every command line option and ini setting, and functions that read them.

    pytest suites --model qwen7b,gemma2b --tier smoke --snapshots none
    pytest suites --recorded --findings findings.md

Other files call these functions; an option that only one file uses is read there, from `config.option`.
"""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from assay import before_mlx, blas
from assay.errors import AssayError
from assay.plugin import own_data
from assay.record.tier import DEFAULT, TIERS

OPTIONS: dict[str, dict[str, Any]] = {
    "--model": {
        "action": "append",
        "default": [],
        "metavar": "NAME",
        "help": "run on NAME: an id, alias, repo id, folder, glob, or 'all'; repeat or comma-separate for several",
    },
    "--weights": {
        "choices": ("auto", "float32", "stored", "random"),
        "default": "auto",
        "help": "how weights lie in memory: 'float32', 'stored', or 'auto', float32 on a CPU where they fit; 'random': the "
        "true shape with random 4-bit weights, to measure speed without the checkpoint",
    },
    "--dataset": {
        "action": "append",
        "default": [],
        "metavar": "NAME=PATH",
        "help": "use the file PATH, in the form of the paper's authors, in place of the built-in task or prompt set NAME "
        "(harmful, harmless, two-hop, statements, behaviour, opinions, entities, persona, right-or-wrong); repeatable",
    },
    "--tier": {
        "choices": TIERS,
        "default": DEFAULT,
        "help": "how many prompts and layers the experiments take (default: quick)",
    },
    "--snapshots": {
        "choices": ("auto", "new", "none", "audit"),
        "default": "auto",
        "help": "missing metrics: 'auto' records them except under CI, 'new' always, 'none' never; "
        "'audit' runs nothing and lists recorded metrics that no test or model owns",
    },
    "--recorded": {
        "action": "store_true",
        "help": "only judge the findings, from the recorded metrics and without loading any model",
    },
    "--null": {
        "action": "store_true",
        "help": "judge the findings in a world where nothing is there: each claim's own series is a second draw of its control; "
        "records nothing, and fails if more than 5%% of the claims hold",
    },
    "--resume": {
        "action": "store_true",
        "help": "take over the prompts that an interrupted run of the same code and model has finished",
    },
    "--progress-every": {
        "type": float,
        "default": 30.0,
        "metavar": "SECONDS",
        "help": "time between progress lines when the output is not a terminal (default: 30)",
    },
    "--memory-budget": {
        "type": float,
        "metavar": "GIB",
        "help": "with -n: memory for models that are loaded at the same time (default: 75%% of this machine)",
    },
    "--findings": {
        "metavar": "FILE",
        "help": "write the table of findings to FILE, a .json or .md",
    },
    "--catalogue": {
        "metavar": "FILE.md",
        "help": "write a page of every experiment id with its tests and verdicts, or 'not attempted'",
    },
}

INI: dict[str, dict[str, Any]] = {
    "models": {"type": "args", "default": [], "help": "models to run on when --model is not given"},
    "metrics_dir": {"default": "snapshots", "help": "where metrics are recorded, relative to rootdir"},
}


def add(parser: pytest.Parser) -> None:
    """Registers all options and settings."""
    group = parser.getgroup("assay", "experiments on language models")
    for flag, settings in OPTIONS.items():
        group.addoption(flag, **settings)
    for name, settings in INI.items():
        parser.addini(name, **settings)


def check(config: pytest.Config) -> None:
    """Refuses options that contradict each other, before anything runs. Raises UsageError."""
    option = config.option
    try:
        before_mlx.precision()
        if not option.recorded and "mlx.core" not in sys.modules:
            blas.put_in_front()
    except AssayError as error:
        raise pytest.UsageError(str(error)) from error
    if option.null and (option.recorded or option.update_snapshots):
        raise pytest.UsageError("--null measures and records nothing: drop --recorded and --snapshot-update")
    if option.weights == "random" and (option.recorded or option.update_snapshots):
        raise pytest.UsageError("--weights random measures speed: there is nothing to judge or to update")
    if option.snapshots in ("none", "audit") and option.update_snapshots:
        raise pytest.UsageError(f"--snapshots {option.snapshots} never writes: drop it or --snapshot-update")
    if option.memory_budget is not None and not option.memory_budget > 0:
        raise pytest.UsageError(f"--memory-budget is in GiB and above 0, not {option.memory_budget:g}")
    for flag, suffixes in (("findings", (".json", ".md")), ("catalogue", (".md",))):
        if (file := getattr(option, flag)) is None:
            continue
        if Path(file).suffix not in suffixes:
            raise pytest.UsageError(f"--{flag} writes {' or '.join(suffixes)}, not {file!r}")
        if not Path(config.invocation_params.dir, file).parent.is_dir():
            raise pytest.UsageError(f"--{flag}: there is no folder {Path(file).parent}")


def recorded(config: pytest.Config) -> bool:
    """Are findings judged from snapshots in this run?"""
    return config.option.recorded


def null_world(config: pytest.Config) -> bool:
    """Is each claim's own series a second draw of its control in this run?"""
    return config.option.null


def random_weights(config: pytest.Config) -> bool:
    """Do the models of this run have random weights, in their true shapes?"""
    return config.option.weights == "random"


def tier(config: pytest.Config) -> str:
    """The tier of this run."""
    return config.option.tier


def records_missing(config: pytest.Config) -> bool:
    """May a metric without a snapshot be recorded? Not under CI, where new snapshots are not committed."""
    # An empty variable counts as unset, as in pytest itself. Read in every process: xdist workers parse the original command
    # line again, and never see an option that the controller has changed.
    ci = os.environ.get("CI") or os.environ.get("BUILD_NUMBER")
    if null_world(config):
        return False
    return config.option.snapshots == "new" or (config.option.snapshots == "auto" and not ci)


def snapshots_folder(config: pytest.Config) -> Path:
    """`snapshots/` of the repository whose suites run; with `--dataset` a folder of its own (own_data.py)."""
    return config.rootpath / f"{config.getini('metrics_dir')}{own_data.suffix(config)}"


def scratch_folder(config: pytest.Config) -> Path:
    """`.assay/`, the folder of locks and journals."""
    return config.rootpath / ".assay"
