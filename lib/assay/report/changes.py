"""What changed between two states of `snapshots/`: the review of a result, before the diff of its numbers.

    $ assay diff                      # the last commit against the working tree
    $ assay diff main results         # two revisions
    1 verdict changed
      gemma_tiny   backpatch_t1@quick  test_t1_rescues   yes -> undecided
    2 metrics moved by more than their tolerance
      gemma_tiny   backpatch_t1@quick  any_pair_back     0.94 [0.82, 0.98] n 36 -> 0.61 [0.45, 0.75] n 36
      ...
    41 metrics moved within tolerance; 4012 metrics unchanged

A *state* is a folder of snapshots, on disk or in a git revision. What was measured otherwise comes first (weights, prompts, chat
form, software), since it explains the rest; then verdicts, then metrics, then what is new or gone; the rest is counted.
"""

import io
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assay.errors import SnapshotError
from assay.record import compare, files
from assay.record.compare import BLOCKS, MADE_BY, VERDICTS
from assay.record.metric import Row, number

State = Mapping[str, files.Document]
"""`model/experiment.json` -> its entries."""


@dataclass(frozen=True)
class Change:
    """One line: where, what, and what it was and is. "" is not there."""

    model: str
    entry: str
    name: str
    was: str
    now: str
    how: str = ""
    """Of a curve or heatmap: how many numbers moved, and where first."""


@dataclass
class Changes:
    """Everything that differs between two states."""

    made: list[tuple[str, int]] = field(default_factory=list)
    """What was measured with or on, as "mlx 0.32.4 -> 0.33.0", and in how many experiments."""
    verdicts: list[Change] = field(default_factory=list)
    moved: list[Change] = field(default_factory=list)
    """Metrics beyond their tolerance, of another form, new or gone, in experiments that both states have."""
    new: list[Change] = field(default_factory=list)
    gone: list[Change] = field(default_factory=list)
    within: int = 0
    """Metrics that moved within their tolerance."""
    same: int = 0
    first: int = 0
    """Verdicts that are recorded for the first time."""

    def __bool__(self) -> bool:
        return bool(self.made or self.verdicts or self.moved or self.new or self.gone or self.within or self.first)


def changes(old: State, new: State) -> Changes:
    """What differs between two states."""
    found, made = Changes(), Counter[str]()
    for path in sorted(old.keys() | new.keys()):
        model, was, now = path.partition("/")[0], old.get(path, {}), new.get(path, {})
        for entry in sorted((was.keys() | now.keys()) - set(BLOCKS)):
            if entry not in was or entry not in now:
                side, rows = (found.gone, was) if entry in was else (found.new, now)
                side.append(Change(model, entry, "", *_sizes(entry in was, len(rows[entry]))))
                continue
            both = (state.get(MADE_BY, {}).get(entry, {}) for state in (now, was))
            made.update(f"{key} {old} -> {new}" for key, new, old in compare.made_otherwise(*both))
            _compare(found, model, entry, was[entry], now[entry])
        said, says = was.get(VERDICTS, {}), now.get(VERDICTS, {})
        for key in sorted(said.keys() | says.keys()):
            entry, _, test = key.partition(" ")
            found.first += key not in said
            if key in said and said[key] != says.get(key):
                found.verdicts.append(Change(model, entry, test, said.get(key, ""), says.get(key, "")))
    found.made = sorted(made.items(), key=lambda item: (item[0].split()[0] not in compare.MEASURED, -item[1], item[0]))
    return found


def lines(found: Changes, markdown: bool = False) -> Iterator[str]:
    """The changes as text for a terminal, or in Markdown for a pull request."""
    if not found:
        yield f"nothing changed in {found.same} metrics"
        return
    for what, n in found.made:
        yield f"{'- ' if markdown else ''}measured with {what}, in {_count(n, 'experiment')}"
    for title, some in sections(found):
        yield from _markdown(title, some) if markdown else _columns(title, some)
    rest = [
        (found.first, "verdict", "recorded for the first time"),
        (found.within, "metric", "moved within tolerance"),
        (found.same, "metric", "unchanged"),
    ]
    yield "; ".join(f"{_count(n, what)} {how}" for n, what, how in rest if n)


def sections(found: Changes) -> list[tuple[str, list[Change]]]:
    """What changed, part by part, each with its heading: verdicts, metrics, experiments; without empty parts."""
    whose = "its" if len(found.moved) == 1 else "their"
    parts = [
        (f"{_count(len(found.verdicts), 'verdict')} changed", found.verdicts),
        (f"{_count(len(found.moved), 'metric')} moved by more than {whose} tolerance", found.moved),
        (f"{_count(len(found.new), 'experiment')} new", found.new),
        (f"{_count(len(found.gone), 'experiment')} gone", found.gone),
    ]
    return [part for part in parts if part[1]]


def on_disk(folder: Path) -> State:
    """The state of a folder. Raises SnapshotError for a damaged file, and if there is no such folder."""
    if not folder.is_dir():
        raise SnapshotError(f"there is no folder {folder}: say with --snapshots where results are recorded")
    return {f"{path.parent.name}/{path.name}": files.read(path) for path in folder.glob("*/*.json")}


def in_git(folder: Path, revision: str) -> State:
    """The state of a folder in a git revision; {} if the folder was not there. Raises SnapshotError without git or revision."""
    place = folder if folder.is_dir() else folder.parent
    try:
        known = _git(place, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise SnapshotError(
            f"git knows no revision {revision!r} of {place.absolute()}: give a branch, tag or commit"
        ) from error
    if not _git(place, "ls-tree", known, "./"):
        return {}
    state = {}
    with tarfile.open(fileobj=io.BytesIO(_git(place, "archive", "--format=tar", known, "./"))) as archive:
        for member in archive:
            path = Path(member.name)
            if member.isfile() and path.suffix == ".json" and len(path.parts) >= 2:
                content = archive.extractfile(member)
                text = content.read().decode() if content else ""
                state["/".join(path.parts[-2:])] = files.parse(text, f"{revision}:{path}")
    return state


def _git(folder: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True).stdout


def _compare(found: Changes, model: str, entry: str, was: Mapping[str, Row], now: Mapping[str, Row]) -> None:
    for name in dict.fromkeys([*was, *now]):
        if name not in was or name not in now or compare.differs(now[name], was[name]):
            both = name in was and name in now
            how = compare.where_moved(now[name], was[name]) if both else ""
            found.moved.append(Change(model, entry, name, _number(was.get(name)), _number(now.get(name)), how))
        elif was[name] != now[name]:
            found.within += 1
        else:
            found.same += 1


def _number(row: Row | None) -> str:
    return "" if row is None else number(row)


def _sizes(gone: bool, n: int) -> tuple[str, str]:
    text = _count(n, "metric")
    return (text, "") if gone else ("", text)


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _columns(title: str, some: list[Change]) -> Iterator[str]:
    yield title
    rows = [(one.model, one.entry, one.name, one.how or f"{one.was or '-'} -> {one.now or '-'}") for one in some]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for *first, last in rows:
        yield "  " + "  ".join(text.ljust(width) for text, width in zip(first, widths, strict=True)) + "  " + last


def _markdown(title: str, some: list[Change]) -> Iterator[str]:
    yield from ("", f"**{title}**", "", "| model | experiment | | was | is |", "| --- | --- | --- | --- | --- |")
    for one in some:
        yield f"| {one.model} | {one.entry} | {one.name} | {one.was} | {one.how or one.now} |"
    yield ""
