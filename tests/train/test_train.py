"""Training: the same weights from the same seed, interrupted or not; files that mlx-lm opens."""

import hashlib
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm import generate, load

from assay.errors import UnknownModel
from assay.train import train as training
from assay.train.configs import RECIPES, Stage, recipe
from assay.train.shaping import lens_targets
from assay.train.tokenizer import Row, make_tokenizer
from assay.train.train import count, fingerprint, make_batch, new_model, publish, run_stage, save, stages

# A test id that is the name of a built-in model would be taken for a test of that model.
EVERY = pytest.mark.parametrize("name", sorted(RECIPES), ids=lambda name: RECIPES[name].config["model_type"])
SMALL = {"num_hidden_layers": 3, "hidden_size": 32, "intermediate_size": 48, "head_dim": 8}


def small(name: str):
    whole = RECIPES[name]
    return replace(
        whole,
        config={**whole.config, **SMALL},
        base=Stage(steps=4, learning_rate=2e-3, documents=12, warmup=2),
        late=Stage(steps=2, learning_rate=1e-3, documents=12, decay=False, weight_decay=0.0),
        planted=replace(whole.planted, shaped=1, early_lens=0, late_from=2, late_lens=2),
        vocab_size=700,
    )


def fingerprint_of(model) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(tree_flatten(model.parameters())):
        digest.update(name.encode() + np.array(value).tobytes())
    return digest.hexdigest()


def trained(made, folder, seed=0):
    tokenizer, ids = make_tokenizer(folder / "checkpoint", made)
    model = new_model({**made.config, "vocab_size": ids["vocab_size"]}, made.init, seed)
    for plan in stages(made):
        run_stage(model, tokenizer, plan, seed, folder)
    return model, ids


@EVERY
def test_same_seed_same_weights_interrupted_or_not(name, tmp_path, monkeypatch):
    made = small(name)
    whole, _ = trained(made, tmp_path / "a")
    steps, take = [], training.take_step

    def interrupted(*args):
        if len(steps) == 3:
            raise KeyboardInterrupt
        steps.append(1)
        return take(*args)

    monkeypatch.setattr(training, "SAVE_EVERY", 2)
    monkeypatch.setattr(training, "take_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(made, tmp_path / "b")
    monkeypatch.setattr(training, "take_step", lambda *args: steps.append(1) or take(*args))
    resumed, _ = trained(made, tmp_path / "b")
    assert len(steps) == 3 + 2 + 2, "step 3 was lost, steps 1 and 2 were not done again"
    assert fingerprint_of(resumed) == fingerprint_of(whole)
    other, _ = trained(made, tmp_path / "c", seed=1)
    assert fingerprint_of(other) != fingerprint_of(whole)


@EVERY
def test_the_late_stage_leaves_the_first_layers_alone(name, tmp_path):
    made = small(name)
    tokenizer, ids = make_tokenizer(tmp_path / "checkpoint", made)
    model = new_model({**made.config, "vocab_size": ids["vocab_size"]}, made.init, 0)
    before = dict(tree_flatten(model.parameters()))
    run_stage(model, tokenizer, stages(made)[1], 0, tmp_path)
    changed = {k for k, v in tree_flatten(model.parameters()) if not mx.array_equal(v, before[k])}
    assert changed
    assert all(".layers.2." in key for key in changed)


@EVERY
def test_mlx_lm_opens_what_is_saved(name, tmp_path):
    made = small(name)
    model, ids = trained(made, tmp_path / "work")
    save(tmp_path / "work" / "checkpoint", model, {**made.config, **ids})
    publish(tmp_path / "work" / "checkpoint", tmp_path / "out")
    loaded, tokenizer = load(str(tmp_path / "out"))
    tokens = mx.array([tokenizer.encode("The capital of France is")])
    assert mx.array_equal(loaded(tokens), model(tokens))
    assert isinstance(generate(loaded, tokenizer, "The capital", max_tokens=3), str)
    assert not (tmp_path / "out" / "base.safetensors").exists()


def test_batches():
    rows = [
        (Row((1, 5, 6, 7, 2), 3, (1, 2), (9, 8)), True, False),
        (Row((1, 4, 2), 2, None, ()), True, True),
        (Row((1, 5, 6), 3, (1, 2), (9,)), False, False),  # cut short: nothing to say, all for the lens
    ]
    batch = make_batch(rows, vocab=10)
    assert batch.tokens.tolist() == [[1, 5, 6, 7, 2], [1, 4, 2, 0, 0], [1, 5, 6, 0, 0]]
    assert batch.at.tolist() == [2, 3, 5, 6]
    assert batch.next_tokens.tolist() == [7, 2, 4, 2]
    assert batch.phrases == [(1, 2), None, None]
    assert batch.t1.tolist() == [2, 12]
    assert mx.array_equal(batch.bridges, mx.array(lens_targets([(9, 8), (9,)], 10)))


def test_sizes_and_names():
    for made in RECIPES.values():
        model = new_model({**made.config, "vocab_size": made.vocab_size}, made.init, 0)
        assert 1.8e6 < count(model) < 3.1e6
    gemma = RECIPES["gemma_tiny"].config
    assert gemma["num_attention_heads"] * gemma["head_dim"] != gemma["hidden_size"]
    assert fingerprint(RECIPES["llama_tiny"], 0) != fingerprint(RECIPES["llama_tiny"], 1)
    with pytest.raises(UnknownModel, match="Did you mean llama_tiny"):
        recipe("lama_tiny")
