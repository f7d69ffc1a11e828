"""Progress lines: what they say, and that they reach the terminal through capture and from workers."""

import contextlib
import os
import pty
import re
import subprocess
import sys

import pytest
from repositories import QUIET

from assay.plugin.results.progress import describe

LOOP = """
    import time
    from assay.plugin import experiment

    @experiment
    def slow(lm, progress):
        seen = []
        for query in progress(range(4), "back-patching"):
            print("captured noise")
            time.sleep(0.15)
            seen.append(query)
        return {"n": len(seen)}

    def test_n(slow): assert slow.n == 4
"""


@pytest.mark.parametrize(
    ("done", "total", "elapsed", "text"),
    [
        (37, 120, 57.7, "a on m: patching 37/120, 2:09 left"),
        (1, 4001, 1.0, "a on m: patching 1/4001, 1:06:40 left"),
        (0, 120, 0.0, "a on m: patching 0/120"),
        (5, None, 3.0, "a on m: patching 5"),
    ],
)
def test_the_line(done, total, elapsed, text):
    assert describe("a on m", "patching", done, total, elapsed) == text


def test_lines_under_capture_and_from_workers(repo, run):
    repo.suite(test_slow=LOOP)
    result = run("--model", "toy_a", "--progress-every", "0.01")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*slow on toy_a: back-patching 2/4, 0:0* left"])
    result.stdout.no_fnmatch_line("*captured noise*")


def test_a_short_loop_is_silent(repo, run):
    repo.suite(test_slow=LOOP)
    result = run("--model", "toy_a")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*back-patching*")


def test_a_terminal_gets_one_line_that_is_rewritten_and_removed(repo):
    repo.suite(test_slow=LOOP.replace("0.15", "0.5"))
    here, there = pty.openpty()
    command = [sys.executable, "-m", "pytest", "-p", "assay.plugin", *QUIET, "--model", "toy_a"]
    with subprocess.Popen(command, cwd=repo.path, stdout=there, stderr=there, stdin=subprocess.DEVNULL) as process:
        os.close(there)
        chunks = []
        with contextlib.suppress(OSError):  # how a terminal says that nobody writes any more
            while chunk := os.read(here, 4096):
                chunks.append(chunk)
    os.close(here)
    text = b"".join(chunks).decode()
    assert process.returncode == 0
    line = "\rslow on toy_a: back-patching 3/4, 0:00 left"
    assert line in text or line.replace("0:00", "0:01") in text
    after = text[text.rindex("back-patching 3/4") :]
    assert re.search(r"\r {40,}\r", after)  # blanks over the line, before the dot of the test


def test_a_loop_without_a_length(repo):
    repo.suite(test_slow=LOOP.replace("range(4)", "iter(range(4))"))
    result = repo.run("--model", "toy_a", "--progress-every", "0.01")
    result.stdout.fnmatch_lines(["slow on toy_a: back-patching 3"])
