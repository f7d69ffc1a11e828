"""What was planted in a built-in model: the `testbed.json` beside its weights.

planted_truth(resolve(["llama_tiny"])[0])["planted"]["late first hop"]     # [5, 6, 7]
planted_truth(resolve(["qwen7b"])[0])                                      # None: nobody planted anything
"""

import json
from typing import Any

from assay.errors import CheckpointError
from assay.models.registry import ModelSpec


def planted_truth(spec: ModelSpec) -> dict[str, Any] | None:
    """The planted truth of a model, or None for one that was not made by this project."""
    file = spec.path / "testbed.json" if spec.path else None
    if file is None or not file.exists():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{file} is not readable JSON: {error}") from error
