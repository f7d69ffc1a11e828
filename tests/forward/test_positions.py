"""Positions mean the same tokens however they are written, in a batch, and with or without a cache."""

import mlx.core as mx
import numpy as np
import pytest
import tiny

from assay.errors import PositionError
from assay.forward.edits import add, zero
from assay.forward.positions import Prompt, Where, is_batch, resolve, text

SPOKEN = tiny.lm("llama").prompt("The Dallas of the state, Dallas is")
BARE = Prompt(tuple(range(10, 20)))


def words(prompt: Prompt, where: Where) -> str:
    """The text of the tokens at some positions."""
    return "".join(prompt.text[slice(*prompt.spans[t])] for t in where.prompt)


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (3, (3,)),
        (-1, (9,)),
        (-10, (0,)),
        ([7, 2, -1], (7, 2, 9)),
        (range(3), (0, 1, 2)),
        ((4, 5), (4, 5)),
        (np.int64(4), (4,)),
        (np.array([6, 1]), (6, 1)),
        (mx.array(4), (4,)),
        (mx.array([6, -1]), (6, 9)),
        ([np.int32(5)], (5,)),
    ],
)
def test_numbers_keep_their_order(position, expected):
    where = resolve(position, BARE)
    assert where == Where(expected)
    assert all(type(n) is int for n in where.prompt)


def test_words_for_many():
    every = tuple(range(10))
    assert resolve("all", BARE) == Where(every, generated=True)
    assert resolve("prompt", BARE) == Where(every)
    assert resolve("generated", BARE) == Where((), generated=True)


def test_a_text_is_its_last_token():
    last, whole = resolve(text("state"), SPOKEN), resolve(text("state", whole=True), SPOKEN)
    assert resolve("state", SPOKEN) == last
    assert last.prompt == whole.prompt[-1:]
    assert "state" in words(SPOKEN, whole)
    assert words(SPOKEN, whole).strip() == "state"


def test_occurrences_are_counted():
    first, second = (resolve(text("Dallas", occurrence=n, whole=True), SPOKEN) for n in (0, 1))
    assert words(SPOKEN, first).strip() == words(SPOKEN, second).strip() == "Dallas"
    assert max(first.prompt) < min(second.prompt)
    assert resolve(text("Dallas", occurrence=-1, whole=True), SPOKEN) == second


def test_a_text_may_cut_tokens():
    """Every token that overlaps it belongs to it."""
    where = resolve(text("alla", occurrence=0, whole=True), SPOKEN)
    assert "alla" in words(SPOKEN, where)
    assert all(
        a < SPOKEN.text.index("alla") + 4 and b > SPOKEN.text.index("alla")
        for a, b in [SPOKEN.spans[t] for t in where.prompt]
    )


def test_a_text_of_many_bytes_is_found():
    prompt = tiny.lm("llama").prompt("Zürich 東京 Ω")
    assert words(prompt, resolve(text("東京", whole=True), prompt)).strip().startswith("東")
    assert resolve("Ω", prompt) == Where((len(prompt) - 1,))


def test_bos_is_position_0_and_no_text():
    assert SPOKEN.spans[0] == (0, 0)
    assert resolve("The", SPOKEN).prompt != (0,)
    assert tiny.lm("llama").prompt("<|begin_of_text|>The").tokens[:2] == tiny.lm("llama").prompt("The").tokens[:2]


@pytest.mark.parametrize(
    ("position", "prompt", "message"),
    [
        (10, BARE, "position 10 is outside the prompt, which has 10 tokens"),
        (-11, BARE, "position -11 is outside"),
        ([2, 10], BARE, "position 10 is outside"),
        ([], BARE, "no position was given"),
        (range(0), BARE, "no position was given"),
        ([2, 2], BARE, "given twice"),
        ([9, -1], BARE, "given twice"),
        (2.0, BARE, "a position is a whole number"),
        (True, BARE, "a position is a whole number"),
        (None, BARE, "a position is a whole number"),
        (["Dallas"], BARE, "a position is a whole number"),
        ("Dallas", BARE, "given as token ids; give numbers"),
        ("", SPOKEN, "an empty text has no position"),
        ("Austin", SPOKEN, "'Austin' does not occur in the prompt"),
        ("Dallas", SPOKEN, r"'Dallas' occurs 2 times .* say which with text\('Dallas', occurrence=0\)"),
        (text("Dallas", occurrence=2), SPOKEN, "there is no occurrence 2"),
    ],
)
def test_what_cannot_be_found(position, prompt, message):
    with pytest.raises(PositionError, match=message):
        resolve(position, prompt)


@pytest.mark.parametrize(
    ("given", "several"),
    [
        ("text", False),
        ([1, 2], False),
        ([np.int64(1)], False),
        ([], False),
        (["a"], True),
        ([[1], [2]], True),
        (("a", "b"), True),
    ],
)
def test_a_list_of_ids_is_one_prompt(given, several):
    assert is_batch(given) == several


@pytest.mark.parametrize("position", ["all", "prompt", "generated", -1, "Dallas", [0, 3]])
@pytest.mark.parametrize("name", ["llama", "gemma3_text"])
def test_the_same_tokens_with_and_without_a_cache(name, position):
    """What is generated under an edit is what a full run over prompt and continuation gives, edited at the same tokens."""
    lm = tiny.lm(name)
    vector = mx.random.normal((64,), key=mx.random.key(3))
    prompt = lm.prompt(tiny.TEXT)
    made = lm.generate(prompt, edits=[add("resid_mid", vector, layer=1, position=position)], max_tokens=4).tokens
    where = resolve(position, prompt)
    for n in range(4):
        so_far = Prompt((*prompt.tokens, *made[:n]))
        touched = [*where.prompt, *(range(len(prompt), len(so_far)) if where.generated else [])]
        edits = [add("resid_mid", vector, layer=1, position=touched)] if touched else []
        assert made[n] == lm.run(so_far, edits=edits).logits.argmax().item()


def test_padding_is_not_edited():
    """In a batch, "all" ends where each prompt ends."""
    lm = tiny.lm("llama")
    run = lm.run([[10, 11], [12, 13, 14, 15]], keep="resid_post", edits=[zero("resid_post", layer=2, position="all")])
    assert (run["resid_post", 2][0, :2] == 0).all()
    assert (run["resid_post", 2][0, 2:] != 0).any()
