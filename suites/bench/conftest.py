"""Fixtures of the benchmarks, and the table of ratios at the end of the run.

    pytest suites/bench                                       # the reference shape and the three built-in models
    pytest suites/bench --model qwen7b --weights random       # the true 7B shape, without a download

Absolute times go to pytest-benchmark; ratios are measured in turns in one process and printed below. Nothing here is a
snapshot, and no assertion depends on a clock.
"""

import json

import pytest
from pace import REFERENCE, Pace, in_float32

import assay
from assay.models.registry import ModelSpec

ROWS = pytest.StashKey[list[tuple[str, ...]]]()


def pytest_configure(config):
    config.stash[ROWS] = []


def pytest_ignore_collect(config):
    """With --recorded, benchmarks are not collected: none is a finding, and they import MLX."""
    return config.option.recorded or None


def pytest_collection_modifyitems(config, items):
    """Deselects the benchmarks of the reference shape if `--model` names a model."""
    if config.option.model:
        others = [item for item in items if "reference_lm" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


@pytest.fixture
def row(pytestconfig):
    """Add one line to the table of ratios: `row("what", "model", "result")`."""
    return lambda *cells: pytestconfig.stash[ROWS].append(tuple(str(cell) for cell in cells))


def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash[ROWS]
    if rows:
        terminalreporter.section("ratios, measured in turns in this run")
        widths = [max(len(r[i]) for r in rows if i < len(r)) for i in range(max(map(len, rows)))]
        for r in rows:
            terminalreporter.line("  ".join(cell.ljust(width) for cell, width in zip(r, widths, strict=False)).rstrip())


@pytest.fixture(scope="module")
def pace(lm):
    """Estimates of the plain model's speed on this machine, in float32."""
    with in_float32(lm.model):
        return Pace.of(lm)


@pytest.fixture(scope="session")
def reference_lm(tmp_path_factory):
    """The reference shape of the sweep benchmarks: a dense Llama of 16 layers, width 512, 8 query and 4 key heads."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "config.json").write_text(json.dumps(REFERENCE))
    return assay.random_lm(ModelSpec("llama_16x512_random", "", "llama", 16, None, path=folder), bits=None)
