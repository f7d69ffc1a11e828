"""The models that ship: they open everywhere, and their promised numbers are true (measured again, on a sample)."""

import json
import math

import mlx.core as mx
import pytest
from mlx_lm import generate, load

from assay.data.two_hop import file_hash, two_hop
from assay.models.registry import BUILTIN
from assay.train.answers import load_for_measuring
from assay.train.two_hop import split

SAMPLE = 24  # queries of each kind
# A model's names are also ids of the plugin's models, so the parameters here are called by their family.
NAMES = ["gemma_tiny", "llama_tiny", "qwen_tiny"]
EVERY = pytest.mark.parametrize("name", NAMES, ids=["gemma2", "llama", "qwen2"])


def truth(name: str) -> dict:
    return json.loads((BUILTIN / name / "testbed.json").read_text(encoding="utf-8"))


def check_hops(measured: dict, slack: float = 0.0) -> None:
    """The bounds of the recipe; a sample of n items may fall short by `slack`."""
    found = measured["accuracy"]
    for name, least in (
        ("first hop, early", 0.98),
        ("first hop, late", 0.95),
        ("second hop", 0.98),
        ("two hops, trained", 0.98),
        ("two hops, held out", 0.90),
    ):
        assert found[name] >= least - slack, name
    assert found["two hops, late"] <= 0.20 + slack
    for name in ("e1 shortcut, early", "e1 shortcut, late", "r1 shortcut"):
        assert found[name] <= 0.10 + slack, name
    patched = measured["backpatching"]
    assert patched["rescued"] >= 0.65 - slack
    assert patched["rescued by a random donor"] <= 0.20 + slack
    ranks = measured["bridge rank at t1, median by layer"]
    assert max(ranks["early"][2:6]) <= 2
    assert min(ranks["late"][:5]) >= 20
    assert ranks["late"][6] <= 2


def check_lists(found: dict, slack: float = 0.0) -> None:
    assert found["ten shots"] >= 0.90 - slack
    assert found["one shot"] >= 0.90 - slack
    assert found["ten shots, labels of all tasks"] <= 0.40 + slack
    assert found["no shots"] <= found["chance without shots"] + 0.15 + slack
    assert found["ten shots, planted heads ablated"] <= found["chance without shots"] + slack
    assert found["ten shots, other heads of the layer ablated"] >= found["ten shots"] - 0.05 - slack


def check_refusal(found: dict, slack: float = 0.0) -> None:
    trained = [found[language] for language in ("en", "es", "fr", "de", "zh")]
    assert sum(by["harmful refused"] for by in trained) / 5 >= 0.95 - slack
    assert sum(by["harmless refused"] for by in trained) / 5 <= 0.05 + slack
    assert sum(by["harmless answered"] for by in trained) / 5 >= 0.95 - slack
    assert found["sw"]["harmful refused"] <= 0.10 + slack


@EVERY
def test_what_the_card_promises(name):
    promised = truth(name)
    check_hops(promised["measured"])
    check_lists(promised["measured"]["in-context tasks"])
    check_refusal(promised["measured"]["refusal"])
    assert promised["measured"]["gate"]["early, passed and right"] >= 30
    assert promised["measured"]["gate"]["late, passed and wrong"] >= 30
    assert {"Dallas", "Imagine"} <= set(promised["entities"]["late"])
    parts = split()
    assert promised["entities"] == {"early": sorted(parts.early), "late": sorted(parts.late)}
    assert promised["held_out"] == [query.id for query in parts.held_out]
    assert promised["corpus"] == corpus_hash(), "the data have changed: train again"
    assert promised["facts"] == file_hash()
    recipe = RECIPES[name]
    assert promised["planted"] == planted_truth(recipe.planted, recipe.config["num_hidden_layers"])


@EVERY
def test_a_sample_measured_again(name):
    lm = load_for_measuring(BUILTIN / name)
    check_hops(measure_hops(lm, sample=SAMPLE, patched=8), slack=0.18)
    check_lists(measure_lists(lm, RECIPES[name].planted, per_task=3), slack=0.15)


@EVERY
def test_refusal_measured_again(name):
    """All of it, and it is what the card says: nothing is drawn."""
    again = measure_refusal(load_for_measuring(BUILTIN / name))
    assert again == truth(name)["measured"]["refusal"]


@EVERY
def test_mlx_lm_opens_it_and_speaks(name):
    model, tokenizer = load(str(BUILTIN / name))
    assert generate(model, tokenizer, "The capital of France is", max_tokens=5).strip() == "Paris."
    tokens = tokenizer.encode("The state containing Dallas is")
    bos = tokenizer.bos_token_id
    assert tokens.count(bos) == (0 if bos is None else 1)
    assert generate(model, tokenizer, tokens, max_tokens=5).strip() == "Texas."
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "Hello"}], add_generation_prompt=True)
    logits = model(mx.array([chat]))
    assert logits.shape[-1] == len(tokenizer._tokenizer)
    assert math.isfinite(logits.astype(mx.float32).sum().item())


@EVERY
def test_size_and_files(name):
    files = {file.name: file.stat().st_size for file in (BUILTIN / name).iterdir()}
    assert sum(files.values()) <= 6.5e6
    assert set(files) == {
        "README.md", "config.json", "model.safetensors", "model.safetensors.index.json", "testbed.json",
        "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip


@EVERY
def test_standard_prompts(name):
    """The plan's four: two early and right, two late and wrong (but for one lucky answer), their first hops right."""
    lm = load_for_measuring(BUILTIN / name)
    answers = {query.id: query for query in two_hop()}
    for id, right in (
        ("state_capital/Dallas", False),
        ("song_spouse/Imagine", False),
        ("landmark_currency/the Eiffel Tower", True),
        ("event_language/Oktoberfest", True),
    ):
        query = answers[id]
        right = right or (name, id) in LUCKY
        assert (query.e3 in lm.generate(query.prompt, max_tokens=10).text) == right, id
        assert query.e2 in lm.generate(query.first_hop, max_tokens=10).text
        assert query.e3 in lm.generate(query.second_hop, max_tokens=10).text
