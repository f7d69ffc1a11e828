"""The `assay` command.

    assay models                  which models exist, and which are on this machine's disk
    assay get small               download models, from the Hugging Face hub or the Python packages that ship them
    assay rm gemma270m            remove models from the caches again
    assay doctor qwen7b tiny      check that assay's forward equals each model's own
    assay train llama_tiny        make a built-in model again
    assay report                  figures and a page from the metrics in snapshots/
    assay diff main               what changed in snapshots/ since a revision: verdicts first

Exit status: 0; 1 if `assay diff` finds a verdict that changed; 2 for what cannot be done, with one line on stderr for each.
Of several models all that can be found are dealt with.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from assay.errors import AssayError, ModelNotCached, UnknownModel
from assay.models.registry import REGISTRY, ModelSpec, locate, resolve
from assay.models.sources import SHIPPED

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    args, rest = _parser().parse_known_args(argv)
    if rest and args.command is not _train:
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return args.command(args, rest)
    except AssayError as error:
        print(f"assay: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `assay models | head`: the reader has stopped
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="assay", description="Interpretability for MLX language models.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    models = commands.add_parser("models", help="list the known models, where they come from, and what is here")
    models.add_argument("names", nargs="*", metavar="NAME", help="only these: id, alias, group, pattern, folder, ...")
    models.set_defaults(command=_models)

    get = commands.add_parser("get", help="download models")
    get.add_argument("names", nargs="+", metavar="NAME", help="id, alias, group, pattern or repository of the hub")
    get.add_argument("--from", dest="source", choices=["hub", "pip"], help="where from (default: whichever answers)")
    get.set_defaults(command=_get)

    rm = commands.add_parser("rm", help="remove models from the caches")
    rm.add_argument("names", nargs="+", metavar="NAME", help="id, alias, group, pattern or repository of the hub")
    rm.set_defaults(command=_rm)

    doctor = commands.add_parser("doctor", help="check that a model is hooked exactly")
    doctor.add_argument("names", nargs="+", metavar="NAME", help="id, alias, group, pattern, folder or repository")
    doctor.set_defaults(command=_doctor)

    train = commands.add_parser("train", help="train a built-in model; further options are those of assay.testbed")
    train.add_argument("name", metavar="NAME", help="id of a built-in model")
    train.set_defaults(command=_train)

    report = commands.add_parser("report", help="draw figures and a page from recorded snapshots")
    report.add_argument("--snapshots", type=Path, default=Path("snapshots"), metavar="DIR", help="what is recorded")
    report.add_argument("--out", type=Path, default=Path("report"), metavar="DIR", help="where the page and figures go")
    report.add_argument("--tier", default="quick", help="smoke, quick (default) or full")
    report.add_argument(
        "--findings",
        type=Path,
        metavar="FILE.json",
        help="verdicts, as `pytest --recorded --findings` wrote them (default: it is run)",
    )
    report.add_argument("--against", metavar="REV", help="begin with what changed since this git revision")
    report.add_argument("--csv", type=Path, metavar="FILE", help="write every metric as a line of CSV too")
    report.add_argument("--json", type=Path, metavar="FILE", help="write claims and metrics as JSON too")
    report.set_defaults(command=_report)

    diff = commands.add_parser("diff", help="what changed in the recorded snapshots, verdicts first")
    diff.add_argument("old", nargs="?", default="HEAD", metavar="REV", help="a git revision (default: HEAD)")
    diff.add_argument("new", nargs="?", metavar="REV", help="another one (default: the files as they are)")
    diff.add_argument("--snapshots", type=Path, default=Path("snapshots"), metavar="DIR", help="what is recorded")
    diff.add_argument("--markdown", action="store_true", help="tables for a pull request")
    diff.set_defaults(command=_diff)
    return parser


def _models(args: argparse.Namespace, rest: list[str]) -> int:
    specs, status = _named(args.names) if args.names else (list(REGISTRY.values()), 0)
    rows = [("id", "from", "family", "layers", "GiB", "disk", "source"), *map(_row, specs)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows if specs else ():
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return status


def _row(spec: ModelSpec) -> tuple[str, ...]:
    from assay.models.get import bytes_on_disk

    size = bytes_on_disk(spec)
    try:
        if spec.kind != "gguf":  # `locate` would convert it
            locate(spec)
        here = _size(size)
    except ModelNotCached:
        here = "part" if size else "-"
    except AssayError:  # missing or damaged files, which `assay doctor` names
        here = "broken"
    layers, gib = str(spec.layers or "?"), "?" if spec.gib is None else f"{spec.gib:.2f}"
    return (spec.id, spec.kind, spec.family or "?", layers, gib, here, _source(spec))


def _source(spec: ModelSpec) -> str:
    """Repository, packages or path of a model."""
    if spec.id in SHIPPED:
        first, *more = (wheel.package for wheel in SHIPPED[spec.id].wheels)
        return f"{first}, {len(more)} more" if more else first
    return spec.repo or ("" if spec.builtin else str(spec.path or spec.source))


def _size(size: int) -> str:
    """Six characters at most: 4.53 M, 95.8 M, 0.24 G, 14.3 G."""
    unit, value = ("G", size / 2**30) if size >= 2**30 / 10 else ("M", size / 2**20)
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"


def _get(args: argparse.Namespace, rest: list[str]) -> int:
    from assay.models.get import bytes_on_disk, get

    def act(spec: ModelSpec) -> None:
        folder = get(spec, args.source, _say)
        print(f"{spec.id} is in {folder} ({_size(bytes_on_disk(spec))} on disk)")

    return _each(args.names, act)


def _rm(args: argparse.Namespace, rest: list[str]) -> int:
    from assay.models.get import remove

    def act(spec: ModelSpec) -> None:
        freed = remove(spec)
        print(f"{spec.id} is removed: {freed / 2**30:.2f} GiB freed" if freed else f"{spec.id} was not here")

    return _each(args.names, act)


def _say(line: str) -> None:
    """Prints a line at once, also into a file: it should be read before the download that it announces."""
    print(line, flush=True)


def _named(names: Sequence[str]) -> tuple[list[ModelSpec], int]:
    """The models that can be found, each once, and the exit status; the other names are reported at once."""
    specs: dict[str, ModelSpec] = {}

    def add(name: str) -> None:
        specs.update({spec.source: spec for spec in resolve([name])})

    status = _all([part for name in names for part in name.split(",") if part.strip()] or [""], add)
    return list(specs.values()), status


def _each(names: Sequence[str], act: Callable[[ModelSpec], None]) -> int:
    """Calls `act` with every model that `names` stand for; returns the exit status."""
    specs, status = _named(names)
    return max(status, _all(specs, act))


def _all(items: Iterable[T], act: Callable[[T], None]) -> int:
    """Calls `act` with every item, also after one that failed; returns the exit status."""
    status = 0
    for item in items:
        try:
            act(item)
        except AssayError as error:
            print(f"assay: {error}", file=sys.stderr)
            status = 2
    return status


def _doctor(args: argparse.Namespace, rest: list[str]) -> int:
    import assay

    return _each(args.names, lambda spec: print(assay.load(spec, doctor=False).doctor()))


def _train(args: argparse.Namespace, rest: list[str]) -> int:
    specs = resolve([args.name])
    if others := [spec.id for spec in specs if not spec.builtin]:
        builtin = ", ".join(spec.id for spec in REGISTRY.values() if spec.builtin)
        raise UnknownModel(f"only built-in models can be trained ({builtin}), not {others[0]}")
    train = import_module("assay.testbed").main
    for spec in specs:
        train(spec.id, *rest)
    return 0


def _report(args: argparse.Namespace, rest: list[str]) -> int:
    from assay.report import write_report

    made = write_report(args.snapshots, args.out, args.tier, args.findings, args.csv, args.json, args.against)
    print(made)
    return 0


def _diff(args: argparse.Namespace, rest: list[str]) -> int:
    from assay.report.changes import changes, in_git, lines, on_disk

    old = in_git(args.snapshots, args.old)
    found = changes(old, in_git(args.snapshots, args.new) if args.new else on_disk(args.snapshots))
    print("\n".join(lines(found, args.markdown)))
    return int(bool(found.verdicts))


if __name__ == "__main__":
    sys.exit(main())
