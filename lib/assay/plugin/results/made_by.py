"""What produced a measurement: recorded beside the metrics, and shown when a metric differs.

    {"assay": "0.1.0", "mlx": "0.32.4", "mlx-lm": "0.32.2", "intervals": 4, "platform": "linux x86_64",
     "model": "mlx-community/...", "revision": "c26a38f", "bits": 4, "prompts": "5f2c91ab03de"}

No time, no host name, no path: two people who measure the same metrics write the same bytes. What says which model was
measured is compared (`assay.record.compare.MEASURED`), versions and platform are not.
"""

import platform
from functools import cache
from importlib import metadata
from typing import Any, Literal

import pytest

from assay.models.registry import ModelSpec
from assay.plugin import own_data
from assay.stats import EDITION

DISTRIBUTIONS = {"assay": "mlx-assay", "mlx": "mlx", "mlx-lm": "mlx-lm"}

PROVENANCE = pytest.StashKey[tuple[str, dict[str, Any]]]()
"""Id of the model that was loaded last, and what its `provenance()` returned."""


def note(config: pytest.Config, spec: ModelSpec, lm: Any) -> None:
    """Keeps what `provenance()` of a model that was just loaded returns, if the model has this method."""
    config.stash[PROVENANCE] = (spec.id, dict(getattr(lm, "provenance", dict)()))


def made_by(
    config: pytest.Config, spec: ModelSpec, prompts: str | None = None, system: str | Literal[False] | None = None
) -> dict[str, Any]:
    """Versions, the platform, the model, the system prompt, and the hashes of the prompts and of the data of `--dataset`.

    system: None, that of the chat template or no chat, is not recorded; False, none, is recorded as "none".
    """
    id, described = config.stash.get(PROVENANCE, ("", {}))
    model = ({"model": spec.repo} if spec.repo else {}) | (described if id == spec.id else {})
    replaced = own_data.hashes(config)
    return {
        **_here(),
        **model,
        **({"system": system or "none"} if system is not None else {}),
        **({"prompts": prompts} if prompts else {}),
        **({"datasets": replaced} if replaced else {}),
    }


def made_by_now(config: pytest.Config, spec: ModelSpec | None) -> dict[str, Any]:
    """The same for metrics of no experiment; {} for a test without a model, or whose model was not loaded."""
    id, described = config.stash.get(PROVENANCE, ("", {}))
    return made_by(config, spec) if spec is not None and id == spec.id and described else {}


@cache
def _here() -> dict[str, Any]:
    versions: dict[str, Any] = {}
    for name, distribution in DISTRIBUTIONS.items():
        try:
            versions[name] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return {**versions, "intervals": EDITION, "platform": f"{platform.system()} {platform.machine()}".lower()}
