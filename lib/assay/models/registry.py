"""Which models exist, what a user may call them, and where they lie on this machine's disk.

    resolve(["gemma2b,tiny"])                   # [gemma2b, gemma_tiny, llama_tiny, qwen_tiny]
    resolve(["Qwen2.5-7B-Instruct", "llama*"])  # an alias in any case; a pattern over ids
    resolve(["./my-model"])                     # a folder with a config.json; its id is my_model
    resolve(["mlx-community/Qwen3-4B-4bit"])    # any repository; its id is qwen3_4b_4bit
    locate(REGISTRY["qwen7b"])                  # its folder, or ModelNotCached with the download line

Nothing here touches the network: an outage must never look like a model that is absent. Importing this file
imports neither mlx, mlx-lm nor transformers: the pytest plugin does so at every start.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from assay.errors import AssayError, CheckpointError, ModelNotCached, UnknownModel, unknown
from assay.models.files import check_complete, hub_repo, read_json, weight_files

FAMILIES = ("gemma2", "llama", "qwen2", "qwen3", "gemma3_text", "mistral", "phi3")
"""Every `model_type` that `assay.forward` has an adapter for."""

BUILTIN = Path(__file__).parent / "builtin"

# Exactly what mlx-lm downloads: with any other list "cached" and "loadable" would be two different answers.
ALLOW_PATTERNS = (
    "*.json",
    "model*.safetensors",
    "*.py",
    "tokenizer.model",
    "*.tiktoken",
    "tiktoken.model",
    "*.txt",
    "*.jsonl",
    "*.jinja",
)

# No '-' (pytest joins parameter ids with it) and no '/' (ids become folders of snapshots).
ID = re.compile(r"[a-z0-9_][a-z0-9_.]*")
REPO_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclass(frozen=True)
class ModelSpec:
    """A name for one set of weights; frozen and hashable, since pytest groups session parameters by value."""

    id: str
    """Short name: in test ids, in `snapshots/<id>/`, on the command line."""
    repo: str
    """Hugging Face repository, or "" for a model that lies in a folder."""
    family: str | None
    """mlx-lm `model_type`; None for a repository that has not been read yet."""
    layers: int | None
    """Number of blocks; None as above."""
    gib: float | None
    """Memory of the weights in GiB; None as above."""
    aliases: tuple[str, ...] = ()
    """Other names, matched in any case."""
    path: Path | None = None
    """Folder of a built-in or local model; None for a model of the Hugging Face cache."""

    def __post_init__(self) -> None:
        if not ID.fullmatch(self.id):
            raise UnknownModel(f"{self.id!r} cannot be a model id: use a-z, 0-9, '_' and '.', not '.' first")
        if bool(self.repo) == (self.path is not None):
            raise UnknownModel(f"model {self.id}: give a repository or a folder, and not both")

    @property
    def source(self) -> str:
        """Where the weights come from: the repository, or the folder with symbolic links resolved."""
        return self.repo if self.path is None else str(self.path.resolve())

    @property
    def builtin(self) -> bool:
        """One of the small trained models that ship with the package."""
        return self.path is not None and self.path.parent == BUILTIN


def _builtin(id: str, family: str, layers: int = 8) -> ModelSpec:
    return ModelSpec(id, "", family, layers, gib=0.01, path=BUILTIN / id)


def _hub(id: str, name: str, family: str, layers: int, gib: float, *aliases: str) -> ModelSpec:
    return ModelSpec(id, f"mlx-community/{name}-4bit", family, layers, gib, (name, *aliases))


REGISTRY: dict[str, ModelSpec] = {
    spec.id: spec
    for spec in (
        _builtin("gemma_tiny", "gemma2"),
        _builtin("llama_tiny", "llama"),
        _builtin("qwen_tiny", "qwen2"),
        _builtin("llama_tiny4", "llama", layers=4),
        _hub("gemma2b", "gemma-2-2b-it", "gemma2", 26, 1.37, "gemma-2-2b"),
        _hub("llama3b", "Llama-3.2-3B-Instruct", "llama", 28, 1.68, "llama-3.2-3b"),
        _hub("qwen7b", "Qwen2.5-7B-Instruct", "qwen2", 28, 3.99, "qwen2.5-7b"),
        _hub("llama8b", "Llama-3.1-8B-Instruct", "llama", 32, 4.21, "llama-3.1-8b"),
        _hub("gemma9b", "gemma-2-9b-it", "gemma2", 42, 4.84, "gemma-2-9b"),
        _hub("qwen14b", "Qwen2.5-14B-Instruct", "qwen2", 48, 7.74, "qwen2.5-14b"),
        _hub("gemma27b", "gemma-2-27b-it", "gemma2", 46, 14.26, "gemma-2-27b"),
    )
}

GROUPS: dict[str, tuple[str, ...]] = {
    "tiny": ("gemma_tiny", "llama_tiny", "qwen_tiny"),
    "sizes": ("llama_tiny4", "llama_tiny"),
    "all": tuple(REGISTRY),
}
"""Names that stand for several registered models. The pytest plugin adds a repository's own to both tables."""


