"""Names -> specs -> folders."""

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from assay.errors import AssayError, CheckpointError, ModelNotCached, UnknownModel
from assay.models import hub as hub_module
from assay.models import registry, table
from assay.models.registry import FAMILIES, GROUPS, ID, REGISTRY, ModelSpec, is_cached, locate, random_twin, resolve

TINY = ["gemma_tiny", "llama_tiny", "qwen_tiny"]
SIZES = ["llama_tiny4", "llama_tiny"]
SMALL = ["gemma270m", "smollm135m", "qwencoder05b"]
LITTLE = [
    "gemma3_270m",
    "smollm360m",
    "qwen05b",
    "qwen3_06b",
    "gemma3_1b",
    "llama1b",
    "qwen15b",
    "smollm17b",
    "qwen3_17b",
]
LARGE = ["gemma2b", "llama3b", "qwen7b", "llama8b", "gemma9b", "qwen14b", "gemma27b"]
REAL = [*SMALL, *LITTLE, *LARGE]


def ids(*tokens: str) -> list[str]:
    return [spec.id for spec in resolve(tokens)]


# --- the table --------------------------------------------------------------------------------------------


def test_the_table_is_complete_and_well_formed():
    assert list(REGISTRY) == [*TINY, "llama_tiny4", *REAL]
    assert {
        "tiny": tuple(TINY),
        "sizes": tuple(SIZES),
        "small": tuple(SMALL),
        "all": tuple(REGISTRY),
    } == GROUPS
    for spec in REGISTRY.values():
        assert ID.fullmatch(spec.id)
        assert spec.family in FAMILIES
        assert spec.layers
        assert spec.gib
        assert spec.kind == ("built-in" if spec.id in TINY + SIZES else "pip" if spec.id in SMALL else "hub")
        assert spec.builtin == (spec.kind == "built-in")
    sizes = [REGISTRY[id].gib for id in [*LITTLE]], [REGISTRY[id].gib for id in LARGE]
    assert sizes == (sorted(sizes[0]), sorted(sizes[1])), "the smallest first"
    names = [name for spec in REGISTRY.values() for name in registry._names(spec)]
    clashes = [name for name in names if len([s for s in REGISTRY.values() if name in registry._names(s)]) > 1]
    assert not clashes, "one name for two models"


@pytest.mark.parametrize("id", ["Qwen", "a-b", "a/b", "", ".", "..", ".a", "a b", "é"])
def test_an_id_that_is_no_folder_name_is_refused(id):
    with pytest.raises(UnknownModel, match="cannot be a model id"):
        ModelSpec(id, "org/name", None, None, None)


@pytest.mark.parametrize(
    ("repo", "path", "gguf"),
    [("", None, None), ("org/name", Path("x"), None), ("org/name", None, "0" * 64), ("", Path("x"), "0" * 64)],
)
def test_a_spec_has_one_source(repo, path, gguf):
    with pytest.raises(UnknownModel, match="a repository or a folder or a digest"):
        ModelSpec("x", repo, None, None, None, path=path, gguf=gguf)


def test_specs_are_values():
    spec = REGISTRY["qwen7b"]
    assert len({spec, replace(spec)}) == 1
    with pytest.raises(FrozenInstanceError):
        spec.id = "other"  # type: ignore[misc]


@pytest.mark.parametrize("place", range(3))
def test_a_builtin_model_is_what_the_table_says(place):
    spec = REGISTRY[TINY[place]]
    if not is_cached(spec):
        pytest.skip(f"not trained yet: assay train {spec.id}")
    config = json.loads((locate(spec) / "config.json").read_text())
    assert (config["model_type"], config["num_hidden_layers"]) == (spec.family, spec.layers)


