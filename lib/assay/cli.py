"""The `assay` command.

    assay models                  which models exist, and which are on this machine's disk
    assay doctor qwen7b tiny      is each of these hooked exactly?
    assay train llama_tiny        make a built-in model again
    assay report                  figures and a page of what is recorded in snapshots/

Exit status: 0; 2 for anything that cannot be done, with one line on stderr; 1 is left to real failures of the program.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from assay.errors import AssayError, ModelNotCached, UnknownModel
from assay.models.registry import REGISTRY, ModelSpec, locate, resolve


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
    except BrokenPipeError:  # `assay models | head`: whoever read has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="assay", description="Interpretability for MLX language models.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    models = commands.add_parser("models", help="list the known models")
    models.set_defaults(command=_models)

    doctor = commands.add_parser("doctor", help="check that a model is hooked exactly")
    doctor.add_argument("names", nargs="+", metavar="NAME", help="id, alias, group, pattern, folder or repository")
    doctor.set_defaults(command=_doctor)

    train = commands.add_parser("train", help="train a built-in model; further options are those of assay.train")
    train.add_argument("name", metavar="NAME", help="id of a built-in model")
    train.set_defaults(command=_train)

    report = commands.add_parser("report", help="draw figures and a page from recorded snapshots")
    report.add_argument("--snapshots", type=Path, default=Path("snapshots"), metavar="DIR", help="what is recorded")
    report.add_argument("--out", type=Path, default=Path("report"), metavar="DIR", help="where the page and figures go")
    report.add_argument("--tier", default="quick", help="smoke, quick (default) or full")
    report.add_argument(
        "--findings", type=Path, metavar="FILE.json", help="verdicts, as `pytest --findings` wrote them"
    )
    report.set_defaults(command=_report)
    return parser


def _models(args: argparse.Namespace, rest: list[str]) -> int:
    rows = [("id", "repository", "family", "layers", "GiB", "on disk")]
    rows += [_row(spec) for spec in REGISTRY.values()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _row(spec: ModelSpec) -> tuple[str, ...]:
    try:
        locate(spec)
        here = "yes"
    except ModelNotCached:
        here = "no"
    except AssayError:  # a part of it, or a damaged file: `assay doctor` says what
        here = "damaged"
    repo = spec.repo or ("(built-in)" if spec.builtin else str(spec.path))
    return (spec.id, repo, spec.family or "?", str(spec.layers or "?"), f"{spec.gib or 0:.2f}", here)


def _doctor(args: argparse.Namespace, rest: list[str]) -> int:
    specs = resolve(args.names)
    import assay

    status = 0
    for spec in specs:
        try:
            print(assay.load(spec, doctor=False).doctor())
        except AssayError as error:  # the other models are examined all the same
            print(f"assay: {error}", file=sys.stderr)
            status = 2
    return status


def _train(args: argparse.Namespace, rest: list[str]) -> int:
    specs = resolve([args.name])
    if others := [spec.id for spec in specs if not spec.builtin]:
        builtin = ", ".join(spec.id for spec in REGISTRY.values() if spec.builtin)
        raise UnknownModel(f"only built-in models can be trained ({builtin}), not {others[0]}")
    train = import_module("assay.train").main
    for spec in specs:
        train(spec.id, *rest)
    return 0


def _report(args: argparse.Namespace, rest: list[str]) -> int:
    from assay.report import write_report

    print(write_report(args.snapshots, args.out, args.tier, args.findings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
