"""The places of two options, the states there, and the exchange of the direction between them, against plain mlx."""

import mlx.core as mx
import numpy as np
import pytest
import tiny
from byhand import stream
from plain import plain

from assay.data.opinions import opinions
from assay.errors import PositionError, PromptError
from assay.methods.sycophancy import named_option as method

ITEMS = opinions("train")[:4]


@pytest.fixture(scope="module", params=("llama", "gemma2", "qwen2"))
def lm(request, tmp_path_factory):
    return tiny.chat_lm(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def places(lm):
    return [method.option_ends(lm, item) for item in ITEMS]


def test_places_are_the_last_tokens_of_the_options(lm, places):
    for item, place in zip(ITEMS, places, strict=True):
        named, other = (item.a, item.b) if item.matches == "A" else (item.b, item.a)
        for at, option, letter in ((place.matching, named, item.matches), (place.other, other, None)):
            said = lm.decode(list(place.prompt.tokens[: at + 1])).rstrip()
            assert said.endswith(option)
            if letter:
                assert said.rpartition("(")[2].startswith(letter)
        assert (place.matching < place.other) == (item.matches == "A")
        said = [lm.decode([token]) for token in place.letters]
        assert [one.strip("( ") for one in said] == [item.matches, "B" if item.matches == "A" else "A"]


def test_another_text_with_the_same_options(lm):
    place = method.option_ends(lm, ITEMS[0], asked=ITEMS[0].neutral)
    assert ITEMS[0].view not in lm.decode(list(place.prompt.tokens))
    with pytest.raises(PositionError):
        method.option_ends(lm, ITEMS[0], asked="Which one?")


def test_states_by_hand(lm, places):
    found = method.named_contrasts(lm, places, [item.matches for item in ITEMS], list("wxyz"), batch=3)
    assert found.matching.shape == (4, 3, lm.width)
    assert (found.letters, found.topics) == (tuple(item.matches for item in ITEMS), tuple("wxyz"))
    for i, place in enumerate(places):
        for states, at in ((found.matching, place.matching), (found.other, place.other)):
            expected = np.array(mx.stack(stream(lm.model, place.prompt.tokens, at)).astype(mx.float32))
            np.testing.assert_allclose(states[i], expected, atol=2e-5 * np.abs(expected).max())
    with pytest.raises(PromptError, match="no prompts with options"):
        method.named_contrasts(lm, [], [], [])


def test_the_exchange_by_hand(lm, places):
    found = method.named_contrasts(lm, places, [item.matches for item in ITEMS], list("wxyz")).directions()
    direction, place = found.at(-1, 1), places[1]
    what = mx.array(direction.vector) * 1.5

    def change(site, layer, x):
        if (site, layer) != ("resid_post", 1):
            return x
        rows = [x[:, i] for i in range(x.shape[1])]
        rows[place.matching] = rows[place.matching] - what
        rows[place.other] = rows[place.other] + what
        return mx.stack(rows, axis=1)

    expected = plain(lm.model, place.prompt.tokens, change)[-1]
    logits = lm.run(place.prompt, edits=method.exchange_options(direction, place, 1.5)).logits[0]
    np.testing.assert_allclose(np.array(logits), np.array(expected.astype(mx.float32)), rtol=1e-2, atol=1e-3)
    clean = lm.run(place.prompt).logits[0]
    assert not np.allclose(np.array(logits), np.array(clean), atol=1e-3)