@pytest.mark.parametrize("module", ["assay.models.registry", "assay.models", "assay.cli"])
def test_importing_is_cheap(module):
    heavy = "{'mlx', 'mlx_lm', 'transformers', 'huggingface_hub', 'numpy'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- names -> specs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (["qwen7b"], ["qwen7b"]),
        (["qwen7b", "gemma2b"], ["qwen7b", "gemma2b"]),
        (["qwen7b,gemma2b"], ["qwen7b", "gemma2b"]),
        ([" qwen7b , ", "gemma2b"], ["qwen7b", "gemma2b"]),
        (["gemma2b", "qwen7b,gemma2b", "gemma-2-2b"], ["gemma2b", "qwen7b"]),
        (["tiny"], TINY),
        (["TINY"], TINY),
        (["sizes"], SIZES),
        (["small"], SMALL),
        (["all"], list(REGISTRY)),
        (["llama8b", "all"], ["llama8b", *TINY, "llama_tiny4", *[id for id in REAL if id != "llama8b"]]),
        (["gemma[29]*b"], ["gemma2b", "gemma9b", "gemma27b"]),
        (["*270m"], ["gemma270m", "gemma3_270m"]),
        (["*n7B", "*a27b"], ["qwen7b", "gemma27b"]),
        (["qwen[0-9]*"], ["qwen05b", "qwen3_06b", "qwen15b", "qwen3_17b", "qwen7b", "qwen14b"]),
        (["mlx-community/Llama*-4bit"], ["llama3b", "llama8b"]),
        (["Qwen/*"], ["qwen05b", "qwen3_06b", "qwen15b", "qwen3_17b"]),
        (["QWEN7B"], ["qwen7b"]),
        (["Qwen2.5-7b-instruct"], ["qwen7b"]),
        (["llama-3.1-8B"], ["llama8b"]),
        (["Llama-3.2-1B-Instruct"], ["llama1b"]),
        (["Llama-3.2-1B-Instruct-bf16"], ["llama1b"]),
        (["gemma-3-270m", "gemma-3-270m-it"], ["gemma270m", "gemma3_270m"]),
        (["qwen2.5-coder-0.5b-instruct"], ["qwencoder05b"]),
        (["mlx-community/Qwen2.5-14B-Instruct-4bit"], ["qwen14b"]),
        (["MLX-Community/qwen2.5-14b-instruct-4BIT"], ["qwen14b"]),
        (["Qwen2.5-14B-Instruct-4bit"], ["qwen14b"]),
        (["mlx-community/Qwen3-4B-4bit"], ["qwen3_4b_4bit"]),
        (["org/My.Model_v2--x"], ["my.model_v2_x"]),
    ],
)
def test_every_form_of_a_name(tokens, expected):
    assert ids(*tokens) == expected


@pytest.mark.parametrize("tokens", [[], [""], [","], [" , ,", "  "]])
def test_no_name_at_all_is_an_error(tokens):
    with pytest.raises(UnknownModel, match=r"^no model named\. Known: gemma_tiny, .*, tiny, sizes, small, all$"):
        resolve(tokens)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("qwn7b", r"unknown model 'qwn7b'\. Did you mean qwen7b.*Known: gemma_tiny, .*, all$"),
        ("Gemma2B-it", r"Did you mean gemma2b"),
        ("tinny", r"Did you mean tiny"),
        ("zzzz", r"unknown model 'zzzz'\. Known: "),
        ("foo*", r"no model matches the pattern 'foo\*'\. Known: "),
        ("a/b/c", r"unknown model 'a/b/c'"),
        ("./nowhere", r"there is no folder .*/nowhere$"),
        ("/nowhere", r"there is no folder /nowhere$"),
        ("org/qwen7b", r"org/qwen7b would be called qwen7b, which is mlx-community/Qwen2\.5-7B"),
        ("org/Tiny", r"org/Tiny would be called tiny, which is the group gemma_tiny, "),
        ("./no.gguf", r"there is no file .*/no\.gguf$"),
        ("org/no.GGUF", r"there is no file .*/org/no\.GGUF$"),
        ("org/--", r"no model id can be made from org/--"),
        ("a/x,b/x", r"^a/x and b/x would both be called x, and share its snapshots"),
    ],
)
def test_what_cannot_be_resolved_says_why(token, message):
    with pytest.raises(UnknownModel, match=message):
        resolve([token])


