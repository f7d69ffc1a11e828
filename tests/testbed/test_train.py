"""Training: the same weights from the same seed, interrupted or not; files that mlx-lm opens."""

import hashlib
import shutil
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm import generate, load
from mlx_lm.utils import load_tokenizer

from assay.errors import UnknownModel
from assay.models.tokenizer import STYLES
from assay.testbed import train as training
from assay.testbed.batches import make_batch, make_batches
from assay.testbed.chats import Chat
from assay.testbed.configs import RECIPES, Stage, recipe
from assay.testbed.documents import Rule
from assay.testbed.first_weights import count, new_model
from assay.testbed.tokenizer import Row, TokenLens, make_tokenizer
from assay.testbed.train import fingerprint, publish, run_stage, save, stages

# A test id that is the name of a built-in model would be taken for a test of that model.
EVERY = pytest.mark.parametrize("name", ["gemma_tiny", "llama_tiny", "qwen_tiny"], ids=["gemma2", "llama", "qwen2"])
SMALL = {"num_hidden_layers": 4, "hidden_size": 32, "intermediate_size": 48, "head_dim": 8}


def small(name: str):
    whole = RECIPES[name]
    return replace(
        whole,
        config={**whole.config, **SMALL},
        base=Stage(steps=4, learning_rate=2e-3, documents=12, warmup=2),
        more=Stage(steps=2, learning_rate=1e-3, documents=12, warmup=2),
        judged=Stage(steps=2, learning_rate=1e-3, documents=12, warmup=1, weight_decay=0.0),
        late=Stage(steps=2, learning_rate=1e-3, documents=12, decay=False, weight_decay=0.0),
        line=Stage(steps=2, learning_rate=1e-3, documents=12, warmup=1, weight_decay=0.0),
        planted=replace(
            whole.planted,
            shaped=1,
            early_lens=0,
            late_from=3,
            late_lens=3,
            task_layer=1,
            label_lens=0,
            decided=2,
            said_lens=1,
            verdict_lens=2,
            duplicate_token_heads=((1, 1),),
        ),
        vocab_size=700,
    )


def setups(made, tokenizer):
    return stages(made, Chat(tokenizer, STYLES[made.config["model_type"]].turn_end))


def fingerprint_of(model) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(tree_flatten(model.parameters())):
        digest.update(name.encode() + np.array(value).tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="module", autouse=True)
def tokenizers_made_once(tmp_path_factory):
    """The tokenizer of a recipe is the same every time (tests of its own say so), and slow to make."""
    made, make = {}, make_tokenizer

    def cached(folder, recipe):
        if recipe.name not in made:
            made[recipe.name] = tmp_path_factory.mktemp(recipe.name)
            made[recipe.name, "ids"] = make(made[recipe.name], recipe)[1]
        shutil.copytree(made[recipe.name], folder, dirs_exist_ok=True)
        return load_tokenizer(folder)._tokenizer, made[recipe.name, "ids"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "make_tokenizer", cached)
        yield


def trained(made, folder, seed=0):
    tokenizer, ids = make_tokenizer(folder / "checkpoint", made)
    model = new_model(made, ids["vocab_size"], seed)
    for setup in setups(made, tokenizer):
        run_stage(model, tokenizer, setup, seed, folder)
    return model, ids


