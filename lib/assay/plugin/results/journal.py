"""The journal of a long measurement: finished prompts are kept on disk, so that `--resume` goes on where a
run was cut off.

    @experiment
    def backpatch(lm, journal):
        rows = journal(lambda query: rescue(lm, query), queries, "back-patching")
        return {"rescue_rate": Metric.rate(sum(row["rescued"] for row in rows), len(rows))}

It calls the function on each item, shows progress, and returns the list of what it returned: JSON values,
always as they come back from the file, so that a resumed run and an undisturbed one continue with the same
values and write the same bytes.

A journal is used only if nothing has changed that could change a value (identity.py): the code, the model,
the tier, what `--dataset` replaced, and what the function closes over; each entry is found by its item. What
is left over from anything else is thrown away. Journals lie in `.assay/journal/`, and go when a run that
completed their experiment ends without a failure.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from assay.errors import DataError
from assay.plugin import options, own_data
from assay.plugin.results import identity
from assay.plugin.results.experiment import RUNNING
from assay.plugin.results.progress import Progress
from assay.record import files
from assay.record.digest import data, digest

RUN = pytest.StashKey[str]()
"""Names this run, the same in all its workers."""
WRITTEN = pytest.StashKey[list[Path]]()


class Journal:
    """What the `journal` fixture returns, for one model."""

    def __init__(self, config: pytest.Config, spec: Any, lm: Any, progress: Progress, module: Any) -> None:
        self.config, self.spec, self.lm, self.progress, self.module = config, spec, lm, progress, module

    def __call__(
        self, measure: Callable[[Any], Any], items: Sequence[Any], label: str = "", key: Any = None
    ) -> list[Any]:
        """`measure(item)` for every item, from the journal where an interrupted run has left it.

        label: shown with the progress; two journals of one experiment need different labels.
        key: anything else that the values depend on, and that cannot be seen from `measure`.
        Raises DataError for items, values or closed-over objects that are not data.
        """
        experiment = self.config.stash.get(RUNNING, None)
        if experiment is None:
            raise DataError("journal: it belongs to an experiment, and none is measuring")
        depends = {
            "code": identity.of_code(self.module, measure, self.config.rootpath),
            "model": identity.of_model(self.spec, self.lm),
            "measure": identity.of_closure(measure, self.lm),
            "tier": options.tier(self.config),
            "key": data(key, "key"),
            "datasets": own_data.hashes(self.config),
        }
        names = item_names(items)
        folder = options.scratch_folder(self.config) / "journal" / self.spec.id
        short = hashlib.sha256(label.encode()).hexdigest()[:8]
        path = folder / f"{experiment}@{options.tier(self.config)}-{short}.jsonl"
        files.make_scratch(options.scratch_folder(self.config))
        with _File(path, digest(depends), self.config) as file:
            self.config.stash.setdefault(WRITTEN, []).append(path)
            start, taken = time.monotonic(), len(set(names) & file.values.keys())
            for done, (name, item) in enumerate(zip(names, items, strict=True)):
                if name in file.values:
                    continue
                # What was taken over cost nothing, and says nothing about the time that is left.
                start_of_all = start - (time.monotonic() - start) / max(done - taken, 1) * taken
                self.progress.report(label, done, len(items), start_of_all)
                file.add(name, measure(item))
            self.progress.show.clear()
            return [file.values[name] for name in names]


def item_names(items: Sequence[Any]) -> list[str]:
    """A name for each item from its content; equal items are told apart by their order."""
    names: list[str] = []
    seen: dict[str, int] = {}
    for item in items:
        name = digest(data(item, "an item"))
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return names


class _File:
    """Lines of `[checksum, item name, value]` after a first line that says what they depend on.

    A line that a kill has cut off fails its checksum; it and what follows are dropped.
    """

    def __init__(self, path: Path, depends: str, config: pytest.Config) -> None:
        self.path = path
        self.values: dict[str, Any] = {}
        header = {"depends": depends, "run": config.stash[RUN]}
        old = self._read(path)
        usable = old is not None and old["depends"] == depends
        # A worker that replaces one of this very run goes on without being asked to.
        if not (usable and old is not None and (config.option.resume or old["run"] == header["run"])):
            self.values.clear()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # whoever may still write to the old file keeps it, unseen
            self.valid = 0
            self.header: dict[str, str] | None = header
        else:
            self.header = None

    def __enter__(self) -> "_File":
        self.file = self.path.open("r+b" if self.path.exists() else "xb")
        self.file.truncate(self.valid)
        self.file.seek(self.valid)
        if self.header is not None:
            self._write(json.dumps(self.header))
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def add(self, name: str, value: Any) -> None:
        try:
            text = json.dumps([name, value])
        except (TypeError, ValueError) as error:
            raise DataError(f"journal: what was measured must be JSON: {error}") from error
        self._write(json.dumps([_checksum(text), text]))
        self.values[name] = json.loads(text)[1]

    def _write(self, line: str) -> None:
        self.file.write(line.encode() + b"\n")
        self.file.flush()  # in the hands of the system, which survives the death of this process

    def _read(self, path: Path) -> dict[str, str] | None:
        """The header; fills `values` and `valid`, the length of what is whole."""
        self.valid = 0
        header = None
        try:
            lines = path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return None
        for line in lines:
            try:
                read = json.loads(line)
                if not line.endswith(b"\n"):
                    break
                if header is None:
                    header = {"depends": read["depends"], "run": read["run"]}
                else:
                    checksum, text = read
                    if checksum != _checksum(text):
                        break
                    name, value = json.loads(text)
                    self.values[name] = value
            except (ValueError, KeyError, TypeError):
                break
            self.valid += len(line)
        return header


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def configure(config: pytest.Config) -> None:
    """Names the run."""
    config.stash[RUN] = getattr(config, "workerinput", {}).get("testrunuid", uuid.uuid4().hex)


def finish(config: pytest.Config, exitstatus: int) -> None:
    """After a run without a failure the journals have done their work."""
    if exitstatus == pytest.ExitCode.OK:
        for path in config.stash.get(WRITTEN, []):
            path.unlink(missing_ok=True)
