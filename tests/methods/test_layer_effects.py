"""Effects by layer against runs with one edit each, and against hand-made changes of the stream."""

import mlx.core as mx
import numpy as np
import pytest
import tiny

from assay.errors import DataError
from assay.forward.edits import add, replace
from assay.methods.layer_effects import (
    LayerProbe,
    any_log_prob,
    effects_of_layers,
    first_log_prob,
    log_odds,
    log_odds_of_two,
    random_as_long,
)

PROMPT = "The capital of France is"


@pytest.fixture(scope="module", params=("llama", "gemma2", "qwen2"))
def lm(request, tmp_path_factory):
    return tiny.chat_lm(request.param, tmp_path_factory.mktemp(request.param))


def log_probs(lm, prompt, edits=()):
    logits = np.array(lm.run(prompt, edits=list(edits)).logits[0].astype(mx.float32), np.float64)
    return logits - np.logaddexp.reduce(logits)


def vectors(lm, n=3, seed=0):
    drawn = np.random.default_rng(seed).standard_normal((n, lm.n_layers, lm.width))
    return (3 * drawn).astype(np.float32)


@pytest.mark.parametrize("places", [((-1, 1.0),), (("all", 1.0),), ((1, -1.0), (2, 2.0))], ids=("end", "all", "two"))
def test_added_at_each_layer(lm, places):
    prompt, some = lm.prompt(PROMPT), vectors(lm)
    probe = LayerProbe(prompt, some, places, (5, 9), log_odds_of_two)
    total, direct = effects_of_layers(lm, [probe])
    assert total.shape == direct.shape == (3, 1, lm.n_layers)
    clean, last = log_probs(lm, prompt), lm.n_layers - 1
    for k in range(3):
        for layer in range(lm.n_layers):
            for found, at in ((total, layer), (direct, last)):
                edits = [add("resid_post", some[k, layer], layer=at, position=p, scale=times) for p, times in places]
                moved = log_probs(lm, prompt, edits)
                by_hand = (moved[5] - moved[9]) - (clean[5] - clean[9])
                assert found[k, 0, layer] == pytest.approx(by_hand, abs=1e-3)
    assert probe.is_direct == (len(places) == 1)
    if probe.is_direct:
        assert np.array_equal(total[:, :, last], direct[:, :, last])  # no layer follows
    else:
        assert not direct.any()


def test_put_in_at_each_layer(lm):
    prompt, some = lm.prompt(PROMPT), vectors(lm, n=2)
    probe = LayerProbe(prompt, some, ((2, 1.0),), (7,), first_log_prob, how="replace", cluster="bridge")
    total, direct = effects_of_layers(lm, [probe, probe])
    assert total.shape == (2, 2, lm.n_layers)
    assert not direct.any()
    assert not probe.is_direct
    moved = log_probs(lm, prompt, [replace("resid_post", some[1, 0], layer=0, position=2)])
    assert total[1, 0, 0] == pytest.approx(moved[7] - log_probs(lm, prompt)[7], abs=1e-3)
    assert np.array_equal(total[:, 0], total[:, 1])


def test_scores():
    p = np.array([[0.2, 0.3], [0.5, 0.1]])
    assert np.allclose(first_log_prob(np.log(p)), np.log([0.2, 0.5]))
    assert np.allclose(log_odds_of_two(np.log(p)), np.log([2 / 3, 5]))
    assert np.allclose(any_log_prob(np.log(p)), np.log([0.5, 0.6]))
    assert np.allclose(log_odds(np.log(p)), np.log([1.0, 1.5]), atol=1e-6)
    assert np.isfinite(log_odds(np.array([[0.0], [-800.0]]))).all()


def test_random_vectors_are_as_long_layer_by_layer():
    some = np.random.default_rng(0).standard_normal((5, 32)).astype(np.float32) * np.arange(5)[:, None]
    drawn = random_as_long(some, 3, seed=1)
    assert drawn.shape == (3, 5, 32)
    assert drawn.dtype == np.float32
    assert np.allclose(np.linalg.norm(drawn, axis=-1), np.linalg.norm(some, axis=-1), rtol=1e-5)
    assert not np.allclose(drawn[0], drawn[1])


def test_probes_that_do_not_fit_are_refused(lm):
    one = LayerProbe(lm.prompt(PROMPT), vectors(lm), ((-1, 1.0),), (5,), first_log_prob)
    other = LayerProbe(lm.prompt(PROMPT), vectors(lm, n=2), ((-1, 1.0),), (5,), first_log_prob)
    for probes in ([], [one, other]):
        with pytest.raises(DataError, match="as many vectors"):
            effects_of_layers(lm, probes)