def test_an_unregistered_repository_is_unknown_until_it_is_read():
    (spec,) = resolve(["mlx-community/Qwen3-4B-4bit"])
    assert spec == ModelSpec("qwen3_4b_4bit", "mlx-community/Qwen3-4B-4bit", None, None, None)


def folder(name: str, **config: object) -> Path:
    path = Path(name)
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config))
    return path.absolute()


def test_a_folder_is_described_by_its_config():
    path = folder("My Model-2", model_type="llama", num_hidden_layers=5)
    (path / "model.safetensors").write_bytes(b"x" * 2**24)
    (spec,) = resolve(["./My Model-2"])
    assert spec == ModelSpec("my_model_2", "", "llama", 5, 0.02, path=path)
    assert not spec.builtin
    assert resolve([str(path), "My Model-2", "./My Model-2/"]) == [spec]


def test_a_folder_called_like_a_repository_wins_as_in_mlx_lm():
    path = folder("org/name", model_type="llama")
    (spec,) = resolve(["org/name"])
    assert (spec.path, spec.repo) == (path, "")


def test_a_registered_name_wins_over_a_folder():
    folder("qwen7b", model_type="llama")
    assert resolve(["qwen7b"]) == [REGISTRY["qwen7b"]]
    with pytest.raises(UnknownModel, match="load it from a folder of another name"):
        resolve(["./qwen7b"])


def test_a_link_keeps_its_name_and_two_folders_of_one_name_do_not_mix():
    folder("a/model", model_type="llama")
    folder("b/model", model_type="llama")
    Path("latest").symlink_to("a/model")
    assert ids("./latest") == ["latest"]
    with pytest.raises(UnknownModel, match="would both be called model"):
        resolve(["./a/model", "./b/model"])


def test_a_folder_of_the_hugging_face_cache_is_called_after_its_repository():
    path = folder("hub/models--org--Some-Model/snapshots/0123abc", model_type="llama")
    assert ids(str(path)) == ["some_model"]
    assert ids(str(folder("snapshots/other", model_type="llama"))) == ["other"]


def write_gguf(name: str, monkeypatch) -> Path:
    """A file, and a reader that says what is in its header."""
    import assay.models.gguf.convert as convert

    described = convert.Description("llama", 5, 0.123)
    monkeypatch.setattr(convert, "describe", lambda file: described)
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return file.absolute()


def test_a_gguf_file_is_a_model(monkeypatch):
    file = write_gguf("SmolLM2-135M.Q4_1.gguf", monkeypatch)
    spec = ModelSpec("smollm2_135m.q4_1", "", "llama", 5, 0.12, path=file)
    assert spec.kind == "gguf"
    assert resolve(["SmolLM2-135M.Q4_1.gguf", str(file), "./SmolLM2-135M.Q4_1.gguf"]) == [spec]
    write_gguf("sub/qwen7b.gguf", monkeypatch)
    with pytest.raises(UnknownModel, match="load it from a folder of another name"):
        resolve(["sub/qwen7b.gguf"])


def test_any_shard_of_a_gguf_file_is_the_whole_model(monkeypatch):
    files = [write_gguf(f"My-Model-0000{i}-of-00003.gguf", monkeypatch) for i in (1, 2, 3)]
    specs = [resolve([file.name]) for file in files]
    assert specs == [[ModelSpec("my_model", "", "llama", 5, 0.12, path=files[0])]] * 3
    files[0].unlink()
    with pytest.raises(UnknownModel, match=r"there is no file .*/My-Model-00001-of-00003\.gguf$"):
        resolve([files[1].name])


def test_a_gguf_file_is_converted_when_it_is_located(monkeypatch):
    import assay.models.gguf.convert as convert

    file = write_gguf("my.gguf", monkeypatch)
    converted = folder("converted", model_type="llama")
    (converted / "model.safetensors").touch()
    asked: list[Path] = []
    monkeypatch.setattr(convert, "checkpoint", lambda file: asked.append(file) or converted)
    (spec,) = resolve(["my.gguf"])
    assert locate(spec) == converted
    assert random_twin(spec) == replace(spec, id="my_random", path=converted)
    assert asked == [file, file]
    file.unlink()
    with pytest.raises(ModelNotCached, match=r"^my: there is no file "):
        locate(spec)


