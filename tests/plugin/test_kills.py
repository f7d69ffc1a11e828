"""Kills at many moments: a snapshot holds the old bytes or the new ones, and `--resume` ends where an undisturbed run does."""

import os
import resource
import signal
import subprocess
import sys
import time

import pytest
from conftest import QUIET

from assay.plugin import files

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
        grid = [[x + y for x in rows] for y in rows]
        return {"mean": Metric.mean(rows), "grid": grid}

    def test_metrics(slow, metrics):
        assert metrics == slow

    @finding("is measured")
    def test_claim(slow):
        assert slow.mean > 0
"""


BYTES: dict[str, dict[str, bytes]] = {}
"""Old and new snapshots, measured once: they are the same in every repository."""


@pytest.fixture
def changed(repo, monkeypatch):
    """A repository with recorded metrics, and code that now measures something else: (repo, old bytes, new bytes)."""
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
    for file, content in old.items():
        (repo.path / file).parent.mkdir(parents=True, exist_ok=True)
        (repo.path / file).write_bytes(content)
    repo.log()
    return repo, old, new


def start(repo, *args, **options):
    command = [sys.executable, "-m", "pytest", "-p", "assay.plugin", *QUIET, "--snapshot-update", *args]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "preexec_fn": hear_sigint, **options}
    return subprocess.Popen(command, cwd=repo.path, **options)


def hear_sigint() -> None:
    """Ctrl-C reaches the run even where these tests were started in the background, with SIGINT ignored (nohup, CI)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(repo, asked, process):
    """Until so many prompts are asked."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        log = repo.path / "log"
        if log.exists() and log.read_text().count("ASK") >= asked:
            return
        time.sleep(0.001)


def check(repo, old, new, *args):
    now = repo.snapshots()
    assert now.keys() == old.keys()
    assert all(now[file] in (old[file], new[file]) for file in now)
    repo.log()
    repo.process("--snapshot-update", "--resume", *args).assert_outcomes(passed=4)
    assert repo.snapshots() == new


@pytest.mark.parametrize(
    ("name", "asked"),
    [("SIGKILL", 3), ("SIGKILL", 12), ("SIGKILL", 17), ("SIGKILL", 24), ("SIGINT", 5), ("SIGINT", 19)],
)
def test_kill_of_the_run(changed, name, asked):
    repo, old, new = changed
    process = start(repo)
    wait_for(repo, asked, process)
    process.send_signal(getattr(signal, name))
    output = process.communicate(timeout=60)[0].decode()
    if name == "SIGINT" and asked < 24:
        assert process.returncode == pytest.ExitCode.INTERRUPTED, output
        assert "is measured" in output  # the table is there, with what is known
        assert "not run" in output
    taken_over = (repo.path / "log").read_text().count("ASK")
    check(repo, old, new)
    assert repo.log().count("ASK 0") <= (2 if taken_over == 0 else 1)


@pytest.mark.parametrize("asked", [2, 20])
def test_kill_of_a_worker(changed, asked):
    repo, old, new = changed
    process = start(repo, "-n", "2")
    wait_for(repo, asked, process)
    for line in subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False
    ).stdout.split():
        os.kill(int(line), signal.SIGKILL)
        break
    process.communicate(timeout=100)
    check(repo, old, new)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_kill_of_everything_under_xdist(changed, name):
    repo, old, new = changed
    process = start(repo, "-n", "2", start_new_session=True)
    wait_for(repo, 10, process)
    os.killpg(process.pid, getattr(signal, name))
    output = process.communicate(timeout=60)[0].decode()
    if name == "SIGINT":
        assert process.returncode == pytest.ExitCode.INTERRUPTED, output
        assert "not run" in output
    check(repo, old, new)


def test_full_disk(changed):
    """No file may grow beyond 1.5 kB: the journal fits, a snapshot does not, and its beginning is really written."""
    repo, old, new = changed
    assert min(map(len, new.values())) > 1500
    process = start(repo, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500)))
    output = process.communicate(timeout=60)[0].decode()
    assert process.returncode == pytest.ExitCode.TESTS_FAILED, output
    assert "OSError: [Errno 27] File too large" in output
    assert repo.snapshots() == old
    assert not list((repo.path / "snapshots").rglob(".*.tmp"))
    check(repo, old, new)


REWRITER = """
import sys
from pathlib import Path
from assay.plugin import files
documents = [{"x@quick": {f"m{at}": {"value": value} for at in range(3000)}} for value in (1, 2)]
print("ready", flush=True)
while True:
    for document in documents:
        files.write(Path(sys.argv[1]), document)
"""


def test_kill_in_the_middle_of_writing(tmp_path):
    path = tmp_path / "x.json"
    whole = [files.dumps({"x@quick": {f"m{at}": {"value": value} for at in range(3000)}}) for value in (1, 2)]
    for turn in range(12):
        process = subprocess.Popen([sys.executable, "-c", REWRITER, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.01 + 0.0037 * turn)
        process.kill()
        process.wait()
        process.stdout.close()
        assert not path.exists() or path.read_text() in whole
    assert path.exists()
    files.write(path, {})
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]
