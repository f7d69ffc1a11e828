"""Converts a GGUF file to a checkpoint folder, once.

    folder = checkpoint(Path("SmolLM2-135M-Instruct.Q4_1.gguf"))     # in assay's cache, named by the file's digest

A moved or renamed file keeps its digest and is not converted again; a changed file is. The folder appears complete or not at
all (see `assay.models.cache`): after an interrupted conversion, the same call converts from the start.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.errors import CheckpointError
from assay.models.cache import conversion_folder, locked, make_folder
from assay.models.files import read_json, write_json
from assay.models.gguf.digest import check_unchanged, digest, marks, remembered
from assay.models.gguf.outline import Outline, outline_of
from assay.models.gguf.read import read
from assay.models.gguf.shards import shards
from assay.models.gguf.weights import write

log = logging.getLogger(__name__)

CONVERTER = 1
"""Version of the written files: folders of another version are converted again."""
WEIGHTS, RECORD = "model.safetensors", "gguf.json"
REST_BYTES = 64 << 20
"""Bytes reserved for config and tokenizer; the largest tokenizer.json has some 35 MB."""


@dataclass(frozen=True)
class Description:
    """The model that a header describes, before any conversion."""

    family: str
    """`model_type` of the converted checkpoint."""
    layers: int
    gib: float
    """Memory of the weights after conversion, in GiB."""


def describe(file: Path) -> Description:
    """The description of `file`, from its header. Raises as `checkpoint` does, except for damaged tensor data."""
    outline = outline_of(read(file))
    return Description(
        outline.config["model_type"], outline.config["num_hidden_layers"], round(outline.nbytes / 2**30, 2)
    )


def checkpoint(file: Path, *, progress: bool = True) -> Path:
    """The folder of the converted checkpoint of `file` (any shard of a model), made if it does not exist yet.

    Raises UnsupportedFamily for an unknown architecture; CheckpointError for damage, missing shards or tensors, unknown keys,
    tensor types, rope scalings or tokenizers, and a full disk. After an error the cache holds nothing of the conversion.
    """
    files = shards(file)
    if (known := remembered(files)) and (folder := find(known)):
        return folder
    before = marks(files)
    outline = outline_of(read(file))
    sha256 = digest(files, progress=progress)
    if folder := find(sha256):
        return folder
    target = conversion_folder(sha256)
    with locked(target):  # another process may have made it while this one waited
        if folder := find(sha256):
            return folder
        log.info("converting %s into %s", file, target)
        with make_folder(target, outline.nbytes + REST_BYTES) as folder:
            _fill(folder, outline, sha256, progress)
            check_unchanged(files, before)  # the marks were taken before the header was read
    return target


def find(sha256: str) -> Path | None:
    """The converted checkpoint of the file with this digest (64 hex digits), if it exists and is complete; else None."""
    folder = conversion_folder(sha256)
    try:
        record = read_json(folder / RECORD)
        sizes: dict[str, int] = record["files"]
        whole = all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (CheckpointError, OSError, KeyError, TypeError, AttributeError):
        return None
    return folder if whole and record.get("sha256") == sha256 and record.get("converter") == CONVERTER else None


def _fill(folder: Path, outline: Outline, sha256: str, progress: bool) -> None:
    """Writes all files: the tokenizer first, since it may be refused, and last gguf.json with the sizes of the others."""
    from assay.models.gguf import tokenizer

    ids = tokenizer.write(outline.header.metadata, folder)
    write(outline.copies, folder / WEIGHTS, progress=progress)
    write_json(folder / "config.json", {**outline.config, **ids})
    write_json(folder / RECORD, _record(folder, outline, sha256))


def _record(folder: Path, outline: Outline, sha256: str) -> Mapping[str, Any]:
    """The content of gguf.json: the file that was converted, and the sizes of the files that were written."""
    sources = outline.header.files
    return {
        "file": sources[0].name,
        "sha256": sha256,
        "bytes": sum(source.stat().st_size for source in sources),
        "shards": len(sources),
        "architecture": outline.architecture,
        "name": outline.header.metadata.get("general.name"),
        "quantised": outline.types,
        "converter": CONVERTER,
        "files": {path.name: path.stat().st_size for path in sorted(folder.iterdir())},
    }
