"""A study: what was recorded, put together as a results section: papers, their experiments, claims and verdicts.

    study = read_study(Path("snapshots"), "quick")
    study.papers[0].experiments[0].claims[0].cells["gemma_tiny"].verdict        # "yes"

It is made of three things: the snapshots; what `pytest --recorded --findings FILE.json` says of the claims, which is run in the
folder above the snapshots if no file is given; and the docstrings of the suites there (`suites.py`). Without suites the study
has the numbers alone.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.errors import SnapshotError
from assay.models.registry import REGISTRY
from assay.record import files
from assay.record.metric import Row, number
from assay.record.papers import papers as catalogue
from assay.report.read import Recorded, read_snapshots, words
from assay.report.suites import Module, entitled, read_modules

VERDICTS = ("yes", "no", "undecided", "not eligible", "not run")
"""The words of the matrix, in the order of its legend."""
OWN = "Other experiments"


@dataclass(frozen=True)
class Cell:
    """One claim on one model."""

    verdict: str
    why: str
    numbers: tuple[str, ...]
    """"any_pair_back 0.9 [0.8, 0.96] n 36", for each metric that decides."""
    rests: str = ""


@dataclass(frozen=True)
class Claim:
    """One finding."""

    id: str
    """Its place on the page: "test_backpatch-test_t1_rescues"."""
    sentence: str
    ids: tuple[str, ...]
    test: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class Experiment:
    """One experiment, with the claims that are judged from it."""

    recorded: Recorded
    title: str
    module: Module
    claims: Sequence[Claim] = ()

    @property
    def name(self) -> str:
        """Its name in the snapshots."""
        return self.recorded.name

    @property
    def gates(self) -> dict[str, str]:
        """Model -> why it is not eligible."""
        metrics = self.recorded.models.items()
        return {model: found["not_eligible"].value for model, found in metrics if "not_eligible" in found}

    @property
    def command(self) -> str:
        """What repeats it."""
        return f"pytest {self.module.path} --model {','.join(self.recorded.models)}"

    @property
    def minutes(self) -> str:
        """How long its file, or its folder, takes: "suites/refusal, processor minutes: 52 on qwencoder05b"."""
        by_part: dict[str, list[str]] = {}
        for model, (part, minutes) in self.module.minutes.items():
            if model in self.recorded.models:
                by_part.setdefault(part, []).append(f"{minutes:g} on {model}")
        return "; ".join(f"{part}, processor minutes: {', '.join(some)}" for part, some in by_part.items())


@dataclass(frozen=True)
class Paper:
    """The experiments of one paper."""

    name: str
    title: str
    source: str
    claims: str
    """What the paper claims, in a paragraph of our own."""
    published: Mapping[str, str]
    """Id -> the number that the paper reports."""
    experiments: Sequence[Experiment]
    terms: Mapping[str, str] = field(default_factory=dict)
    """The words that the claims and the names of its metrics use, each with its meaning."""

    @property
    def findings(self) -> list[Claim]:
        """All claims, in the order of the experiments."""
        return [claim for experiment in self.experiments for claim in experiment.claims]


@dataclass(frozen=True)
class Study:
    """Everything that the page shows."""

    tier: str
    papers: Sequence[Paper]
    models: Sequence[str]
    real: Sequence[str] = field(default=())
    """Those of the models that are real ones."""

    @property
    def experiments(self) -> list[Experiment]:
        """Those of all papers."""
        return [experiment for paper in self.papers for experiment in paper.experiments]


def read_study(snapshots: Path, tier: str, findings: Path | None = None, kept: Path | None = None) -> Study:
    """Reads everything. Raises SnapshotError when nothing is recorded, or a file is damaged.

    kept: where the claims are kept for the next time: while snapshots, suites and assay are the same, pytest is not run again.
    """
    recorded = {one.name: one for one in read_snapshots(snapshots, tier)}
    models = list(dict.fromkeys(model for one in recorded.values() for model in one.models))
    root = snapshots.absolute().parent
    modules = read_modules(root) if _has_suites(root) else []
    judged = []
    if findings is not None:
        judged = _read_findings(findings)
    elif modules:
        judged = _kept(kept, _state(root, snapshots, tier), lambda: judge(root, snapshots, tier, models))
    real = [model for model in models if not (model in REGISTRY and REGISTRY[model].builtin)]
    models = [*real, *(model for model in models if model not in real)]
    return Study(tier, _papers(recorded, modules, judged), models, real)


def judge(root: Path, snapshots: Path, tier: str, models: Sequence[str]) -> list[dict[str, Any]]:
    """The claims, judged from the snapshots by pytest in `root`. Raises SnapshotError if it cannot."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "findings.json"
        options = f"--recorded --no-header -q -p no:cacheprovider --no-summary --tier {tier} --model {','.join(models)}"
        where = ["--findings", str(file), "-o", f"metrics_dir={snapshots.name}", "suites"]
        command = [sys.executable, "-m", "pytest", *options.split(), *where]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, env=os.environ | {"CI": "1"})
        if not file.exists() or done.returncode not in (0, 1):
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("E ", "ERROR"))]
            raise SnapshotError(
                f"pytest --recorded could not judge the claims in {root}: {said[-1] if said else 'it said nothing'}"
            )
        return _read_findings(file)


