"""The `assay` command: what it prints, where, and with which exit status."""

import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

import assay
from assay.cli import main
from assay.errors import NotExact
from assay.models.random import hf_cache_layout
from assay.models.registry import REGISTRY


def test_models(hub, config, capsys):
    hf_cache_layout(hub, REGISTRY["qwen7b"].repo, config("qwen2"))
    broken = hf_cache_layout(hub, REGISTRY["llama3b"].repo, config("llama"))
    (broken / "model.safetensors").unlink()
    assert main(["models"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "repository", "family", "layers", "GiB", "on", "disk"]
    table = {row.split()[0]: row.split()[1:] for row in rows}
    assert list(table) == list(REGISTRY)
    assert table["qwen7b"] == ["mlx-community/Qwen2.5-7B-Instruct-4bit", "qwen2", "28", "3.99", "yes"]
    assert table["llama8b"] == ["mlx-community/Llama-3.1-8B-Instruct-4bit", "llama", "32", "4.21", "no"]
    assert table["llama3b"][-1] == "damaged"
    assert table["gemma_tiny"][:3] == ["(built-in)", "gemma2", "8"]


def test_a_mistake_is_one_line_and_status_2():
    done = subprocess.run([sys.executable, "-m", "assay.cli", "doctor", "qwn7b"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("assay: unknown model 'qwn7b'. Did you mean qwen7b")
    assert done.stderr.count("\n") == 1


def test_an_absent_model_says_how_to_get_it(hub, capsys):
    assert main(["doctor", "gemma9b"]) == 2
    assert capsys.readouterr().err == (
        f"assay: gemma9b is not in the Hugging Face cache {hub}."
        " Get it with: hf download mlx-community/gemma-2-9b-it-4bit\n"
    )


@pytest.mark.parametrize("argv", [[], ["models", "--wrong"], ["doctor"], ["dance"], ["train"]])
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


def test_train_hands_over(monkeypatch, capsys):
    calls = []
    module = ModuleType("assay.train")
    module.main = lambda *args: calls.append(args)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "assay.train", module)
    assert main(["train", "llama_tiny", "--steps", "3"]) == 0
    assert main(["train", "TINY"]) == 0
    assert calls == [("llama_tiny", "--steps", "3"), ("gemma_tiny",), ("llama_tiny",), ("qwen_tiny",)]
    assert main(["train", "qwen7b"]) == 2
    assert capsys.readouterr().err == (
        "assay: only built-in models can be trained (gemma_tiny, llama_tiny, qwen_tiny, llama_tiny4), not qwen7b\n"
    )
