"""The files of a GGUF model: one file, or several shards with numbered names.

>>> name, files = named(Path("qwen-00002-of-00003.gguf"))
>>> name, [file.name for file in files]
('qwen', ['qwen-00001-of-00003.gguf', 'qwen-00002-of-00003.gguf', 'qwen-00003-of-00003.gguf'])
"""

import re
from pathlib import Path

from assay.errors import CheckpointError

SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.(gguf)", re.IGNORECASE)


def shards(file: Path) -> tuple[Path, ...]:
    """All files of the model that `file` is a part of, in order; CheckpointError names one that is missing."""
    _, files = named(file)
    missing = [path for path in files if not path.is_file()]
    if missing and len(files) > 1:
        raise CheckpointError(
            f"{len(missing)} of {len(files)} shards missing in {file.parent}: {missing[0].name}. Get it too"
        )
    if missing or not files:
        raise CheckpointError(f"there is no file {file}")
    return files


def named(file: Path) -> tuple[str, tuple[Path, ...]]:
    """The name of the model that `file` is or is a shard of, and all its files in order, existing or not."""
    part = SHARD.fullmatch(file.name)
    if not part:
        return file.stem, (file,)
    name, count, end = part[1], part[3], part[4]
    return name, tuple(file.with_name(f"{name}-{i:05d}-of-{count}.{end}") for i in range(1, int(count) + 1))