def known() -> list[str]:
    """Every id and group that `--model` takes, in the order of the tables."""
    return [*REGISTRY, *GROUPS]


# --- names -> specs ---------------------------------------------------------------------------------------


def resolve(tokens: Sequence[str]) -> list[ModelSpec]:
    """The models that `tokens` name, in the order of first mention, each once.

    A token is a comma list of: id, alias or repository (any case); group (`tiny`, `all`); pattern over ids
    (`gemma*`), or over repositories if it has a '/'; folder with a `config.json`; any other `org/name`.
    A registered name wins over a folder, and a folder over a repository of the same name, as in mlx-lm.
    Raises UnknownModel (nothing named, no such model, one id for two sources) and CheckpointError (a folder
    whose `config.json` is missing or damaged).
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
    folder = Path(name).expanduser()
    if name.startswith((".", "/", "~")) or (folder / "config.json").is_file():
        return [_from_folder(folder)]
    if REPO_ID.fullmatch(name):
        return [ModelSpec(_derived_id(name.rpartition("/")[2], name), name, None, None, None)]
    raise unknown(UnknownModel, "model", name, known())


def _names(spec: ModelSpec) -> tuple[str, ...]:
    """Everything that stands for a registered model, in lower case."""
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


def _derived_id(name: str, source: str) -> str:
    """`name` in the alphabet of ids; never that of a registered model: they would share snapshots."""
    id = re.sub(r"[^a-z0-9_.]+", "_", name.lower()).strip("_.")
    if not id:
        raise UnknownModel(f"no model id can be made from {source}: its name has no letter a-z and no digit")
    if id in known():
        owner = REGISTRY[id].source if id in REGISTRY else f"the group {', '.join(GROUPS[id])}"
        raise UnknownModel(f"{source} would be called {id}, which is {owner}: load it from a folder of another name")
    return id


# --- specs -> folders -------------------------------------------------------------------------------------


def locate(spec: ModelSpec) -> Path:
    """The folder with all files of `spec`; found without the network, and never by downloading.

    Raises ModelNotCached when it is absent, with the command that gets it, and CheckpointError when only a
    part is there. Looks at names, not into weights: `assay.models.load` does that.
    """
    if spec.path is not None:
        if spec.builtin and not (spec.path / "config.json").is_file():
            raise ModelNotCached(f"{spec.id} is not in {spec.path}. Make it with: assay train {spec.id}")
        if not spec.path.is_dir():
            raise ModelNotCached(f"{spec.id}: there is no folder {spec.path}")
        check_complete(spec.path, remedy(spec))
        return spec.path

    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    cache = hub_cache()
    try:
        found = snapshot_download(
            spec.repo, cache_dir=cache, local_files_only=True, allow_patterns=list(ALLOW_PATTERNS)
        )
    except HFValidationError as error:
        raise UnknownModel(f"{spec.repo} cannot be a Hugging Face repository: {error}") from error
    except LocalEntryNotFoundError as error:
        found = getattr(error, "snapshot_path", None)  # set when a part of the snapshot is there
        if found is None:
            raise ModelNotCached(
                f"{spec.id} is not in the Hugging Face cache {cache}. Get it with: hf download {spec.repo}"
            ) from error
        check_complete(Path(found), remedy(spec))  # names the shards, if it is shards that are missing
        raise CheckpointError(f"the download in {found} is not complete. {remedy(spec)}") from error
    check_complete(Path(found), remedy(spec))
    return Path(found)


def is_cached(spec: ModelSpec) -> bool:
    """Is the whole model on disk? When it is not, the error that `locate` raises says why."""
    try:
        locate(spec)
    except AssayError:
        return False
    return True


def hub_cache() -> Path:
    """The Hugging Face cache as the environment names it now (huggingface_hub looks once, when imported)."""
    home = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("HF_HOME", os.path.join(home, "huggingface"))
    cache = os.environ.get("HUGGINGFACE_HUB_CACHE", os.path.join(home, "hub"))
    return Path(os.path.expanduser(os.path.expandvars(os.environ.get("HF_HUB_CACHE", cache))))


def remedy(spec: ModelSpec) -> str:
    """What to do about damaged files: the last sentence of every complaint about them."""
    if spec.builtin:
        return f"Make it again with: assay train {spec.id}"
    if spec.path is not None:
        return "Copy or convert the checkpoint again."
    return f"Get it again with: hf download {spec.repo} --force-download"


RANDOM = "_random"


def random_twin(spec: ModelSpec) -> ModelSpec:
    """The spec of a model with the same shape and random weights; another id, since its numbers are another model's.

    Raises CheckpointError for a model whose shape is not known without its files.
    """
    if spec.builtin or (spec.id not in REGISTRY and spec.path is None):
        raise CheckpointError(
            f"the shape of {spec.id} is not known without its files: random weights are for {_shaped()}"
        )
    return replace(spec, id=f"{spec.id}{RANDOM}", aliases=())


def is_random(spec: ModelSpec) -> bool:
    """Whether a spec stands for random weights."""
    return spec.id.endswith(RANDOM)


def _shaped() -> str:
    return ", ".join(id for id, spec in REGISTRY.items() if not spec.builtin) + ", and folders"
