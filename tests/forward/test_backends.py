"""Limits of backends: cut to size where a backend has one, and nothing elsewhere. No card is needed: it is played."""

import logging
import subprocess
import sys

import mlx.core as mx
import pytest
import tiny

from assay import before_mlx
from assay.forward import backends, generate, lanes
from assay.forward.edits import zero
from assay.forward.positions import Prompt


@pytest.fixture
def card(monkeypatch, tmp_path):
    """An NVIDIA card, as MLX would describe it."""
    info = {"architecture": "sm_90a / H100", "total_memory": 80 * 2**30}
    monkeypatch.setattr(backends, "in_use", lambda: "cuda")
    monkeypatch.setattr(backends, "_card", lambda: info)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    monkeypatch.delenv("MLX_PTX_CACHE_DIR", raising=False)
    return tmp_path


def test_the_backend_in_use():
    name = backends.in_use()
    assert (name == "cpu") == (mx.default_device() == mx.cpu)
    assert name in backends.BACKENDS


def test_chunks_that_go_on_keep_to_the_limit_of_rows(card):
    lm, variants = tiny.lm("llama"), [zero("z", layer=1, position=-1)] * 100
    sizes = lambda **options: [len(c.variants) for c in lm.plan(tiny.ids(), variants, **options).chunks]  # noqa: E731
    assert sizes(max_tokens=4) == [34, 34, 32]
    assert sizes() == [100], "nothing fails that is not continued"
    limited = lm.sweep(tiny.ids(), variants, max_tokens=4, progress=False)
    assert len(set(limited.continuations)) == 1


def test_prompts_that_are_continued_keep_to_the_limit_of_rows(card, monkeypatch):
    lm, prompts = tiny.lm("llama"), [tiny.ids(4, seed=i) for i in range(100)]
    together, read = [], generate.read
    monkeypatch.setattr(generate, "read", lambda f, ids, *more: together.append(len(ids)) or read(f, ids, *more))
    limited = lm.generate([Prompt(tuple(ids)) for ids in prompts], max_tokens=3)
    assert together == [48, 48, 4]
    assert limited == [lm.generate(Prompt(tuple(ids)), max_tokens=3) for ids in prompts]


def test_one_lane_on_a_card(card):
    with lanes.use(3):
        assert lanes.count() == 1


def test_workers_share_the_memory_of_the_card(card, monkeypatch):
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "4")
    assert backends.memory() == 20 * 2**30


def test_kernels_of_two_cards_lie_apart(card, monkeypatch):
    import os

    backends.keep_kernels()
    first = os.environ.pop("MLX_PTX_CACHE_DIR")
    assert first.startswith(str(card))
    assert first.endswith("/sm_90a___H100")
    monkeypatch.setattr(backends, "_card", lambda: {"architecture": "sm_75"})
    backends.keep_kernels()
    assert os.environ["MLX_PTX_CACHE_DIR"] != first
    backends.keep_kernels()
    os.environ["MLX_PTX_CACHE_DIR"] = "mine"
    backends.keep_kernels()
    assert os.environ.pop("MLX_PTX_CACHE_DIR") == "mine", "the user's choice stands"


@pytest.mark.skipif(sys.platform != "linux", reason="MLX's backends are packages of their own on Linux only")
def test_mlx_without_a_backend_is_named(tmp_path, caplog):
    with caplog.at_level(logging.ERROR):
        before_mlx._look_for_backend([str(tmp_path)])
        assert "pip install 'mlx-assay[cpu]', or for an NVIDIA card 'mlx-assay[cuda13]'" in caplog.text
        caplog.clear()
        (tmp_path / "lib").mkdir()
        (tmp_path / "lib" / "libmlx.so").touch()
        before_mlx._look_for_backend([str(tmp_path)])
    assert not caplog.text
    run = subprocess.run([sys.executable, "-c", "import assay, mlx.core"], capture_output=True, text=True, check=True)
    assert "without a backend" not in run.stderr