def test_the_folder_of_a_builtin_model_is_that_model():
    spec = REGISTRY["llama_tiny"]
    assert resolve([str(spec.path)]) == [spec]


def test_a_folder_that_is_no_checkpoint_says_so():
    Path("empty").mkdir()
    with pytest.raises(CheckpointError, match=r"there is no config\.json in .*/empty$"):
        resolve(["./empty"])
    for text in ("{", "", "\udcff"):
        (Path("empty") / "config.json").write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(CheckpointError, match=r"config\.json is not JSON"):
            resolve(["./empty"])
    (Path("empty") / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"config\.json holds a list, not an object"):
        resolve(["./empty"])


# --- specs -> folders -------------------------------------------------------------------------------------


def test_the_patterns_are_those_of_mlx_lm():
    from mlx_lm.utils import DEFAULT_ALLOW_PATTERNS

    assert list(hub_module.ALLOW_PATTERNS) == DEFAULT_ALLOW_PATTERNS


def test_absent_says_how_to_get_it(hub):
    with pytest.raises(ModelNotCached) as caught:
        locate(REGISTRY["qwen7b"])
    assert str(caught.value) == f"qwen7b is not in the Hugging Face cache {hub}. Get it with: assay get qwen7b"
    assert not is_cached(REGISTRY["qwen7b"])
    with pytest.raises(ModelNotCached, match=r"Get it with: hf download mlx-community/Qwen3-4B-4bit$"):
        locate(*resolve(["mlx-community/Qwen3-4B-4bit"]))


def test_absent_from_the_packages_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ModelNotCached) as caught:
        locate(REGISTRY["smollm135m"])
    assert (
        str(caught.value)
        == f"smollm135m is not in assay's cache {tmp_path / 'cache'}. Get it with: assay get smollm135m"
    )
    assert not (tmp_path / "cache").exists()


def test_absent_builtin_says_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "BUILTIN", tmp_path)
    spec = replace(REGISTRY["qwen_tiny"], path=tmp_path / "qwen_tiny")
    with pytest.raises(ModelNotCached, match=r"qwen_tiny is not in .* Make it with: assay train qwen_tiny$"):
        locate(spec)


def test_a_folder_that_went_away(local, tmp_path):
    with pytest.raises(ModelNotCached, match="there is no folder"):
        locate(local(tmp_path / "gone"))


def snapshot(hub: Path, *names: str, repo: str = REGISTRY["qwen7b"].repo, commit: str = "c" * 40) -> Path:
    """A snapshot in the cache, with these (empty) files beside config.json."""
    base = hub / f"models--{repo.replace('/', '--')}"
    path = base / "snapshots" / commit
    path.mkdir(parents=True)
    (base / "refs").mkdir()
    (base / "refs" / "main").write_text(commit)
    (path / "config.json").write_text("{}")
    for name in names:
        (path / name).touch()
    return path


def test_present_is_found(hub):
    path = snapshot(hub, "model.safetensors")
    assert locate(REGISTRY["qwen7b"]) == path
    assert is_cached(REGISTRY["qwen7b"])


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"HF_HUB_CACHE": "$ROOT/a", "HF_HOME": "$ROOT/b"}, "a"),
        ({"HUGGINGFACE_HUB_CACHE": "$ROOT/c", "HF_HOME": "$ROOT/b"}, "c"),
        ({"HF_HOME": "$ROOT/b"}, "b/hub"),
        ({"XDG_CACHE_HOME": "$ROOT/d"}, "d/huggingface/hub"),
        ({"HOME": "$ROOT/e"}, "e/.cache/huggingface/hub"),
    ],
)
def test_the_cache_is_where_the_environment_says_now(variables, place, hub, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_HUB_CACHE")
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("$ROOT", str(tmp_path)))
    assert not is_cached(REGISTRY["qwen7b"])
    path = snapshot(tmp_path / place, "model.safetensors")
    assert locate(REGISTRY["qwen7b"]) == path


