"""From a GGUF file to the folder of a converted checkpoint, once.

    >>> folder = checkpoint(Path("SmolLM2-135M-Instruct.Q4_1.gguf"))                     # doctest: +SKIP
    >>> folder.name                                                                      # doctest: +SKIP
    'b179c9523d0e6a0f'

The folder is named after the digest of the file's bytes, so a file that was moved or renamed is not converted again, and
one that was changed is. It appears whole (see `assay.models.cache`): whatever ends a conversion, power failure included, the
same call later does it again from the start.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.errors import CheckpointError
from assay.models.cache import conversion_folder, locked, make_folder
from assay.models.files import read_json
from assay.models.gguf.digest import check_unchanged, digest, marks, remembered
from assay.models.gguf.plan import Plan, make_plan
from assay.models.gguf.read import read, shards
from assay.models.gguf.weights import write

log = logging.getLogger(__name__)

CONVERTER = 1
"""Goes up with every change of what is written: folders of another number are converted again."""
WEIGHTS, RECORD = "model.safetensors", "gguf.json"
REST_BYTES = 64 << 20
"""Room for config and tokenizer; the largest tokenizer.json has some 35 MB."""


@dataclass(frozen=True)
class Description:
    """What a header says of the model, before any conversion."""

    family: str
    """`model_type` of the converted checkpoint."""
    layers: int
    gib: float
    """Memory of the weights after conversion, in GiB."""


def describe(file: Path) -> Description:
    """What `file` holds, from its header. Raises what `checkpoint` would, but for damage of the data itself."""
    plan = make_plan(read(file))
    return Description(plan.config["model_type"], plan.config["num_hidden_layers"], round(plan.nbytes / 2**30, 2))


def checkpoint(file: Path, *, progress: bool = True) -> Path:
    """The converted checkpoint of `file` (any shard of a model in shards), made if it is not there yet.

    Raises UnsupportedFamily for an architecture, and CheckpointError for everything else, that cannot be read exactly:
    damage, missing shards or tensors, unknown keys, tensor types, rope scalings or tokenizers, no room on the disk. Then
    nothing is left in the cache.
    """
    files = shards(file)
    if (known := remembered(files)) and (folder := find(known)):
        return folder
    before = marks(files)
    plan = make_plan(read(file))
    sha256 = digest(files, progress=progress)
    if folder := find(sha256):
        return folder
    target = conversion_folder(sha256)
    with locked(target):  # another process may have made it while this one waited
        if folder := find(sha256):
            return folder
        log.info("converting %s into %s", file, target)
        with make_folder(target, plan.nbytes + REST_BYTES) as folder:
            _fill(folder, plan, sha256, progress)
            check_unchanged(files, before)  # since before its header was read
    return target


def find(sha256: str) -> Path | None:
    """The converted checkpoint of the file with this digest (64 hex digits), when it is there and complete."""
    folder = conversion_folder(sha256)
    try:
        record = read_json(folder / RECORD)
        sizes: dict[str, int] = record["files"]
        whole = all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (CheckpointError, OSError, KeyError, TypeError, AttributeError):
        return None
    return folder if whole and record.get("sha256") == sha256 and record.get("converter") == CONVERTER else None


def _fill(folder: Path, plan: Plan, sha256: str, progress: bool) -> None:
    """Writes everything; the tokenizer first, which may be refused, the record last, which has the sizes of the others."""
    from assay.models.gguf import tokenizer

    ids = tokenizer.write(plan.header.metadata, folder)
    write(plan.copies, folder / WEIGHTS, progress=progress)
    _write_json(folder / "config.json", {**plan.config, **ids})
    _write_json(folder / RECORD, _record(folder, plan, sha256))


def _record(folder: Path, plan: Plan, sha256: str) -> Mapping[str, Any]:
    """What a reader of numbers measured with this checkpoint wants to know of its file."""
    sources = plan.header.files
    return {
        "file": sources[0].name,
        "sha256": sha256,
        "bytes": sum(source.stat().st_size for source in sources),
        "shards": len(sources),
        "architecture": plan.architecture,
        "name": plan.header.metadata.get("general.name"),
        "quantised": plan.types,
        "converter": CONVERTER,
        "files": {path.name: path.stat().st_size for path in sorted(folder.iterdir())},
    }


def _write_json(file: Path, value: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
