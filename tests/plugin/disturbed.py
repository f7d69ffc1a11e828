"""What the tests of kills and of full disks share: a repository whose metrics are about to change, and a run of it to disturb."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from repositories import QUIET, Repo

SUITE = """
    import os, time
    from assay.plugin import Metric, experiment, finding
    from conftest import log

    BASE = float(os.environ.get("BASE", "1"))

    @experiment
    def slow(lm, journal):
        base = BASE

        def one(query):
            time.sleep(0.01)
            log("ASK " + str(query))
            return base * query / 7

        rows = journal(one, list(range(12)), "asking")
        grid = [[x + y for x in rows * 3] for y in rows * 3]
        return {"mean": Metric.mean(rows), "grid": grid}

    def test_metrics(slow, metrics):
        assert metrics == slow

    @finding("is measured")
    def test_claim(slow):
        assert slow.mean > 0
"""

BYTES: dict[str, dict[str, bytes]] = {}
"""Old and new snapshots, measured once: they are the same in every repository."""


@dataclass
class Disturbed:
    """A repository with recorded metrics, and code that now measures something else."""

    repo: Repo
    old: dict[str, bytes]
    new: dict[str, bytes]

    def start(self, *args: str, cwd: Path | None = None, **options) -> subprocess.Popen:
        """A run that replaces the old snapshots by the new ones."""
        command = [sys.executable, "-m", "pytest", "-p", "assay.plugin", *QUIET, "--snapshot-update", *args]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "preexec_fn": hear_sigint, **options}
        return subprocess.Popen(command, cwd=cwd or self.repo.path, **options)

    def wait_for(self, asked: int, process: subprocess.Popen) -> None:
        """Until so many prompts are asked."""
        deadline = time.monotonic() + 600
        log = self.repo.path / "log"
        while process.poll() is None and time.monotonic() < deadline:
            if log.exists() and log.read_text().count("ASK") >= asked:
                return
            time.sleep(0.001)

    def each_is_old_or_new(self) -> None:
        now = self.repo.snapshots()
        assert now.keys() == self.old.keys()
        assert all(now[file] in (self.old[file], self.new[file]) for file in now)

    def resumes_to_the_new_ones(self, *args: str) -> None:
        self.repo.process("--snapshot-update", "--resume", *args).assert_outcomes(passed=4)
        assert self.repo.snapshots() == self.new
        assert not list((self.repo.path / "snapshots").rglob(".*.tmp"))


@pytest.fixture
def changed(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> Disturbed:
    repo.suite(test_slow=SUITE)
    if not BYTES:
        repo.process().assert_outcomes(passed=4)
        BYTES["old"] = repo.snapshots()
    monkeypatch.setenv("BASE", "2")
    if "new" not in BYTES:
        repo.process("--snapshot-update").assert_outcomes(passed=4)
        BYTES["new"] = repo.snapshots()
    old, new = BYTES["old"], BYTES["new"]
    assert len(old) == 2
    assert all(old[file] != new[file] for file in old | new)
    repo.put(old)
    repo.log()
    return Disturbed(repo, old, new)


def hear_sigint() -> None:
    """Ctrl-C reaches the run even where these tests were started in the background, with SIGINT ignored (nohup, CI)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def children(process: subprocess.Popen) -> list[int]:
    """Process ids of the workers."""
    command = ["pgrep", "-P", str(process.pid)]
    return [int(line) for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