def test_the_cache_is_where_huggingface_hub_would_look():
    """The order of precedence is written a second time in `hub_cache`: here it is held against the original."""
    code = (
        "from huggingface_hub.constants import HF_HUB_CACHE as a;"
        "from assay.models.hub import hub_cache as b; print(a == str(b()))"
    )
    for variables in ({}, {"HF_HOME": "/x"}, {"HF_HUB_CACHE": "~/y"}, {"XDG_CACHE_HOME": "/z"}):
        env = {"PATH": "/usr/bin:/bin", "HOME": "/home/someone", **variables}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "True", variables


AGAIN = r"Get it again with: hf download mlx-community/Qwen2\.5-7B-Instruct-4bit --force-download$"


@pytest.mark.parametrize(
    ("files", "index", "message"),
    [
        ([], None, r"there are no weights \(model\*\.safetensors\) in "),
        (["weights.npz", "consolidated.safetensors"], None, "there are no weights"),
        (
            ["model-00001-of-00002.safetensors"],
            None,
            r"1 of 2 weight files missing in .*: model-00002-of-00002\.safetensors",
        ),
        (
            ["model-00001-of-00002.safetensors"],
            {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}},
            r"1 of 2 weight files missing in .*: model-00002-of-00002\.safetensors",
        ),
        (["model.safetensors"], {"weight_map": {"a": "model-x.safetensors"}}, r"missing in .*: model-x"),
        ([], {"weight_map": {str(i): f"model-{i}.safetensors" for i in range(5)}}, r"5 of 5 .*, \.\.\."),
        (["model.safetensors"], {"metadata": {}}, "has no weight_map"),
        (["model.safetensors"], [], r"index\.json holds a list"),
    ],
)
def test_a_part_of_a_snapshot_is_not_a_model(hub, files, index, message):
    path = snapshot(hub, *files)
    if index is not None:
        (path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=message) as caught:
        locate(REGISTRY["qwen7b"])
    assert caught.match(AGAIN)
    assert not is_cached(REGISTRY["qwen7b"])


def test_a_link_to_a_deleted_blob_is_a_missing_file(hub):
    path = snapshot(hub)
    (path / "model.safetensors").symlink_to(hub / "blobs" / "gone")
    with pytest.raises(CheckpointError, match="there are no weights"):
        locate(REGISTRY["qwen7b"])


def test_an_interrupted_download_is_not_a_model(hub):
    """huggingface_hub keeps the list of files of a commit; a file of that list is not there."""
    from huggingface_hub._tree_cache import TREE_CACHE_FORMAT_VERSION

    path = snapshot(hub, "model.safetensors")
    tree = path.parent.parent / "trees" / f"{path.name}.json"
    tree.parent.mkdir()
    entry = {"size": 1, "blob_id": "b" * 40}
    tree.write_text(json.dumps({"format_version": TREE_CACHE_FORMAT_VERSION, "files": {"tokenizer.json": entry}}))
    with pytest.raises(CheckpointError, match="is not complete") as caught:
        locate(REGISTRY["qwen7b"])
    assert caught.match(AGAIN)


def test_files_that_mlx_lm_does_not_want_may_be_missing(hub):
    from huggingface_hub._tree_cache import TREE_CACHE_FORMAT_VERSION

    path = snapshot(hub, "model.safetensors")
    tree = path.parent.parent / "trees" / f"{path.name}.json"
    tree.parent.mkdir()
    entry = {"size": 1, "blob_id": "b" * 40}
    tree.write_text(json.dumps({"format_version": TREE_CACHE_FORMAT_VERSION, "files": {"README.md": entry}}))
    assert locate(REGISTRY["qwen7b"]) == path


def test_a_reference_without_its_snapshot_is_absent(hub):
    path = snapshot(hub, "model.safetensors")
    path.rename(path.with_name("d" * 40))
    with pytest.raises(ModelNotCached):
        locate(REGISTRY["qwen7b"])


def test_every_complaint_is_one_line(hub):
    snapshot(hub)
    for spec in resolve(["qwen7b", "llama8b", "org/" + "x" * 200]):
        with pytest.raises(AssayError) as caught:
            locate(spec)
        assert "\n" not in str(caught.value)
