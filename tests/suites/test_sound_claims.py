"""Every claim of the suites is a judgement, with a control or a threshold whose source it names; every interval has a width."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from assay.record import files
from assay.record.compare import BLOCKS
from assay.record.judgement import LEAST

ROOT = Path(__file__).parents[2]
BUILT_IN = ("gemma_tiny", "llama_tiny", "qwen_tiny", "llama_tiny4")


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """The claims on one model, from its snapshots."""
    out = tmp_path_factory.mktemp("findings") / "found.json"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "suites",
        "--recorded",
        "--model",
        "llama_tiny",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run([*command, "--findings", str(out)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    return json.loads(out.read_text())["findings"]


def test_no_claim_is_a_bare_assertion(judged):
    cells = [(claim["test"], cell) for claim in judged for cell in claim["models"].values()]
    assert len(cells) > 100
    assert [test for test, cell in cells if cell["rests"] == "assertion"] == []
    assert {cell["verdict"] for _, cell in cells} <= {"yes", "no", "undecided", "not eligible", "not run"}


def test_no_claim_says_yes_below_its_least_n(judged):
    for claim in judged:
        for cell in claim["models"].values():
            if cell["verdict"] == "yes" and cell["rests"] == "intervals":
                numbers = [row.get("clusters", row.get("n")) for row in cell["measured"].values() if "ci" in row]
                assert max((n for n in numbers if n is not None), default=LEAST) >= LEAST, claim["test"]


@pytest.mark.parametrize("model", BUILT_IN, ids=lambda model: f"of {model}")
def test_every_interval_has_a_width(model):
    narrow, seen = [], 0
    for path in (ROOT / "snapshots" / model).glob("*.json"):
        for entry, rows in files.read(path).items():
            for name, row in rows.items() if entry not in BLOCKS and entry.endswith("@quick") else ():
                if "ci" in row and not isinstance(row["ci"][0], str):
                    low, high = row["ci"]
                    seen += 1
                    if not math.isnan(low) and not low < high:
                        narrow.append((path.stem, name, row))
    assert seen > 100
    assert narrow == []
