"""`opened`: the checkpoints of the references, each loaded once for all tests; `differences`: what the live test found."""

import functools
from collections.abc import Callable

import pytest
from checkpoints import write
from references import load

import assay
from assay.forward.lm import LM

FOUND = pytest.StashKey[dict[str, float]]()


@pytest.fixture(scope="session")
def differences(request) -> dict[str, float]:
    """variant -> the largest difference found in it; the largest of all is printed at the end."""
    return request.config.stash.setdefault(FOUND, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if found := config.stash.get(FOUND, {}):
        name = max(found, key=found.__getitem__)
        terminalreporter.write_line(
            f"assay and transformers: {len(found)} variants, the largest difference is {found[name]:.1e} ({name})"
        )


@pytest.fixture(scope="session")
def opened(tmp_path_factory) -> Callable[[str], LM]:
    """opened("gemma2-window"): the reference's checkpoint, loaded with the doctor's checks."""

    @functools.cache
    def lm(name: str) -> LM:
        saved = load()[name]
        folder = write(tmp_path_factory.mktemp("oracle") / name, saved.config, saved.shapes)
        return assay.load(str(folder), doctor=True)

    return lm
