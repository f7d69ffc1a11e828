"""The mechanisms planted in a built-in model: the `testbed.json` beside its weights.

>>> tiny, large = assay.models.resolve(["llama_tiny", "qwen7b"])
>>> planted_truth(tiny)["planted"]["late first hop"]
[5, 6, 7]
>>> planted_truth(large) is None                          # nothing was planted
True
"""

import json
from typing import Any

from assay.errors import CheckpointError
from assay.models.registry import ModelSpec


def planted_truth(spec: ModelSpec) -> dict[str, Any] | None:
    """The planted truth of a model, or None for one that is not built in. CheckpointError for a damaged file."""
    file = spec.path / "testbed.json" if spec.path else None
    if file is None or not file.exists():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{file} is not readable JSON: {error}") from error
