"""Models from the Hugging Face hub: `assay get` and `assay rm` against a small hub on this machine."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from assay.errors import CheckpointError, ModelNotCached
from assay.models import disk
from assay.models import hub as hub_module
from assay.models.get import bytes_on_disk, remove
from assay.models.random import hf_cache_layout, write_random
from assay.models.registry import REGISTRY, is_cached, locate, resolve

COMMIT = "c" * 40
PATTERN_FREE = {"README.md": b"---\n", "pytorch_model.bin": b"x" * 999}
"""Files of the repository that mlx-lm does not read."""


class Handler(BaseHTTPRequestHandler):
    """The four addresses of the hub that a download asks for."""

    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        Handler.asked.append(f"{self.command} {path}")
        if path.startswith("/api/models/org/closed"):
            return self.answer(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "accept the terms"})
        if path in ("/api/models/org/Toy", "/api/models/org/Toy/revision/main"):
            siblings = [{"rfilename": name, "size": len(data)} for name, data in self.files.items()]
            info = {"id": "org/Toy", "sha": COMMIT, "tags": ["mlx", "license:apache-2.0"], "siblings": siblings}
            return self.answer(200, json.dumps(info).encode())
        if path.startswith(f"/api/models/org/Toy/tree/{COMMIT}"):
            tree = [{"type": "file", "path": n, "size": len(d), "oid": self.tag(d)} for n, d in self.files.items()]
            return self.answer(200, json.dumps(tree).encode())
        name = path.removeprefix(f"/org/Toy/resolve/{COMMIT}/")
        if name in self.files:
            data = self.files[name]
            return self.answer(200, data, {"ETag": f'"{self.tag(data)}"', "X-Repo-Commit": COMMIT})
        return self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    @staticmethod
    def tag(data: bytes) -> str:
        return hashlib.sha1(data).hexdigest()

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def online(hub, config, tmp_path):
    """A hub with one repository, org/Toy, and a function that runs `assay` against it."""
    made = write_random(tmp_path / "made", config("llama"))
    Handler.files = {file.name: file.read_bytes() for file in made.iterdir()} | PATTERN_FREE
    Handler.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "ASSAY_"))}
    environment |= {"HF_HUB_CACHE": str(hub), "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
    environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HOME": str(tmp_path)}

    def run(*args: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "assay.cli", *args]
        return subprocess.run(command, capture_output=True, text=True, env={**environment, **more})

    yield SimpleNamespace(run=run, address=environment["HF_ENDPOINT"], stop=server.shutdown)
    server.shutdown()
    server.server_close()


def test_a_repository_is_downloaded_once_and_removed(online, hub):
    got = online.run("get", "org/Toy")
    assert got.returncode == 0, got.stderr
    first, last = got.stdout.splitlines()
    assert first == f"org/Toy: licence apache-2.0, 0.00 GiB, from {online.address}/org/Toy"
    (spec,) = resolve(["org/Toy"])
    folder = locate(spec)
    assert last.startswith(f"toy is in {folder} (")
    assert {file.name for file in folder.iterdir()} == Handler.files.keys() - PATTERN_FREE.keys()
    assert not [line for line in Handler.asked if "README" in line or "pytorch" in line]

    Handler.asked.clear()
    again = online.run("get", "org/Toy")
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, "toy is here already")
    assert Handler.asked == []

    gone = online.run("rm", "org/Toy")
    assert (gone.returncode, gone.stdout) == (0, "toy is removed: 0.00 GiB freed\n")
    assert not is_cached(spec)
    assert not [file for file in hub.rglob("*") if file.is_file() and file.name != "CACHEDIR.TAG"]


def test_a_missing_file_is_downloaded_and_the_others_are_not_again(online):
    assert online.run("get", "org/Toy").returncode == 0
    (spec,) = resolve(["org/Toy"])
    weights = locate(spec) / "model.safetensors"
    weights.resolve().unlink()
    assert not is_cached(spec)
    Handler.asked.clear()
    assert online.run("get", "org/Toy").returncode == 0
    assert is_cached(spec)
    assert [line for line in Handler.asked if line.startswith("GET /org")] == [
        f"GET /org/Toy/resolve/{COMMIT}/model.safetensors"
    ]


def test_whatever_keeps_the_hub_from_answering_is_one_sentence(online):
    both = online.run("get", "org/none", "org/closed")
    absent, closed = both.stderr.splitlines()
    assert both.returncode == 2
    assert absent == (
        f"assay: the hub has no repository org/none, or shows it to others only: see {online.address}/org/none"
    )
    assert closed == (
        f"assay: org/closed is given to those who accept its terms at {online.address}/org/closed; then: hf auth login"
    )
    offline = online.run("get", "qwen7b", HF_HUB_OFFLINE="1")
    assert offline.stderr == (
        "assay: mlx-community/Qwen2.5-7B-Instruct-4bit was not downloaded: HF_HUB_OFFLINE is set."
        " Unset it to let assay ask the hub\n"
    )
    unreachable = online.run("get", "org/Toy", HF_ENDPOINT="http://127.0.0.1:9")
    assert unreachable.returncode == 2
    assert unreachable.stderr.splitlines()[-1].startswith(
        "assay: org/Toy was not downloaded: the hub does not answer ("
    )


def test_a_full_disk_is_noticed_before_the_first_file(hub, monkeypatch):
    """In this process, where nothing may go online: the hub's answer is given, its files are not asked for."""
    import huggingface_hub

    info = SimpleNamespace(siblings=[SimpleNamespace(rfilename="model.safetensors", size=5 << 30)], tags=[])
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *a, **k: info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 30))
    said: list[str] = []
    with pytest.raises(
        CheckpointError, match=r"^org/x needs 5\.06 GiB in .*, whose disk has 1\.00 GiB free: make room"
    ):
        hub_module.download("org/x", said.append)
    assert said == [
        "org/x: licence not named on its page: read there before you use it, 5.00 GiB, from https://huggingface.co/org/x"
    ]


def test_removing_leaves_other_repositories_alone(hub, config):
    for id in ("qwen7b", "llama8b"):
        hf_cache_layout(hub, REGISTRY[id].repo, config(REGISTRY[id].family))
    hf_cache_layout(hub, REGISTRY["qwen7b"].repo, config("qwen2"), seed=7)
    size = bytes_on_disk(REGISTRY["qwen7b"])
    assert size == sum(f.stat().st_size for f in hub.rglob("*") if f.is_file() and "Qwen" in str(f)) > 0
    assert remove(REGISTRY["qwen7b"]) == size
    assert bytes_on_disk(REGISTRY["qwen7b"]) == 0
    with pytest.raises(ModelNotCached):
        locate(REGISTRY["qwen7b"])
    assert is_cached(REGISTRY["llama8b"])
    assert remove(REGISTRY["qwen7b"]) == 0


def test_a_download_without_a_revision_is_removed_too(hub):
    """Broken off in its first file: there is no snapshot yet, and the cache's own list does not name it."""
    blob = hub / "models--mlx-community--Qwen2.5-7B-Instruct-4bit" / "blobs" / "abc.incomplete"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"x" * 100)
    assert remove(REGISTRY["qwen7b"]) == 100
    assert list(hub.iterdir()) == []


def test_a_cache_that_was_never_made_has_nothing_to_remove(hub):
    assert remove(REGISTRY["qwen7b"]) == 0
    assert not Path(hub).exists()
