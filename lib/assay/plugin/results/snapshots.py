"""The `metrics` fixture: `assert metrics == result` records on the first run and compares afterwards.

    def test_metrics(backpatch, metrics):
        assert metrics == backpatch                       # an experiment: recorded under its own name
    def test_norms(lm, metrics):
        assert metrics == {"mean_norm": Metric(41.2, tol=0.5)}

The fixture is an assertion of syrupy, with syrupy's options (`--snapshot-update`, `--snapshot-details`...). Four things
differ from syrupy: values are compared within tolerance, and with those of the same model only (`assay.record.compare`); the
files are those of `assay.record.files`, each with the metrics of one model (one_revision.py); `--snapshots` says whether a
missing snapshot is recorded; and no snapshot is deleted because its test was not run. Syrupy calls it unused then, and would
delete the results of a test that crashed or was deselected.
`--snapshots audit` finds stale snapshots from the collected tests instead (audit.py).

The fixture is not called `snapshot`: syrupy is registered after a plugin loaded with -p, and its `snapshot` would win.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from syrupy.assertion import SnapshotAssertion
from syrupy.data import Snapshot, SnapshotCollection, SnapshotCollections
from syrupy.extensions.base import AbstractSyrupyExtension
from syrupy.location import PyTestLocation

from assay.plugin import options
from assay.plugin.models.select import model_of
from assay.plugin.results import locations, one_revision
from assay.plugin.results.made_by import made_by_now
from assay.plugin.results.result import Result, made_by_of, name_of, rows_of
from assay.record import compare, files
from assay.record.compare import MADE_BY
from assay.record.metric import Row, to_row

ARROW = " -> "
"""Syrupy wants snapshot names that begin with the test's name: `test_metrics -> backpatch@quick`. The key in the file is
what follows the arrow."""

_SCRATCH: dict[str, Path] = {}
"""Snapshot folder -> folder of its lock. Syrupy writes through class methods, which are given only the file."""


class Measured(NamedTuple):
    """What `metrics` is compared with: rows by name, and what produced them."""

    rows: dict[str, Row]
    made_by: dict[str, Any]


class Metrics(SnapshotAssertion):
    """Compares equal to the recorded metrics, within tolerance."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: Any) -> bool:
        item: Any = self.test_location.item
        if isinstance(other, Result):
            self(name=locations.ExperimentName(name_of(other)))
            measured = Measured(rows_of(other), made_by_of(other))
        else:
            rows = {str(name): to_row(value) for name, value in other.items()}
            measured = Measured(rows, made_by_now(item.config, model_of(item)))
        path = Path(self.extension.get_location(test_location=self.test_location, index=self.index))
        key = _key(self.extension.get_snapshot_name(test_location=self.test_location, index=self.index))
        one_revision.make_room(item.session, path, key, measured.made_by)
        same = self._assert(measured)
        # Syrupy turns every exception into "not equal"; a full disk or a damaged file is an error.
        if error := self.executions[self.num_executions - 1].exception:
            raise error
        return same

    def __ne__(self, other: Any) -> bool:
        # Without this Python would call __eq__, which on the first run records the very metrics that are refused.
        raise TypeError("metrics are compared with ==, which also records them; to differ is a claim for a finding")


class MetricsExtension(AbstractSyrupyExtension):
    """How syrupy finds, compares and writes metrics. No arguments: under xdist syrupy makes it from its dotted name."""

    file_extension = "json"
    write_immediately = True  # not at the end of the session, where a crash would lose hours of measurement

    # Locations.
    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        config = test_location.item.config
        folder = options.snapshots_folder(config) / locations.model_folder(test_location.item)
        _SCRATCH[str(folder)] = options.scratch_folder(config)
        return str(folder)

    @classmethod
    def get_file_basename(cls, *, test_location: PyTestLocation, index: Any) -> str:
        if isinstance(index, locations.ExperimentName):
            return str(index)
        return locations.module_name(test_location.item)

    @classmethod
    def get_snapshot_name(cls, *, test_location: PyTestLocation, index: Any = 0) -> str:
        test = locations.test_name(test_location.item)
        if isinstance(index, locations.ExperimentName):
            name = str(index)
        else:
            name = f"{test}:{index}" if isinstance(index, str) else f"{test}.{index}" if index else test
        return f"{test}{ARROW}{locations.entry(name, options.tier(test_location.item.config))}"

    @classmethod
    def matches_test_location(cls, *, test_location: PyTestLocation, snapshot_location: str) -> bool:
        return Path(snapshot_location).parent == Path(cls.dirname(test_location=test_location))

    def discover_snapshots(
        self, *, test_location: PyTestLocation, ignore_extensions: list[str] | None = None
    ) -> SnapshotCollections:
        return SnapshotCollections()  # nothing is ever "unused": see the module docstring

    # Values.
    def serialize(self, data: Any, *, exclude: Any = None, include: Any = None, matcher: Any = None) -> str:
        return json.dumps({**data.rows, MADE_BY: data.made_by})

    def matches(self, *, serialized_data: Any, snapshot_data: Any) -> bool:
        new, old = json.loads(serialized_data), json.loads(snapshot_data)
        return not compare.other_model(new[MADE_BY], old[MADE_BY]) and not any(True for _ in compare.diff(new, old))

    def diff_lines(self, serialized_data: Any, snapshot_data: Any) -> Iterator[str]:
        new, old = json.loads(serialized_data or "{}"), json.loads(snapshot_data or "{}")
        yield from compare.diff(new, old)
        now, was = new.get(MADE_BY, {}), old.get(MADE_BY, {})
        if was:
            yield from compare.made_by_diff(now, was)
        if compare.other_model(now, was):
            yield "    another measurement was recorded, and the two are not compared: record again with --snapshot-update"

    # Files.
    def read_snapshot_data_from_location(
        self, *, snapshot_location: str, snapshot_name: str, session_id: str
    ) -> str | None:
        document, key = files.read(Path(snapshot_location)), _key(snapshot_name)
        if key not in document:
            return None
        return json.dumps({**document[key], MADE_BY: document.get(MADE_BY, {}).get(key, {})})

    def read_snapshot_collection(self, *, snapshot_location: str) -> SnapshotCollection:
        return SnapshotCollection(location=snapshot_location)  # only used for discovery, which is off

    @classmethod
    def write_snapshot_collection(
        cls, *, snapshot_collection: SnapshotCollection, name_order: dict[str, int] | None = None
    ) -> None:
        path = Path(snapshot_collection.location)
        with files.lock(_SCRATCH[str(path.parent)]):
            document = files.read(path)
            for snapshot in snapshot_collection:
                _put(document, snapshot)
            files.write(path, document)

    def delete_snapshots(self, *, snapshot_location: str, snapshot_names: set[str]) -> None:
        raise NotImplementedError("metrics are deleted by hand, after --snapshots audit")


def _key(snapshot_name: str) -> str:
    return snapshot_name.partition(ARROW)[2]


def _put(document: files.Document, snapshot: Snapshot) -> None:
    key, rows = _key(snapshot.name), json.loads(str(snapshot.data))
    made_by = rows.pop(MADE_BY, {})
    old_by = document.get(MADE_BY, {}).get(key, {})
    document[key] = compare.merge(rows, document.get(key, {}), made_by, old_by)
    if made_by:
        document.setdefault(MADE_BY, {})[key] = made_by
