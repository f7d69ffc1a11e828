"""Refuses a command line of which pytest takes the value of an option of assay for a folder of tests.

    $ pytest --model /models/qwen
    ERROR: pytest takes /models/qwen for a folder of tests, as it reads --model later: write --model=/models/qwen

pytest looks for pytest.ini, which loads `assay.plugin`, before it knows the plugin's options. Until then any value that is
not joined to its option by "=" is a path to it: where that is the only one, pytest looks for pytest.ini there, and the run
ends in "unrecognized arguments", or takes place in another project.

pytest loads this file, an entry point, in every run of the environment where assay is installed. So it is no part of the
package `assay`, whose import makes settings for MLX, adds no option and says nothing about runs without `assay.plugin`.
"""

import copy
from collections.abc import Sequence
from pathlib import Path

import pytest
from _pytest.config.findpaths import determine_setup

FLAGS = ("--model", "--findings", "--catalogue")
"""Options of assay with a value that may be a path that exists."""


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    rest, seen, values = as_read(args)
    if not any(Path(early_config.invocation_params.dir, value).exists() for _, value in values):
        return

    def found(args: list[str]) -> tuple:
        """Root, file and settings that pytest finds with these arguments."""
        known = parser.parse_known_args(args, namespace=copy.copy(early_config.option))
        return determine_setup(
            inifile=known.inifilename,
            override_ini=known.override_ini,
            args=known.file_or_dir,
            rootdir_cmd_arg=known.rootdir or None,
            invocation_dir=early_config.invocation_params.dir,
        )[:3]

    root, file, settings = found(rest)
    loads = early_config.pluginmanager.has_plugin("assay.plugin") or "assay.plugin" in str(settings.get("addopts"))
    if loads and found(seen)[:2] != (root, file):
        flag, value = next(pair for pair in values if Path(early_config.invocation_params.dir, pair[1]).exists())
        raise pytest.UsageError(
            f"pytest takes {value} for a folder of tests, as it reads {flag} later: write {flag}={value}"
        )


def as_read(args: Sequence[str]) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """Arguments without `FLAGS` whose value stands alone, the same with these values as paths, and the flags with them."""
    rest, seen, values, left = [], [], [], iter(args)
    for arg in left:
        if arg in FLAGS and (value := next(left, None)) is not None:
            values.append((arg, value))
            seen.append(value)
        else:
            rest.append(arg)
            seen.append(arg)
    return rest, seen, values
