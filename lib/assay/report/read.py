"""Reads the snapshots of a folder, experiment by experiment, the models in order of their size.

>>> files.write(Path("snapshots/llama_tiny/patching.json"), {"patching@quick": {"rescued": {"value": 0.75, "n": 16}}})
>>> (one,) = read_snapshots(Path("snapshots"), "quick")
>>> one.name, one.names, one.of("rescued")["llama_tiny"].value
('patching', ['rescued'], 0.75)
>>> words("any_pair_less_donor")                              # how the page and its figures write a name
'any pair − donor'
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.errors import SnapshotError
from assay.models.registry import REGISTRY
from assay.record import files
from assay.record.compare import BLOCKS
from assay.record.metric import Metric, from_row
from assay.record.tier import TIERS


@dataclass(frozen=True, eq=False)
class Recorded:
    """One experiment at one tier: by model, its metrics by name."""

    name: str
    tier: str
    models: Mapping[str, Mapping[str, Metric]]

    @property
    def names(self) -> list[str]:
        """The metrics of all models, in the order in which they were recorded."""
        return list(dict.fromkeys(name for metrics in self.models.values() for name in metrics))

    def of(self, name: str) -> dict[str, Metric]:
        """One metric, by the models that have it."""
        return {model: metrics[name] for model, metrics in self.models.items() if name in metrics}


def read_snapshots(folder: Path, tier: str) -> list[Recorded]:
    """All experiments that were recorded at a tier, by name. Raises SnapshotError when there are none."""
    if tier not in TIERS:
        raise SnapshotError(f"there is no tier {tier!r}: {', '.join(TIERS)}")
    found: dict[str, dict[str, dict[str, Metric]]] = {}
    for path in sorted(folder.glob("*/*.json"), key=lambda path: (*by_size(path.parent.name), path.name)):
        for entry, rows in files.read(path).items():
            name, _, of_tier = entry.rpartition("@")
            if entry not in BLOCKS and of_tier == tier:
                metrics = {metric: from_row(row) for metric, row in rows.items()}
                found.setdefault(name, {})[path.parent.name] = metrics
    if not found:
        raise SnapshotError(
            f"nothing is recorded at tier {tier} in {folder}: run `pytest` first, or say where with --snapshots, "
            "or which tier with --tier"
        )
    return [Recorded(name, tier, found[name]) for name in sorted(found)]


def words(name: str) -> str:
    """The name of a metric or of an experiment for a reader; a difference prompt by prompt has a minus sign."""
    return name.replace("_less_", " − ").replace("_", " ")


def size(model: str) -> float | None:
    """GiB of a model's weights, where the registry knows it."""
    return REGISTRY[model].gib if model in REGISTRY else None


def by_size(model: str) -> tuple[float, str]:
    """Sorts models: the smallest first, unknown sizes last, equal ones by name."""
    gib = size(model)
    return (float("inf") if gib is None else gib), model
