"""The registry: every model that has a short name, and the type that describes a model.

    >>> REGISTRY["qwen7b"].repo
    'mlx-community/Qwen2.5-7B-Instruct-4bit'
    >>> GROUPS["small"]
    ('gemma270m', 'smollm135m', 'qwencoder05b')

- A **built-in** ships with assay; a model of **pip** ships in Python packages (`assay.models.sources`) and is the
  conversion of a GGUF file with a certain digest; one of the **hub** is a repository at Hugging Face.

`assay.models.registry` resolves names of models and finds their folders.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from assay.errors import UnknownModel
from assay.models.sources import SHIPPED

FAMILIES = ("gemma2", "llama", "qwen2", "qwen3", "gemma3_text", "mistral", "phi3")
"""Every `model_type` that `assay.forward` has an adapter for."""

BUILTIN = Path(__file__).parent / "builtin"

# No '-' (pytest joins parameter ids with it) and no '/' (ids become folders of snapshots).
ID = re.compile(r"[a-z0-9_][a-z0-9_.]*")
GGUF = ".gguf"


@dataclass(frozen=True)
class ModelSpec:
    """A name for one set of weights; frozen and hashable, since pytest groups session parameters by value."""

    id: str
    """Short name: in test ids, in `snapshots/<id>/`, on the command line."""
    repo: str
    """Hugging Face repository, or "" for a model that does not come from there."""
    family: str | None
    """mlx-lm `model_type`; None for a repository that has not been read yet."""
    layers: int | None
    """Number of blocks; None as above."""
    gib: float | None
    """Memory of the weights in GiB, in the precision in which they are on disk; None as above."""
    aliases: tuple[str, ...] = ()
    """Other names, matched in any case."""
    path: Path | None = None
    """Folder of a built-in or local model, or a GGUF file; None for a model that lies in a cache."""
    gguf: str | None = None
    """SHA-256 of the GGUF file whose conversion this model is; None for a model that is not registered as one."""

    def __post_init__(self) -> None:
        if not ID.fullmatch(self.id):
            raise UnknownModel(f"{self.id!r} cannot be a model id: use a-z, 0-9, '_' and '.', not '.' first")
        if [bool(self.repo), self.path is not None, bool(self.gguf)].count(True) != 1:
            raise UnknownModel(f"model {self.id}: give a repository or a folder or a digest, one of them")

    @property
    def source(self) -> str:
        """Where the weights come from: repository, digest, or folder or file with symbolic links resolved."""
        if self.path is not None:
            return str(self.path.resolve())
        return self.repo or f"sha256:{self.gguf}"

    @property
    def kind(self) -> str:
        """Where the model lies: built-in, folder, gguf (a user's file), pip (in assay's cache), hub (in that of the hub)."""
        if self.path is not None:
            return "built-in" if self.builtin else "gguf" if self.path.suffix.lower() == GGUF else "folder"
        return "pip" if self.gguf else "hub"

    @property
    def builtin(self) -> bool:
        """One of the small trained models that ship with the package."""
        return self.path is not None and self.path.parent == BUILTIN


def _builtin(id: str, family: str, layers: int = 8) -> ModelSpec:
    return ModelSpec(id, "", family, layers, gib=0.01, path=BUILTIN / id)


def _packaged(id: str, name: str, family: str, layers: int, gib: float, *aliases: str) -> ModelSpec:
    return ModelSpec(id, "", family, layers, gib, (name, *aliases), gguf=SHIPPED[id].sha256)


def _hub(id: str, repo: str, family: str, layers: int, gib: float, *aliases: str) -> ModelSpec:
    name = repo.rpartition("/")[2].removesuffix("-4bit").removesuffix("-bf16")
    return ModelSpec(id, repo, family, layers, gib, (name, *aliases))


# Small models are in bfloat16, as published: quantisation to four bits harms 0.5B far more than 7B. Where the publisher's
# repository requires a login, the entry is mlx-community's copy.
REGISTRY: dict[str, ModelSpec] = {
    spec.id: spec
    for spec in (
        _builtin("gemma_tiny", "gemma2"),
        _builtin("llama_tiny", "llama"),
        _builtin("qwen_tiny", "qwen2"),
        _builtin("llama_tiny4", "llama", layers=4),
        _packaged("gemma270m", "gemma-3-270m", "gemma3_text", 18, 1.00),
        _packaged("smollm135m", "SmolLM2-135M-Instruct", "llama", 30, 0.50, "smollm2-135m"),
        _packaged("qwencoder05b", "Qwen2.5-Coder-0.5B-Instruct", "qwen2", 24, 2.35, "qwen2.5-coder-0.5b"),
        _hub("gemma3_270m", "mlx-community/gemma-3-270m-it-bf16", "gemma3_text", 18, 0.50),
        _hub("smollm360m", "HuggingFaceTB/SmolLM2-360M-Instruct", "llama", 32, 0.67, "smollm2-360m"),
        _hub("qwen05b", "Qwen/Qwen2.5-0.5B-Instruct", "qwen2", 24, 0.92, "qwen2.5-0.5b"),
        _hub("qwen3_06b", "Qwen/Qwen3-0.6B", "qwen3", 28, 1.11),
        _hub("gemma3_1b", "mlx-community/gemma-3-1b-it-bf16", "gemma3_text", 26, 1.86, "gemma-3-1b"),
        _hub("llama1b", "mlx-community/Llama-3.2-1B-Instruct-bf16", "llama", 16, 2.30, "llama-3.2-1b"),
        _hub("qwen15b", "Qwen/Qwen2.5-1.5B-Instruct", "qwen2", 28, 2.88, "qwen2.5-1.5b"),
        _hub("smollm17b", "HuggingFaceTB/SmolLM2-1.7B-Instruct", "llama", 24, 3.19, "smollm2-1.7b"),
        _hub("qwen3_17b", "Qwen/Qwen3-1.7B", "qwen3", 28, 3.20),
        _hub("gemma2b", "mlx-community/gemma-2-2b-it-4bit", "gemma2", 26, 1.37, "gemma-2-2b"),
        _hub("llama3b", "mlx-community/Llama-3.2-3B-Instruct-4bit", "llama", 28, 1.68, "llama-3.2-3b"),
        _hub("qwen7b", "mlx-community/Qwen2.5-7B-Instruct-4bit", "qwen2", 28, 3.99, "qwen2.5-7b"),
        _hub("llama8b", "mlx-community/Llama-3.1-8B-Instruct-4bit", "llama", 32, 4.21, "llama-3.1-8b"),
        _hub("gemma9b", "mlx-community/gemma-2-9b-it-4bit", "gemma2", 42, 4.84, "gemma-2-9b"),
        _hub("qwen14b", "mlx-community/Qwen2.5-14B-Instruct-4bit", "qwen2", 48, 7.74, "qwen2.5-14b"),
        _hub("gemma27b", "mlx-community/gemma-2-27b-it-4bit", "gemma2", 46, 14.26, "gemma-2-27b"),
    )
}

REGISTERED = frozenset(REGISTRY)
"""The ids that the `assay` command accepts: those of this table, without those that a repository adds."""

GROUPS: dict[str, tuple[str, ...]] = {
    "tiny": ("gemma_tiny", "llama_tiny", "qwen_tiny"),
    "sizes": ("llama_tiny4", "llama_tiny"),
    "small": ("gemma270m", "smollm135m", "qwencoder05b"),
    "all": tuple(REGISTRY),
}
"""Names that stand for several registered models. The pytest plugin adds a repository's own to both tables."""


def known() -> list[str]:
    """Every id and group that `--model` takes, in the order of the tables."""
    return [*REGISTRY, *GROUPS]