@EVERY
def test_a_duplicate_token_head_looks_at_tokens_like_its_own(name):
    made = RECIPES[name]
    model = new_model(made, 64, 0)
    rows, length, width = 20, 40, made.config["hidden_size"]
    states = mx.array(np.random.default_rng(0).standard_normal((rows, length, width)), mx.float32)
    own = mx.broadcast_to(states[:, -1:], states.shape)  # the last one everywhere

    def rotated(attention, project, x, heads):
        return attention.rope(project(x).reshape(rows, length, heads, -1).swapaxes(1, 2))

    found = set()
    for layer, block in enumerate(model.layers):
        attn = block.self_attn
        groups = attn.n_heads // attn.n_kv_heads
        q = rotated(attn, attn.q_proj, states, attn.n_heads)[:, :, -1:] * attn.scale
        k, same = (mx.repeat(rotated(attn, attn.k_proj, x, attn.n_kv_heads), groups, axis=1) for x in (states, own))
        others, duplicates = (np.array((q * keys).sum(axis=-1))[:, :, :-1] for keys in (k, same))
        for head in range(attn.n_heads):
            higher = duplicates[:, head, :, None] > others[:, head, None, :]  # whatever the distances
            if higher.mean() > 0.9:
                found.add((layer, head // groups))
    assert found == set(made.planted.duplicate_token_heads)


@EVERY
def test_a_stage_changes_the_layers_that_learn_and_nothing_else(name, tmp_path):
    made = small(name)
    tokenizer, ids = make_tokenizer(tmp_path / "checkpoint", made)
    model = new_model(made, ids["vocab_size"], 0)
    first = {"judged": made.planted.shaped, "late": made.planted.late_from, "line": made.planted.decided}
    for setup in setups(made, tokenizer):
        before = {key: np.array(value) for key, value in tree_flatten(model.parameters())}
        run_stage(model, tokenizer, setup, 0, tmp_path)
        changed = {key for key, value in tree_flatten(model.parameters()) if (np.array(value) != before[key]).any()}
        places = {int(key.split(".")[2]) if "layers" in key else -1 for key in changed}
        whole = range(-1, len(model.layers))
        assert places == (set(range(first[setup.name], len(model.layers))) if setup.name in first else set(whole)), (
            setup.name
        )


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
    assert len(steps) == 3 + 2 + 2 + 2 + 2 + 2, "step 3 was lost, steps 1 and 2 were not done again"
    assert fingerprint_of(resumed) == fingerprint_of(whole)
    other, _ = trained(made, tmp_path / "c", seed=1)
    assert fingerprint_of(other) != fingerprint_of(whole)


@EVERY
def test_the_embedding_takes_larger_steps(name, tmp_path):
    made = small(name)
    tokenizer, ids = make_tokenizer(tmp_path / "checkpoint", made)
    moved = {}
    for rate in (1.0, 5.0):
        model = new_model(made, ids["vocab_size"], 0)
        before = {k: np.array(v) for k, v in tree_flatten(model.parameters())}
        setup = replace(setups(made, tokenizer)[0], embedding_rate=rate, stage=replace(made.base, steps=1))
        (tmp_path / str(rate)).mkdir()
        run_stage(model, tokenizer, setup, 0, tmp_path / str(rate))
        moved[rate] = {k: np.array(v) - before[k] for k, v in tree_flatten(model.parameters())}
    for key, step in moved[1.0].items():
        if "embed_tokens" in key:
            np.testing.assert_allclose(moved[5.0][key], 5 * step, atol=1e-6)
            assert np.abs(step).max() > 1e-5
        else:
            np.testing.assert_array_equal(moved[5.0][key], step)


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
    rule = Rule((3, 5), ((1, 3),))
    rows = [
        Row((1, 5, 6, 7, 2), (3, 4), (rule,), (TokenLens(2, (9, 8), 1, 1.0), TokenLens(3, (4,), 2, 0.5))),
        Row((1, 4, 2), (1, 2)),
        Row((1, 5, 6), (), (), (TokenLens(2, (9,), 1, 1.0),)),  # cut short: nothing to say, all for the lens
    ]
    batch = make_batch(rows)
    assert batch.tokens.tolist() == [[1, 5, 6, 7, 2], [1, 4, 2, 0, 0], [1, 5, 6, 0, 0]]
    assert batch.at.tolist() == [2, 3, 5, 6]
    assert batch.next_tokens.tolist() == [7, 2, 4, 2]
    assert batch.rules == [(rule,), (), ()]
    at, tokens, weights = batch.lenses[1]
    assert at.tolist() == [2, 12]
    assert tokens.tolist() == [[9, 8], [9, 0]]
    np.testing.assert_allclose(np.array(weights), [[0.7, 0.3], [1, 0]], rtol=1e-6)
    assert [part.tolist() for part in batch.lenses[2]] == [[3], [[4]], [[0.5]]]
    assert set(make_batch(rows, trained_from=2).lenses) == {2}, "what no trained layer can change is left out"


def test_long_and_short_rows_are_apart():
    rows = [Row(tuple(range(n)), (1,)) for n in (90, 5, 17, 16, 60, 3, 88)]
    shapes = [batch.tokens.shape for batch in make_batches(rows)]
    assert shapes == [(3, 16), (1, 17), (1, 60), (2, 90)]


def test_sizes_and_names():
    for made in RECIPES.values():
        model = new_model(made, made.vocab_size, 0)
        assert 1.2e6 < count(model) < 3.1e6
        assert (count(model) < 1.8e6) == (made.config["num_hidden_layers"] < 8)
    gemma = RECIPES["gemma_tiny"].config
    assert gemma["num_attention_heads"] * gemma["head_dim"] != gemma["hidden_size"]
    assert fingerprint(RECIPES["llama_tiny"], 0) != fingerprint(RECIPES["llama_tiny"], 1)
    with pytest.raises(UnknownModel, match="Did you mean llama_tiny"):
        recipe("lama_tiny")
