"""smollm135m as assay reads its GGUF file, and as torch and transformers read it: the same tokens, the same logits.

`make_reference.py` wrote what they say into `reference/`. The model itself is no part of this repository.
"""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.utils import load_model, load_tokenizer

from assay.models.gguf import find

REFERENCE = Path(__file__).with_name("reference")
TOLERANCE = 1e-5
"""Of the largest logit of a prompt; float32 on both sides rounds some 2e-6 away."""


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    return json.loads((REFERENCE / "smollm135m.json").read_text())


@pytest.fixture(scope="module")
def numbers() -> dict[str, np.ndarray]:
    with np.load(REFERENCE / "smollm135m.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def folder(reference: dict[str, Any]) -> Path:
    found = find(reference["sha256"])
    if found is None:
        pytest.skip("runs once smollm135m has been converted on this machine: assay get smollm135m")
    return found


def test_the_reference_is_whole(reference, numbers):
    assert len(reference["tokens"]) == 60
    assert len(reference["prompts"]) == 6
    for i, prompt in enumerate(reference["prompts"]):
        top, ids = numbers[f"top_{i}"], numbers[f"top_ids_{i}"]
        assert top.shape == ids.shape == (len(prompt["ids"]), 32)
        assert (np.diff(top, axis=-1) <= 0).all()
        assert (numbers[f"logsumexp_{i}"] > top[:, 0]).all()
        columns = numbers["columns"].tolist()
        for row, place in zip(*np.nonzero(np.isin(ids, columns)), strict=True):
            assert top[row, place] == numbers[f"columns_{i}"][row, columns.index(ids[row, place])]


def test_tokens_are_those_of_transformers(folder, reference):
    tokenizer = load_tokenizer(folder)
    for entry in (*reference["tokens"], *reference["prompts"]):
        assert tokenizer.encode(entry["text"]) == entry["ids"], entry["text"]


def test_logits_are_those_of_transformers(folder, reference, numbers):
    with mx.stream(mx.cpu):
        model, _ = load_model(folder)
        for i, prompt in enumerate(reference["prompts"]):
            logits = np.array(model(mx.array([prompt["ids"]]))[0].astype(mx.float32))
            exact = logits.astype(np.float64)
            largest = exact.max(axis=-1, keepdims=True)
            logsumexp = largest[:, 0] + np.log(np.exp(exact - largest).sum(axis=-1))
            scale = abs(numbers[f"top_{i}"]).max()
            for ours, theirs in (
                (np.take_along_axis(logits, numbers[f"top_ids_{i}"], axis=-1), numbers[f"top_{i}"]),
                (logits[:, numbers["columns"]], numbers[f"columns_{i}"]),
                (logsumexp, numbers[f"logsumexp_{i}"]),
            ):
                assert abs(ours - theirs).max() <= TOLERANCE * scale, prompt["text"]
            assert (logits.argmax(axis=-1) == numbers[f"top_ids_{i}"][:, 0]).all()
