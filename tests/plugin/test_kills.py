"""Kills at many moments: a snapshot holds the old bytes or the new ones, and `--resume` ends where an undisturbed run does."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from disturbed import alive, changed, children  # noqa: F401  # a fixture
from repositories import thorough

from assay.record import files


@pytest.mark.parametrize(
    ("name", "asked"), [("SIGKILL", 3), ("SIGKILL", 12), ("SIGKILL", 24), ("SIGINT", 5), ("SIGINT", 19)]
)
def test_kill_of_the_run(changed, name, asked):  # noqa: F811
    process = changed.start()
    changed.wait_for(asked, process)
    process.send_signal(getattr(signal, name))
    output = process.communicate(timeout=600)[0].decode()
    if name == "SIGINT":
        assert process.returncode == pytest.ExitCode.INTERRUPTED, output
        assert "is measured" in output  # the table is there, with what is known
        assert "not run" in output
    taken_over = sum(line.startswith("ASK") for line in changed.repo.log())
    changed.each_is_old_or_new()
    changed.resumes_to_the_new_ones()
    if taken_over:  # a kill may come between an answer and its line in the journal
        assert sum(line.startswith("ASK") for line in changed.repo.log()) <= 24 - taken_over + 1


@pytest.mark.parametrize("asked", [2, 20])
def test_kill_of_a_worker(changed, asked):  # noqa: F811
    process = changed.start("-n", "2")
    changed.wait_for(asked, process)
    os.kill(children(process)[0], signal.SIGKILL)
    process.communicate(timeout=600)
    changed.each_is_old_or_new()
    changed.resumes_to_the_new_ones()


@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_kill_of_everything_under_xdist(changed, name):  # noqa: F811
    process = changed.start("-n", "2", start_new_session=True)
    changed.wait_for(10, process)
    os.killpg(process.pid, getattr(signal, name))
    output = process.communicate(timeout=600)[0].decode()
    if name == "SIGINT":
        assert process.returncode == pytest.ExitCode.INTERRUPTED, output
        assert "not run" in output
    changed.each_is_old_or_new()
    changed.resumes_to_the_new_ones("-n", "2")


def test_kill_of_the_main_process_alone_leaves_no_workers(changed):  # noqa: F811
    """They may still be measuring when the next run resumes."""
    process = changed.start("-n", "2", stdout=subprocess.DEVNULL)
    changed.wait_for(6, process)
    workers = children(process)
    assert len(workers) == 2
    process.kill()
    process.wait()
    changed.each_is_old_or_new()
    changed.resumes_to_the_new_ones()
    deadline = time.monotonic() + 300
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, workers))
    assert changed.repo.snapshots() == changed.new


@pytest.mark.parametrize(("seed", "kills"), [(1, 3), *(pytest.param(seed, 12, marks=thorough) for seed in range(2, 8))])
@pytest.mark.parametrize("workers", ["0", "2"], ids=["here", "xdist"])
def test_killed_again_and_again_at_random_moments(changed, seed, kills, workers):  # noqa: F811
    """Every run resumes the one before, and is killed itself: all of it, its main process, a worker, or by Ctrl-C."""
    dice = random.Random(seed)
    for _ in range(kills):
        process = changed.start("--resume", "-n", workers, start_new_session=True, stdout=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.2, 1.5 if workers == "0" else 2.5))
        victim = dice.choice(["everything", "main", "Ctrl-C", "worker"])
        if victim == "worker" and (those := children(process)):
            os.kill(dice.choice(those), signal.SIGKILL)
        elif process.poll() is None:
            os.killpg(process.pid, signal.SIGINT) if victim == "Ctrl-C" else process.kill()
        if victim == "everything" and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=600)
        changed.each_is_old_or_new()
    changed.resumes_to_the_new_ones()


REWRITER = """
import os, sys
from pathlib import Path
from assay.record import files
texts = ["1" * 1_000_000, "2" * 1_000_000]
for path in sys.stdin:
    if not (writer := os.fork()):
        while True:
            for text in texts:
                files.replace(Path(path.strip()), text)
    print(writer, flush=True)
    os.waitpid(writer, 0)
    print("gone", flush=True)
"""


def test_kill_in_the_middle_of_writing(tmp_path):
    path = tmp_path / "x.json"
    command, beside = [sys.executable, "-c", REWRITER], 0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for turn in range(50):
            process.stdin.write(f"{path}\n")
            writer = int(process.stdout.readline())
            while not path.exists():
                time.sleep(0.001)
            time.sleep(0.00037 * turn)
            os.kill(writer, signal.SIGKILL)
            assert process.stdout.readline() == "gone\n"
            text = path.read_text()
            assert len(text) == 1_000_000
            assert text in ("1" * len(text), "2" * len(text))
            beside += len(list(tmp_path.glob(f".x.json.{writer}.tmp")))
    assert beside > 0  # some were really killed while they wrote
    files.write(path, {})
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]
