"""The Hugging Face hub: finds repositories in its cache on this machine, downloads them into it, and removes them.

    >>> repo_folder("mlx-community/gemma-2-2b-it-4bit").name
    'models--mlx-community--gemma-2-2b-it-4bit'

    snapshot("mlx-community/gemma-2-2b-it-4bit")     # its folder or None, and whether all of it is there; no network
    download("mlx-community/gemma-2-2b-it-4bit")     # its folder; goes on where an earlier call was broken off
    delete("mlx-community/gemma-2-2b-it-4bit")       # how many bytes were freed

Only `download` and `download_file` touch the network. Importing this file does not import huggingface_hub.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from assay.errors import CheckpointError, ModelNotCached, UnknownModel
from assay.models.disk import check_space, folder_bytes

# The files that mlx-lm downloads. With another list, a cached model could fail to load.
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


def hub_cache() -> Path:
    """The Hugging Face cache as the environment names it now (huggingface_hub reads the environment once, when imported)."""
    home = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("HF_HOME", os.path.join(home, "huggingface"))
    cache = os.environ.get("HUGGINGFACE_HUB_CACHE", os.path.join(home, "hub"))
    return Path(os.path.expanduser(os.path.expandvars(os.environ.get("HF_HUB_CACHE", cache))))


def repo_folder(repo: str) -> Path:
    """The folder of the cache for a repository, existing or not."""
    return hub_cache() / f"models--{repo.replace('/', '--')}"


def snapshot(repo: str) -> tuple[Path | None, bool]:
    """The folder of the repository's main snapshot (None: not in the cache), and whether its download is complete.

    Does not use the network. Raises UnknownModel for an invalid repository name.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        found = snapshot_download(
            repo, cache_dir=hub_cache(), local_files_only=True, allow_patterns=list(ALLOW_PATTERNS)
        )
    except HFValidationError as error:
        raise UnknownModel(f"{repo} cannot be a Hugging Face repository: {error}") from error
    except LocalEntryNotFoundError as error:
        part = getattr(error, "snapshot_path", None)  # set when a part of the snapshot is there
        return (Path(part) if part else None), False
    return Path(found), True


def download(repo: str, say: Callable[[str], None] = lambda line: None) -> Path:
    """Downloads the files of a repository that mlx-lm reads into the cache; returns the folder of its snapshot.

    say: receives a line with licence, size and address before the first byte. Files in the cache are not downloaded again.
    Raises UnknownModel (no such repository, or no access to it), ModelNotCached (the hub does not answer, or offline mode
    is set) and CheckpointError (full disk).
    """
    with _answering(repo):
        from huggingface_hub import HfApi, constants, snapshot_download

        info = HfApi().model_info(repo, files_metadata=True)
        files = [f for f in info.siblings or () if any(fnmatch(f.rfilename, p) for p in ALLOW_PATTERNS)]
        size = sum(file.size or 0 for file in files)
        say(f"{repo}: licence {_licence(info)}, {size / 2**30:.2f} GiB, from {constants.ENDPOINT}/{repo}")
        check_space(hub_cache(), size - folder_bytes(repo_folder(repo)), repo)
        return Path(snapshot_download(repo, cache_dir=hub_cache(), allow_patterns=list(ALLOW_PATTERNS)))


def download_file(repo: str, name: str, revision: str, folder: Path) -> Path:
    """Downloads one file of a repository into `folder` (outside the Hugging Face cache); errors as of `download`."""
    with _answering(repo):
        from huggingface_hub import HfApi, hf_hub_download

        HfApi().model_info(repo, revision=revision)  # fails at once; a download would retry for half a minute
        return Path(hf_hub_download(repo, name, revision=revision, local_dir=folder))


def delete(repo: str) -> int:
    """Removes a repository from the cache, unfinished files included; returns how many bytes that freed."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    folder, cache = repo_folder(repo), hub_cache()
    freed = folder_bytes(folder)
    try:
        known = scan_cache_dir(cache)
    except CacheNotFound:
        return 0
    revisions = [rev.commit_hash for found in known.repos if found.repo_path == folder for rev in found.revisions]
    if revisions:
        known.delete_revisions(*revisions).execute()
    for rest in (folder, cache / ".locks" / folder.name):  # a download that was broken off before its first revision
        if rest.is_dir():
            shutil.rmtree(rest)
    return freed


def _licence(info) -> str:
    """Licence of a repository as its card or its tags name it."""
    named = [tag.partition(":")[2] for tag in info.tags or () if tag.startswith("license:")]
    return named[0] if named else "not named on its page: read there before you use it"


@contextmanager
def _answering(repo: str) -> Iterator[None]:
    """Turns every error of huggingface_hub into one of `assay.errors`, in one sentence."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        HTTPError,  # pyright: ignore[reportPrivateImportUsage]  of the HTTP library, which has changed more than once
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if constants.HF_HUB_OFFLINE:
        raise ModelNotCached(f"{repo} was not downloaded: HF_HUB_OFFLINE is set. Unset it to let assay ask the hub")
    page = f"{constants.ENDPOINT}/{repo}"
    try:
        yield
    except GatedRepoError as error:
        raise UnknownModel(f"{repo} is given to those who accept its terms at {page}; then: hf auth login") from error
    except HFValidationError as error:
        raise UnknownModel(f"{repo} cannot be a Hugging Face repository: {error}") from error
    except RepositoryNotFoundError as error:
        raise UnknownModel(f"the hub has no repository {repo}, or shows it to others only: see {page}") from error
    except (RevisionNotFoundError, RemoteEntryNotFoundError) as error:
        raise ModelNotCached(f"{repo} no longer has what this version of assay expects there: see {page}") from error
    except (HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelNotCached(f"{repo} was not downloaded: the hub does not answer ({reason})") from error
    except OSError as error:
        raise CheckpointError(f"{repo} could not be written to {hub_cache()}: {error}") from error
