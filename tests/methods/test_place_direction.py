"""The direction at a place of a prompt, its additions and its choice of a layer, against plain mlx."""

import mlx.core as mx
import numpy as np
import pytest
import tiny
from byhand import said, stream
from plain import plain

from assay.data.knowledge import entities
from assay.errors import PositionError, PromptError
from assay.methods.confidence import place_direction as method
from assay.methods.directions import difference_in_means

FAMILIES = ("llama", "gemma2", "qwen2")


@pytest.fixture(scope="module", params=FAMILIES)
def lm(request, tmp_path_factory):
    return tiny.chat_lm(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def kinds(lm):
    """Three made-up and four known names."""
    some = entities("train")
    made_up, known = ([item for item in some if item.known == kind] for kind in (False, True))
    return [method.place_at_end_of(lm, item.question, item.name) for item in made_up[:3]], [
        method.place_at_end_of(lm, item.question, item.name) for item in known[:4]
    ]


@pytest.fixture(scope="module")
def candidates(lm, kinds):
    ends = ([one.until_there for one in some] for some in kinds)
    return difference_in_means(lm, *ends, n_positions=1, site="resid_post")


def by_hand(lm, prompt, direction, at, times):
    """A `change` of `plain` that adds a direction to what leaves its layer at one position."""

    def change(site, i, x):
        if (site, i) != ("resid_post", direction.layer):
            return x
        added = x[:, at : at + 1] + times * mx.array(direction.vector)
        return mx.concatenate([x[:, :at], added.astype(x.dtype), x[:, at + 1 :]], axis=1)

    return change


def test_a_place_is_the_last_token_of_its_fragment(lm):
    for item in entities("train")[:6]:
        one = method.place_at_end_of(lm, item.question, item.name)
        assert lm.decode(list(one.until_there.tokens)).endswith(item.name)
        assert one.until_there.tokens == one.prompt.tokens[: one.at + 1]
    with pytest.raises(PositionError, match="Oslo"):
        method.place_at_end_of(lm, "Where is Kyoto?", "Oslo")


def test_states_are_those_of_the_whole_question(lm, kinds):
    names = kinds[1]
    found = method.states_at_places(lm, names)
    for one, rows in zip(names, found, strict=True):
        whole = np.array(mx.stack(stream(lm.model, one.prompt.tokens, one.at)).astype(mx.float32))
        # Shorter rows of a batch are padded, and sums over keys come in other lengths: not bitwise.
        np.testing.assert_allclose(rows, whole, atol=1e-5 * np.abs(whole).max())


def test_adding_is_adding_at_the_place(lm, kinds, candidates):
    one, direction = kinds[1][0], candidates.at(-1, 1)
    for times in (1.0, -2.0):
        change = by_hand(lm, one.prompt, direction, one.at, times)
        run = lm.run(one.prompt, edits=[one.adding(direction, times)])
        assert tiny.agree(run.logits[0], plain(lm.model, one.prompt.tokens, change)[-1].astype(mx.float32))
        text = lm.generate(one.prompt, edits=[one.adding(direction, times)], max_tokens=4).text
        assert text == said(lm, one.prompt.tokens, 4, change)


def test_the_acting_layer_is_that_of_the_naive_loop(lm, kinds, candidates):
    names = kinds[1][:3]
    for token in (5, 40):
        rises = np.zeros(candidates.vectors.shape[1])
        for one in names:
            for layer in range(len(rises)):
                change = by_hand(lm, one.prompt, candidates.at(-1, layer), one.at, 1.0)
                logits = plain(lm.model, one.prompt.tokens, change)[-1].astype(mx.float32)
                rises[layer] += (logits[token] - mx.logsumexp(logits)).item()
        assert method.acting_layer(lm, candidates, names, token) == int(rises.argmax())
    with pytest.raises(PromptError, match="needs a direction and a prompt"):
        method.acting_layer(lm, candidates, [], 5)


def test_separation_is_that_of_each_layer_alone():
    rng = np.random.default_rng(0)
    apart = rng.standard_normal((2, 6, 3, 4))  # kinds, names, layers, width
    apart[0, :, 1, 2] += 9.0
    directions = np.zeros((3, 4))
    directions[1, 2] = 2.0
    directions[2, 0] = 1.0
    assert method.separating_layer(directions, *apart) == 1
    no_direction, along, across = method.auroc_by_layer(directions, *apart)
    assert (no_direction, along) == (0.5, 1.0)
    assert across == np.mean(apart[0, :, 2, 0][:, None] > apart[1, :, 2, 0])
