"""A throw-away repository with its own suites, snapshots and models: the plugin as another project uses it.

    def test_something(repo, run):
        repo.suite(test_rescue=RESCUE)
        run("--model", "toy_a").assert_outcomes(passed=2)

The models toy_a, toy_b and toy_c are folders with an empty weight file. Their loader writes LOAD and FREE lines to `log`,
FREE when the loaded object is gone from memory.
"""

import json
import os
from pathlib import Path

import pytest

thorough = pytest.mark.skipif(not os.environ.get("ASSAY_THOROUGH"), reason="takes minutes: set ASSAY_THOROUGH=1")
"""Marks the long version of a test that repeats something until it has gone wrong or minutes are over."""

QUIET = [arg for name in ("hypothesispytest", "anyio", "benchmark") for arg in ("-p", f"no:{name}")]
"""Plugins that these tests do not need, and that take a second to start."""

CONFTEST = """
    import os, weakref
    from pathlib import Path
    from assay.models.registry import ModelSpec

    HERE = Path(__file__).parent
    GIB = {"toy_a": 1.0, "toy_b": 2.0, "toy_c": 4.5}

    def log(line):
        with open(HERE / "log", "a") as file:
            file.write(os.environ.get("PYTEST_XDIST_WORKER", "main") + " " + line + "\\n")

    class LM:
        def __init__(self, spec):
            self.id = spec.id
            log("LOAD " + spec.id)
            weakref.finalize(self, log, "FREE " + spec.id)
        def provenance(self):
            return {"revision": os.environ.get("REVISION", "r1"), "bits": 4}

    def pytest_assay_models(config):
        return [ModelSpec(id, "", "llama", 8, gib, path=HERE / "models" / id) for id, gib in GIB.items()]

    def pytest_assay_load(config, spec):
        if os.environ.get("OOM") == spec.id:
            raise MemoryError("out of memory")
        return LM(spec)
"""

RESCUE = """
    import os
    from assay.plugin import Metric, experiment, finding, not_replicated
    from conftest import log

    @experiment
    def rescue(lm):
        log("MEASURE " + lm.id)
        hits = int(os.environ.get("HITS_" + lm.id, os.environ.get("HITS", "24")))
        return {
            "rate": Metric.rate(hits, 30, tol=0.1, control="null"),
            "null": Metric.rate(2, 30, tol=0.1),
            "layer": int(os.environ.get("LAYER", "17")),
        }

    def test_metrics(rescue, metrics):
        assert metrics == rescue

    @finding("patching rescues", paper="Hopping Too Late", ref="arXiv:2406.12775", id="HTL-7")
    @not_replicated("toy_c", reason="too small")
    def test_rescues(rescue):
        assert rescue.rate.low > rescue.null.high
"""


class Repo:
    """The repository: `pytester` with names for what tests look at."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        self.ini("models = toy_a toy_b")
        pytester.makeconftest(CONFTEST)
        for model in ("toy_a", "toy_b", "toy_c"):
            folder = self.path / "models" / model
            folder.mkdir(parents=True)
            (folder / "config.json").write_text('{"model_type": "llama"}')
            (folder / "model.safetensors").touch()

    def ini(self, *lines: str) -> None:
        text = "\n".join(("[pytest]", "testpaths = suites", "strict = true", "filterwarnings = error", *lines))
        self.pytester.makeini(text + "\n")

    def suite(self, folder: str = "suites", **modules: str) -> None:
        for path in self.pytester.makepyfile(**modules), *(self.path / f"{name}.py" for name in modules):
            if path.exists():
                (self.path / folder).mkdir(parents=True, exist_ok=True)
                path.rename(self.path / folder / path.name)

    def process(self, *args: str) -> pytest.RunResult:
        """In a process of its own: `pytester` keeps every failure alive in this one."""
        return self.pytester.runpytest_subprocess("-p", "assay.plugin", *QUIET, *args)

    def run(self, *args: str) -> pytest.RunResult:
        """In this process; a Ctrl-C inside ends only that run."""
        return self.pytester.runpytest("-p", "assay.plugin", *QUIET, *args, no_reraise_ctrlc=True)

    def document(self, model: str = "toy_a", name: str = "rescue") -> dict:
        return json.loads(self.file(model, name).read_text())

    def rows(self, model: str = "toy_a", name: str = "rescue", tier: str = "quick") -> dict:
        return self.document(model, name)[f"{name}@{tier}"]

    def file(self, model: str = "toy_a", name: str = "rescue") -> Path:
        return self.path / "snapshots" / model / f"{name}.json"

    def put(self, snapshots: dict[str, bytes]) -> None:
        """Writes what `snapshots` has returned, in this repository or in another one: they are the same in all."""
        for file, content in snapshots.items():
            (self.path / file).parent.mkdir(parents=True, exist_ok=True)
            (self.path / file).write_bytes(content)

    def snapshots(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.path)): path.read_bytes() for path in self.path.glob("snapshots/**/*.json")}

    def workers(self) -> set[str]:
        """Who wrote to the log since the last call of `log`: "main", or workers of xdist."""
        return {line.partition(" ")[0] for line in (self.path / "log").read_text().splitlines()}

    def log(self) -> list[str]:
        """LOAD, MEASURE and FREE lines since the last call, without the worker."""
        file = self.path / "log"
        lines = [line.partition(" ")[2] for line in file.read_text().splitlines()] if file.exists() else []
        file.unlink(missing_ok=True)
        return lines