def _kept(path: Path | None, state: str, judge: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The claims of the last time, if nothing has changed since; else those of now."""
    if path is None:
        return judge()
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["state"] == state:
            return document["findings"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing is kept there, or not by this version
    found = judge()
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace(path, json.dumps({"state": state, "findings": found}, ensure_ascii=False) + "\n")
    return found


def _state(root: Path, snapshots: Path, tier: str) -> str:
    """A digest of everything that the claims depend on."""
    package = Path(__file__).parents[1]
    some = [
        *root.glob("suites/**/*.py"),
        *root.glob("*.py"),
        *root.glob("*.ini"),
        *snapshots.glob("*/*.json"),
        *package.rglob("*.py"),
    ]
    found = hashlib.sha256(tier.encode())
    for path in sorted(some):
        found.update(str(path).encode() + path.read_bytes())
    return found.hexdigest()


def _has_suites(root: Path) -> bool:
    return (root / "suites").is_dir() and any(
        (root / name).exists() for name in ("pytest.ini", "pyproject.toml", "tox.ini")
    )


def _read_findings(path: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["findings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SnapshotError(
            f"{path} is not a file of findings: {error}; write it with `pytest --recorded --findings {path}`"
        ) from error


def _papers(
    recorded: Mapping[str, Recorded], modules: Sequence[Module], judged: Sequence[dict[str, Any]]
) -> list[Paper]:
    """The papers in the order of the catalogue; experiments without one come last, by the paper that their claims name."""
    places = {name: (module, title) for module in modules for name, title in module.experiments.items()}
    claims: dict[str, list[Claim]] = {}
    source: dict[str, tuple[str, str]] = {}
    for found in judged:
        name = next((one for one in found.get("experiments", ()) if one in recorded), "")
        if name:
            claims.setdefault(name, []).append(_claim(found))
            source.setdefault(name, (found.get("paper", ""), found.get("ref", "")))
    known = [(paper["name"], paper["ref"]) for paper in catalogue()]
    by_paper: dict[tuple[str, str], list[Experiment]] = {}
    order = [name for name in places if name in recorded] + [name for name in recorded if name not in places]
    for name in order:
        module, title = places.get(name, (Module(""), entitled(name, None)))
        neighbours = [source[other] for other in module.experiments if other in source]
        paper = source.get(name) or (neighbours[0] if neighbours else (OWN, ""))
        paper = paper if paper in known else (paper[0], "")  # parts of one source outside the catalogue stand together
        by_paper.setdefault(paper, []).append(Experiment(recorded[name], title, module, claims.get(name, ())))
    ranked = sorted(by_paper, key=lambda paper: (known.index(paper) if paper in known else len(known), paper[0] == OWN))
    return [_paper(name, ref, by_paper[name, ref]) for name, ref in ranked]


def _paper(name: str, ref: str, experiments: Sequence[Experiment]) -> Paper:
    entry = next((paper for paper in catalogue() if (paper["name"], paper["ref"]) == (name, ref)), {})
    source = ", ".join(filter(None, (entry.get("authors", ""), ref)))
    return Paper(
        name or OWN,
        entry.get("paper", name) or OWN,
        source,
        entry.get("claims", ""),
        entry.get("published", {}),
        experiments,
        entry.get("terms", {}),
    )


def _claim(found: dict[str, Any]) -> Claim:
    test = found["test"]
    cells = {
        model: Cell(cell["verdict"], cell.get("why", ""), _numbers(cell.get("measured", {})), cell.get("rests", ""))
        for model, cell in found["models"].items()
    }
    stem = Path(test.partition("::")[0]).stem
    return Claim(f"{stem}-{test.rpartition('::')[2]}", found["claim"], tuple(found["ids"]), test, cells)


def _numbers(measured: Mapping[str, Row]) -> tuple[str, ...]:
    return tuple(f"{words(name)} {number(row)}" for name, row in measured.items())
