"""Patchscopes against full forwards in plain mlx, the identity at the last layer, and samples that depend on their key alone."""

import mlx.core as mx
import numpy as np
import pytest
import tiny
from byhand import put, said, stream
from plain import plain

from assay.errors import EditError
from assay.methods.hopping_too_late.patchscopes import APPOSITION, DESCRIBE, SCOPES, Scope, patchscope
from assay.methods.sampling import GumbelNoise, sampling_edits

FAMILIES = ["llama", "gemma2", "qwen2", "phi3"]
SHORT = Scope("abc x:")
SOURCE = "The capital of Texas"


def states(lm, text, at=-1):
    return mx.stack(stream(lm.model, lm.prompt(text).tokens, at))


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_a_loop_of_full_forwards(family):
    lm = tiny.lm(family)
    own, tokens = states(lm, SOURCE), lm.prompt(SHORT.prompt).tokens
    at = len(tokens) - 2  # "x" stands before ":"
    found = patchscope(lm, SHORT, {"one": own}, range(lm.n_layers), max_tokens=4)["one"]
    for source in range(lm.n_layers):
        for target in range(lm.n_layers):
            assert found[source][target] == [said(lm, tokens, 4, put(at, own[source], target))], (source, target)


@pytest.mark.parametrize("family", FAMILIES)
def test_identity_the_last_layer_says_what_the_source_prompt_predicts(family):
    """A state of the last layer, put after the last layer at the end of any prompt, is unembedded as in its own prompt."""
    lm, last = tiny.lm(family), tiny.lm(family).n_layers - 1
    own = states(lm, SOURCE)
    here = Scope("cat -> cat\nhello -> hello\n?", "?")
    next_token = int(mx.argmax(plain(lm.model, lm.prompt(SOURCE).tokens)[-1]).item())
    found = patchscope(lm, here, {"one": own}, [last], max_tokens=1)["one"]
    assert found[last] == [[lm.decode([next_token])]]


def test_sources_targets_and_samples_keep_their_places():
    lm = tiny.lm("llama")
    sources = {"a": states(lm, SOURCE), "b": states(lm, "Something else")[:2]}
    found = patchscope(lm, SHORT, sources, [2, 0], max_tokens=3, seeds=(0, 1))
    assert list(found) == ["a", "b"]
    assert np.array(found["a"]).shape == (3, 2, 2)
    assert np.array(found["b"]).shape == (2, 2, 2)
    alone = patchscope(lm, SHORT, {"b": sources["b"]}, [0], max_tokens=3, seeds=(1,))["b"]
    assert [row[1][1] for row in found["b"]] == [row[0][0] for row in alone]


def test_samples_depend_on_seed_name_and_layers_and_on_nothing_else():
    lm = tiny.lm("llama")
    own = states(lm, SOURCE)
    both = patchscope(lm, SHORT, {"a": own, "b": own}, [0, 1, 2], max_tokens=6, seeds=(0, 1))
    again = patchscope(lm, SHORT, {"b": own[:1], "a": own}, [2, 1], max_tokens=6, seeds=(1, 0))
    assert [cell[::-1] for cell in again["a"][0]] == [both["a"][0][2], both["a"][0][1]]
    assert both["a"] != both["b"]  # the same states under another name
    texts = [text for row in both["a"] for cell in row for text in cell]
    assert len(set(texts)) > len(texts) / 2


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_the_noise_makes_samples_of_the_softmax(temperature):
    """The shares of 3000 samples against the softmax, within four standard errors."""
    logits, n = np.array([2.0, 1.0, 0.0, -1.0, 2.0, -9.0]), 3000
    given = mx.array(logits, mx.float32)[None, None]
    drawn = [int(mx.argmax(GumbelNoise(f"key {i}", temperature)(given)).item()) for i in range(n)]
    expected = np.exp(logits / temperature - np.logaddexp.reduce(logits / temperature))
    share = np.bincount(drawn, minlength=len(logits)) / n
    assert (np.abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / n) + 1e-3).all()


def test_every_step_has_noise_of_its_own():
    noise, nothing = GumbelNoise("key", 1.0), mx.zeros((1, 1, 50))
    first, second = noise(nothing), noise(nothing)
    assert not (first == second).any()
    assert (GumbelNoise("key", 1.0)(nothing) == first).all()
    assert not (GumbelNoise("another", 1.0)(nothing) == first).any()


@pytest.mark.parametrize(
    ("top_p", "temperature", "inside"),
    [
        (0.3, 1.0, [4]),  # by hand: softmax of the logits is 0.55, 0.2, 0.15, 0.07, 0.03
        (0.56, 1.0, [0, 4]),
        (0.75, 1.0, [0, 4]),
        (0.76, 1.0, [0, 2, 4]),
        (0.76, 0.25, [4]),  # there the likeliest has 0.98
        (0.999, 100.0, [0, 1, 2, 3, 4]),
    ],
)
def test_samples_come_from_the_nucleus(top_p, temperature, inside):
    given = mx.log(mx.array([0.2, 0.07, 0.15, 0.03, 0.55]))[None, None]
    drawn = {int(mx.argmax(GumbelNoise(f"{i}", temperature, top_p)(given)).item()) for i in range(400)}
    assert drawn == set(inside)


def test_the_nucleus_keeps_the_noise_of_the_tokens_inside():
    given = mx.log(mx.array([0.2, 0.07, 0.15, 0.03, 0.55]))[None, None]
    whole, some = GumbelNoise("key", 1.0)(given), GumbelNoise("key", 1.0, 0.7)(given)
    assert (whole[0, 0, [0, 4]] == some[0, 0, [0, 4]]).all()
    assert (some[0, 0, 1:4] < -1e8).all()


@pytest.mark.parametrize("top_p", [0.0, -0.1, 1.1, float("nan")])
def test_a_nucleus_of_nothing_is_refused(top_p):
    with pytest.raises(EditError, match="top_p is a share of the probability"):
        sampling_edits("key", 1.0, top_p)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_samples_nothing_is_refused(temperature):
    with pytest.raises(EditError, match="sampling needs a temperature above 0"):
        sampling_edits("key", temperature)


def test_published_scopes_word_for_word():
    assert DESCRIBE.prompt == (
        "Syria: Syria is a country in the Middle East, Leonardo DiCaprio: Leonardo DiCaprio is an American actor, "
        "Samsung: Samsung is a South Korean multinational corporation, x"
    )
    assert SCOPES["repeat"].prompt == "Syria: Syria, Leonardo DiCaprio: Leonardo DiCaprio, Samsung: Samsung, x"
    assert (DESCRIBE.tail, APPOSITION.tail) == ("", ":")


def test_the_placeholder_is_the_last_x():
    lm = tiny.lm("llama")
    tokens = lm.prompt("x is not x:").tokens
    own = states(lm, SOURCE)
    found = patchscope(lm, Scope("x is not x:"), {"one": own}, [0], max_tokens=3)["one"]
    assert found[2] == [[said(lm, tokens, 3, put(len(tokens) - 2, own[2], 0))]]
