"""The journal of a long measurement keeps finished items on disk; `--resume` goes on where a run was cut off.

    @experiment
    def backpatch(lm, journal):
        rows = journal(lambda query: rescue(lm, query), queries, "back-patching")
        return {"rescue_rate": Metric.rate(sum(row["rescued"] for row in rows), len(rows))}

`journal` calls the function on each item, shows progress, and returns the list of what the function returned: JSON
values, always as they are read back from the file. So a resumed run and an undisturbed one compute with the same values
and record the same bytes.

A journal is used only if nothing has changed that could change a value (identity.py): the code, the model, the tier,
the data of `--dataset`, and the data that the function closes over. Each entry is found by its item. Any other journal
is deleted. Journals lie in `.assay/journal/<model>/`; a run without a failure deletes its own.

The file is lines with checksums. A SQLite database would be no shorter, would lose every item when it is cut off, and
would need the checksums all the same.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from assay.errors import DataError
from assay.plugin import options, own_data
from assay.plugin.models.collected import worker_input
from assay.plugin.results import identity
from assay.plugin.results.experiment import RUNNING
from assay.plugin.results.progress import Progress
from assay.record import files
from assay.record.digest import data, digest

RUN = pytest.StashKey[str]()
"""Id of this run, the same in all its workers."""
WRITTEN = pytest.StashKey[list[Path]]()
"""Journals of this process."""


class Journal:
    """The value of the `journal` fixture: a callable for one model and one suite module."""

    def __init__(self, config: pytest.Config, spec: Any, lm: Any, progress: Progress, module: Any) -> None:
        self.config, self.spec, self.lm, self.progress, self.module = config, spec, lm, progress, module

    def __call__(
        self, measure: Callable[[Any], Any], items: Sequence[Any], label: str = "", key: Any = None
    ) -> list[Any]:
        """`measure(item)` for every item, read from the journal if an interrupted run has measured the item.

        label: shown with the progress; two journals of one experiment need different labels.
        key: anything else that the values depend on, if `measure` does not close over it.
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
        names, tier = item_names(items), options.tier(self.config)
        short = hashlib.sha256(label.encode()).hexdigest()[:8]
        scratch = files.make_scratch(options.scratch_folder(self.config))
        path = scratch / "journal" / self.spec.id / f"{experiment}@{tier}-{short}.journal"
        header = [digest(depends), self.config.stash[RUN]]
        with _opened(path, header, self.config.option.resume) as (file, values):
            self.config.stash.setdefault(WRITTEN, []).append(path)
            start, taken = time.monotonic(), len(set(names) & values.keys())
            for done, (name, item) in enumerate(zip(names, items, strict=True)):
                if name in values:
                    continue
                # The time left is estimated from the items that this run measured.
                start_of_all = start - (time.monotonic() - start) / max(done - taken, 1) * taken
                self.progress.report(label, done, len(items), start_of_all)
                values[name] = _append(file, [name, measure(item)])[1]
            self.progress.show.clear()
            return [values[name] for name in names]


def item_names(items: Sequence[Any]) -> list[str]:
    """A name for each item from its content; equal items are told apart by their order."""
    names: list[str] = []
    seen: dict[str, int] = {}
    for item in items:
        name = digest(data(item, "an item"))
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return names


@contextmanager
def _opened(path: Path, header: list[str], resume: bool) -> Iterator[tuple[BinaryIO, dict[str, Any]]]:
    """The file to append to, and the values by item name that it already holds.

    header: [what the values depend on, the run that measures them], the first line of the file.
    A file with another header is replaced; a damaged file is read up to the damage.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        length, lines = _whole_lines(file)
        # Also without --resume: an xdist worker continues the journal of the dead worker that it replaces.
        if lines and (lines[0] == header or (resume and lines[0][0] == header[0])):
            file.truncate(length)
            yield file, dict(lines[1:])
            return
    path.unlink(missing_ok=True)  # a process that still writes to the old file keeps its own copy
    with path.open("xb") as file:
        _append(file, header)
        yield file, {}


def _append(file: BinaryIO, content: list[Any]) -> list[Any]:
    """Writes a line, `checksum JSON`, and returns the content as a later run will read it. Raises DataError, OSError."""
    try:
        text = json.dumps(content).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise DataError(f"journal: what was measured must be JSON: {error}") from error
    file.write(_checksum(text) + b" " + text)
    file.flush()  # the line now survives the death of this process
    return json.loads(text)


def _whole_lines(file: BinaryIO) -> tuple[int, list[Any]]:
    """Length in bytes and contents of the lines before the first that is damaged, or cut off by a kill."""
    file.seek(0)
    length, lines = 0, []
    for line in file:
        checksum, _, text = line.partition(b" ")
        if checksum != _checksum(text):
            break
        length += len(line)
        lines.append(json.loads(text))
    return length, lines


def _checksum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:16].encode()


def configure(config: pytest.Config) -> None:
    """Gives the run its id."""
    config.stash[RUN] = worker_input(config).get("testrunuid", uuid.uuid4().hex)


def finish(config: pytest.Config, exitstatus: int) -> None:
    """Deletes the journals of a run without a failure: their values are recorded."""
    if exitstatus == pytest.ExitCode.OK:
        for path in config.stash.get(WRITTEN, []):
            path.unlink(missing_ok=True)
