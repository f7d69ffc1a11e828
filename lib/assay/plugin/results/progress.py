"""Progress of a long measurement, on the terminal, under capture and with workers.

    @experiment
    def backpatch(lm, progress):
        for query in progress(queries, "back-patching"):
            ...

    backpatch on qwen7b: back-patching 37/120, 2:10 left

A terminal shows one line that is rewritten; a file or a CI log gets a line every `--progress-every` seconds. An xdist
worker has no terminal: it writes its line into a file in the run's folder, and the controller shows the lines of all
workers.
"""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import pytest

from assay.plugin.models.collected import FOLDER, is_worker, worker_input
from assay.plugin.models.select import MODEL_NOW
from assay.plugin.results.experiment import RUNNING
from assay.record import files

T = TypeVar("T")

QUIET_SECONDS = 1.0
"""A loop that takes less time shows no progress."""
TERMINAL_SECONDS = 0.2
"""Seconds between updates of the line on a terminal, and of a worker's file."""
WORKER_SECONDS = 0.5
"""Seconds between the controller's reads of the workers' files."""


class Progress:
    """The value of the `progress` fixture: a callable."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.show = _WorkerFile(config) if is_worker(config) else Screen(config)

    def __call__(self, items: Iterable[T], label: str = "", total: int | None = None) -> Iterator[T]:
        """Yields the items; `total` for those without a length."""
        if total is None:
            total = len(items) if hasattr(items, "__len__") else None  # type: ignore[arg-type]
        start = time.monotonic()
        try:
            for done, item in enumerate(items):
                self.report(label, done, total, start)
                yield item
        finally:
            self.show.clear()

    def report(self, label: str, done: int, total: int | None, start: float) -> None:
        """Shows that `done` of `total` items are finished since `start` (seconds of `time.monotonic()`)."""
        elapsed = time.monotonic() - start
        if elapsed >= QUIET_SECONDS or self.config.option.progress_every < QUIET_SECONDS:
            about = f"{self.config.stash.get(RUNNING, 'measuring')} on {self.config.stash.get(MODEL_NOW, '-')}"
            self.show.line(describe(about, label, done, total, elapsed))


def describe(about: str, label: str, done: int, total: int | None, elapsed: float) -> str:
    """`backpatch on qwen7b: back-patching 37/120, 2:10 left`, from the mean time per item so far; elapsed: seconds."""
    text = f"{about}: {label} {done}" if label else f"{about}: {done}"
    if total is None:
        return text
    text += f"/{total}"
    if done:
        left = round(elapsed / done * (total - done))
        hours, minutes = divmod(left // 60, 60)
        clock = f"{hours}:{minutes:02}:{left % 60:02}" if hours else f"{minutes}:{left % 60:02}"
        text += f", {clock} left"
    return text


class Screen:
    """Shows a line: rewritten on a terminal, one below the other in a file."""

    def __init__(self, config: pytest.Config) -> None:
        self.terminal = config.pluginmanager.get_plugin("terminalreporter")
        self.capture = config.pluginmanager.get_plugin("capturemanager")
        self.tty = bool(self.terminal) and self.terminal.isatty()
        self.every = TERMINAL_SECONDS if self.tty else config.option.progress_every
        self.last = -self.every
        self.shown = False

    def line(self, text: str) -> None:
        if self.terminal is None or time.monotonic() - self.last < self.every:
            return
        self.last = time.monotonic()
        with self._uncaptured():
            if not self.tty:
                self.terminal.write_line(text)
                self.terminal.flush()
                return
            if not self.shown:
                self.terminal.ensure_newline()
            self.terminal.rewrite(text[: self.terminal._tw.fullwidth - 1], erase=True)
            self.shown = True

    def clear(self) -> None:
        if self.shown and self.terminal is not None:
            with self._uncaptured():
                self.terminal.rewrite("", erase=True)
                self.terminal.rewrite("")
            self.shown = False

    def _uncaptured(self) -> Any:
        return self.capture.global_and_fixture_disabled() if self.capture else nullcontext()


class _WorkerFile:
    """The line of one xdist worker, for the controller to read."""

    def __init__(self, config: pytest.Config) -> None:
        self.file = config.stash[FOLDER] / f"progress-{worker_input(config)['workerid']}.json"
        self.last = 0.0

    def line(self, text: str) -> None:
        if time.monotonic() - self.last >= TERMINAL_SECONDS:
            self.last = time.monotonic()
            files.replace(self.file, json.dumps(text))

    def clear(self) -> None:
        self.file.unlink(missing_ok=True)


class WorkerProgress:
    """On the xdist controller: a thread that shows the lines of the workers, while xdist waits for them."""

    def __init__(self, config: pytest.Config) -> None:
        self.screen = Screen(config)
        self.folder: Path = config.stash[FOLDER]
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, name="assay-progress", daemon=True)

    def pytest_sessionstart(self) -> None:
        self.thread.start()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        self.over.set()
        if self.thread.is_alive():
            self.thread.join(timeout=5)
        self.screen.clear()

    def _watch(self) -> None:
        while not self.over.wait(min(WORKER_SECONDS, max(self.screen.every, 0.05))):
            said = [(file.stem.partition("-")[2], text) for file in self._files() if (text := _read(file))]
            if said:
                self.screen.line(" | ".join(f"[{worker}] {text}" for worker, text in said))
            else:
                self.screen.clear()

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("progress-*.json"))


def _read(file: Path) -> str | None:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None  # the worker has just finished


def configure(config: pytest.Config) -> None:
    """On a controller: shows the progress of the workers."""
    if FOLDER in config.stash and not is_worker(config):
        config.pluginmanager.register(WorkerProgress(config), "assay-progress")
