"""What produced a measurement: recorded beside the metrics, and shown when a metric differs, but never compared itself.

    {"assay": "0.1.0", "mlx": "0.32.4", "mlx-lm": "0.32.2", "platform": "linux x86_64",
     "model": "mlx-community/...", "revision": "c26a38f", "bits": 4, "prompts": "5f2c91ab03de"}

No time, no host name, no path: two people who measure the same metrics write the same bytes.
"""

import platform
from functools import cache
from importlib import metadata
from typing import Any

import pytest

from assay.models.registry import ModelSpec
from assay.plugin import own_data

DISTRIBUTIONS = {"assay": "mlx-assay", "mlx": "mlx", "mlx-lm": "mlx-lm"}

PROVENANCE = pytest.StashKey[tuple[str, dict[str, Any]]]()
"""Id of the model that was loaded last, and what its `provenance()` returned."""


def note(config: pytest.Config, spec: ModelSpec, lm: Any) -> None:
    """Keeps what `provenance()` of a model that was just loaded returns, if the model has this method."""
    config.stash[PROVENANCE] = (spec.id, dict(getattr(lm, "provenance", dict)()))


def made_by(config: pytest.Config, spec: ModelSpec, prompts: str | None = None) -> dict[str, Any]:
    """Versions, the platform, the model, and the hashes of the prompts and of the data of `--dataset`."""
    id, described = config.stash.get(PROVENANCE, ("", {}))
    model = ({"model": spec.repo} if spec.repo else {}) | (described if id == spec.id else {})
    replaced = own_data.hashes(config)
    return {
        **_here(),
        **model,
        **({"prompts": prompts} if prompts else {}),
        **({"datasets": replaced} if replaced else {}),
    }


@cache
def _here() -> dict[str, str]:
    versions = {}
    for name, distribution in DISTRIBUTIONS.items():
        try:
            versions[name] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return {**versions, "platform": f"{platform.system()} {platform.machine()}".lower()}
