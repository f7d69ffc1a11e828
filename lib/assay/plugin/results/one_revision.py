"""A snapshot file holds what was measured on one model: an update replaces all of it, or is refused.

    snapshots/toy/norms.json would hold test_late@quick (revision 5f2c91ab03de) beside test_early@quick (revision 78e05bd879a9)

A model that was trained further, or converted again, has another revision; so has another chat date, system prompt or prompt
file (`assay.record.compare.MEASURED`). What was measured on it is another measurement: `metrics` doesn't compare the two, and
an update that would leave old entries of the file beside new ones is refused before anything is measured. An update that
records all of them again first removes them, so that a run that is cut off leaves no mixture either.

A run records one tier, so old entries of another tier are deleted by hand; so are those that no test records any more, which
`--snapshots audit` lists.
"""

from pathlib import Path
from typing import Any

import pytest

from assay.errors import SnapshotError
from assay.plugin import options
from assay.plugin.results import locations
from assay.record import compare, files
from assay.record.compare import MADE_BY, VERDICTS
from assay.record.metric import show


def check(session: pytest.Session, path: Path, key: str, made_by: dict[str, Any]) -> list[str]:
    """The entries of the file that this run replaces too, and that were measured on another model than this one.

    key, made_by: of the entry that was measured. Nothing is checked if this run won't record it. Raises SnapshotError if an
    entry of another model would stay.
    """
    config, document = session.config, files.read(path)
    if not (config.option.update_snapshots or (key not in document and options.records_missing(config))):
        return []
    known = document.get(MADE_BY, {})
    others = [other for other in known if other != key and compare.other_model(made_by, known[other])]
    if not others or not _records(session, path, key):
        return []
    staying = [other for other in others if not (config.option.update_snapshots and _records(session, path, other))]
    if staying:
        raise SnapshotError(_refusal(path, key, made_by, {other: known[other] for other in staying}, config))
    return others


def make_room(session: pytest.Session, path: Path, key: str, made_by: dict[str, Any]) -> None:
    """Removes what `check` returns from the file."""
    if not check(session, path, key, made_by):
        return
    with files.lock(options.scratch_folder(session.config)):
        others, document = check(session, path, key, made_by), files.read(path)
        for other in others:
            document.pop(other, None)
            document[MADE_BY].pop(other)
            for verdict in [key for key in document.get(VERDICTS, {}) if key.startswith(f"{other} ")]:
                del document[VERDICTS][verdict]
        files.write(path, document)


def _records(session: pytest.Session, path: Path, key: str) -> bool:
    """Whether a test of this run records an entry."""
    name, tier = locations.split_entry(key)
    recorded = {
        entry for item in session.items if locations.model_folder(item) == path.parent.name
        for entry in locations.recorded_by(item)
    }  # fmt: skip
    owners = {(path.stem, name), (path.stem, locations.top_name(name))}
    return tier == options.tier(session.config) and bool(recorded & owners)


def _refusal(path: Path, key: str, made_by: dict[str, Any], staying: dict[str, dict], config: pytest.Config) -> str:
    """What would be mixed, and what to run instead."""
    was = next(iter(staying.values()))
    differs = next(name for name in compare.MEASURED if made_by.get(name) != was.get(name))
    tiers = sorted({locations.split_entry(name)[1] for name in staying} - {options.tier(config)})
    cure = (
        f"delete the entries of tier {', '.join(tiers)}, then record them again in a run at that tier"
        if tiers
        else "record all of the file in one run, with --snapshot-update and no test left out"
    )
    return (
        f"{options.snapshots_folder(config).name}/{path.parent.name}/{path.name} would hold {key} ({differs} "
        f"{_short(made_by, differs)}) beside {', '.join(sorted(staying))} ({differs} {_short(was, differs)}): {cure}"
    )


def _short(made_by: dict[str, Any], name: str) -> str:
    return show(made_by[name]) if name in made_by else "not recorded"
