"""Vectors of behaviours, their lengths, additions and controls, against plain mlx."""

from dataclasses import dataclass, replace

import mlx.core as mx
import numpy as np
import pytest
import tiny
from byhand import said, stream
from plain import plain

from assay.data.behaviours import questions
from assay.errors import EditError, PromptError
from assay.methods.direction_controls import random_control
from assay.methods.preferences import where_answers_part
from assay.methods.sycophancy import contrastive as method

ITEMS, OTHERS = (tuple(questions(name, "train")[i] for i in (1, 3, 6, 7)) for name in ("survival", "myopic_reward"))
ASKED = tuple(questions("survival", "test")[i] for i in (0, 4, 6))


@pytest.fixture(scope="module", params=("llama", "gemma2", "qwen2"))
def lm(request, tmp_path_factory):
    return tiny.chat_lm(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def vectors(lm):
    return method.behaviour_vectors(lm, ITEMS, batch=3)


def at_the_letter(lm, item, letter):
    """What leaves each layer at the letter, of the prompt with the whole answer "(A)": [L, E]."""
    tokens = lm.chat(item.prompt, answer=f"({letter})").tokens
    at = max(i for i in range(len(tokens)) if letter in lm.decode(list(tokens[i:])))
    return np.array(mx.stack(stream(lm.model, tokens, at)).astype(mx.float32), np.float64)


def by_hand(lm, items):
    """Matching less other at the letter, for each question: [N, L, E]."""
    other = {"A": "B", "B": "A"}
    return np.array([at_the_letter(lm, one, one.matches) - at_the_letter(lm, one, other[one.matches]) for one in items])


def test_vectors_by_hand(lm, vectors):
    assert [item.matches for item in ITEMS] == ["A", "B", "A", "B"]
    expected = by_hand(lm, ITEMS).mean(axis=0)
    assert vectors.vectors.shape == (1, *expected.shape)
    assert vectors.vectors.dtype == np.float32
    np.testing.assert_allclose(vectors.vectors[-1], expected, atol=2e-5 * np.abs(expected).max())
    lengths = [
        np.linalg.norm([at_the_letter(lm, one, letter) for one in ITEMS for letter in "AB"], axis=-1).mean(axis=0)
    ]
    np.testing.assert_allclose(vectors.stream_norms, lengths, rtol=1e-4)


def test_a_completion_ends_in_its_letter(lm):
    matching, other = method.letter_completions(lm, ITEMS)
    for item, one, two in zip(ITEMS, matching, other, strict=True):
        letters = [item.matches, "B" if item.matches == "A" else "A"]
        for letter, prompt in zip(letters, (one, two), strict=True):
            whole = lm.chat(item.prompt, answer=f"({letter})").tokens
            assert whole[: len(prompt)] == prompt.tokens
            assert lm.decode(list(prompt.tokens)).endswith(letter)
        assert one.tokens[:-1] == two.tokens[:-1]


def test_states_are_those_of_the_vectors(lm, vectors):
    matching, other = method.letter_states(lm, ITEMS, batch=4)
    assert matching.shape == other.shape == (4, 3, 64)
    np.testing.assert_allclose(matching - other, by_hand(lm, ITEMS), atol=1e-4 * np.abs(matching).max())
    np.testing.assert_allclose((matching - other).mean(axis=0), vectors.vectors[-1], atol=1e-5 * np.abs(matching).max())


def test_preference_of_the_matching_letter_by_hand(lm):
    found = method.letter_preference(lm, ASKED, batch=2)
    for one, item in zip(found, ASKED, strict=True):
        prompt, letters = where_answers_part(lm, item.prompt, ("(A)", "(B)"))
        a, b = np.exp(
            np.array(lm.model(mx.array([prompt.tokens]))[0, -1].astype(mx.float32), np.float64)[list(letters)]
        )
        assert one == pytest.approx((a if item.matches == "A" else b) / (a + b), rel=1e-4)
    assert [item.matches for item in ASKED] == ["A", "B", "B"]
    turned = [Turned(item.prompt, "B" if item.matches == "A" else "A") for item in ASKED]
    assert method.letter_preference(lm, turned) + found == pytest.approx(1)


@dataclass(frozen=True)
class Turned:
    prompt: str
    matches: str


@pytest.mark.parametrize("position", [-1, "all"])
@pytest.mark.parametrize("strength", [0.7, -1.5])
def test_addition_by_hand(lm, vectors, position, strength):
    """As many lengths of the stream, at the token from which the letter is predicted, or everywhere."""
    direction = vectors.at(-1, 1)
    found = method.letter_preference(lm, ASKED, [method.strength_addition(direction, strength, position=position)])
    norm = np.linalg.norm(direction.vector.astype(np.float64))
    what = mx.array((direction.vector / norm * strength * vectors.stream_norms[-1, 1]).astype(np.float32))

    def change(site, i, x):
        if (site, i) != ("resid_post", 1):
            return x
        return x + what if position == "all" else mx.concatenate([x[:, :-1], x[:, -1:] + what], axis=1)

    for one, item in zip(found, ASKED, strict=True):
        prompt, letters = where_answers_part(lm, item.prompt, ("(A)", "(B)"))
        logits = plain(lm.model, prompt.tokens, change)[-1].astype(mx.float32)
        a, b = np.exp(np.array(logits, np.float64)[list(letters)])
        assert one == pytest.approx((a if item.matches == "A" else b) / (a + b), rel=2e-3, abs=1e-6)
    assert not np.allclose(found, method.letter_preference(lm, ASKED), atol=1e-4)


def test_on_generated_tokens_only_by_hand(lm, vectors):
    """The paper's position in a text: the prompt and so the first token are as they were, all later ones are steered."""
    direction = vectors.at(-1, 1)
    prompt = lm.chat(ASKED[0].open_ended)
    edit = method.strength_addition(direction, 3.0, position="generated")

    def change(site, i, x):
        if (site, i) != ("resid_post", 1):
            return x
        what = mx.array(direction.unit * 3.0 * direction.stream_norm)
        return mx.concatenate([x[:, : len(prompt)], x[:, len(prompt) :] + what], axis=1)

    text = lm.generate(prompt, edits=[edit], max_tokens=5).text
    assert text == said(lm, prompt.tokens, 5, change)
    clean, everywhere = (
        lm.generate(prompt, edits=edits, max_tokens=5).text
        for edits in ([], [method.strength_addition(direction, 3.0, position="all")])
    )
    assert len({text, clean, everywhere}) == 3
    with pytest.raises(EditError, match="selects generated positions only"):
        method.letter_preference(lm, ASKED, [edit])


def test_a_sweep_gives_the_same_preferences(lm, vectors):
    edits = [
        method.strength_addition(vectors.at(-1, layer), strength, position=position)
        for layer in range(3)
        for strength in (-1.0, 1.0)
        for position in (-1, "all")
    ]
    found = method.swept_letter_preference(lm, ASKED, [[], *[[edit] for edit in edits]])
    one_by_one = [method.letter_preference(lm, ASKED, some) for some in ([], *[[edit] for edit in edits])]
    assert found.shape == (3, 13)
    np.testing.assert_allclose(found.T, one_by_one, rtol=1e-3, atol=1e-6)
    with pytest.raises(PromptError, match="nothing to choose"):
        method.swept_letter_preference(lm, [], [[]])


def test_strengths(lm, vectors):
    direction = vectors.at(-1, 2)
    as_it_is = method.strength_addition(direction, direction.strength)
    np.testing.assert_allclose(np.array(as_it_is.value), direction.vector, rtol=1e-4)
    clean, none = (
        method.letter_preference(lm, ASKED, edits) for edits in ([], [method.strength_addition(direction, 0)])
    )
    assert (clean == none).all()
    with pytest.raises(EditError, match="layer 2 has length 0"):
        method.strength_addition(replace(direction, vector=np.zeros(64, np.float32)), 1.0)


def test_equalised_by_hand(lm, vectors):
    longer = replace(vectors, vectors=vectors.vectors[..., ::-1] * 3)
    found = method.equalised({"one": vectors, "two": longer})
    for layer in range(3):
        mean = (np.linalg.norm(vectors.vectors[0, layer]) + np.linalg.norm(longer.vectors[0, layer])) / 2
        for own, now in ((vectors, found["one"]), (longer, found["two"])):
            before, after = own.vectors[0, layer], now.vectors[0, layer]
            assert np.linalg.norm(after) == pytest.approx(mean, rel=1e-5)
            assert after @ before / np.linalg.norm(after) / np.linalg.norm(before) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(found["one"].stream_norms, vectors.stream_norms)
    [alone] = method.equalised({"one": vectors}).values()
    np.testing.assert_allclose(alone.vectors, vectors.vectors, rtol=1e-5)
    empty = replace(vectors, vectors=np.zeros_like(vectors.vectors))
    assert not method.equalised({"one": vectors, "empty": empty})["empty"].vectors.any()
    with pytest.raises(PromptError, match="no behaviours"):
        method.equalised({})


def test_controls_have_the_length_of_the_vector(lm, vectors):
    rng = np.random.default_rng(0)
    direction = vectors.at(-1, 1)
    another = method.behaviour_vectors(lm, OTHERS)
    shuffled = method.shuffled_vectors(ITEMS, *method.letter_states(lm, ITEMS), rng)
    controls = [
        random_control(direction, rng),
        vectors.replaced(shuffled).at(-1, 1),
        direction.like(another.at(-1, 1).vector),
    ]
    for control in controls:
        assert control.norm == pytest.approx(direction.norm, rel=1e-5)
        assert control.strength == pytest.approx(direction.strength, rel=1e-5)
        assert (control.layer, control.site) == (1, "resid_post")
    assert abs(controls[0].unit @ direction.unit) < 0.9
    assert abs(controls[2].unit @ direction.unit) < 0.999


def test_shuffled_vectors_by_hand():
    """Of four questions, two that match by A: the six ways to deal the letters, each as often as any other."""
    items = [Turned("", letter) for letter in "AABB"]
    matching, other = np.random.default_rng(1).standard_normal((2, 4, 2, 3))
    towards_a = np.array([1, 1, -1, -1])[:, None, None] * (matching - other)
    deals = [
        np.where([letter == "A" for letter in dealt], 1, -1)
        for dealt in ("AABB", "ABAB", "ABBA", "BAAB", "BABA", "BBAA")
    ]
    possible = [(sign[:, None, None] * towards_a).mean(axis=0) for sign in deals]
    rng = np.random.default_rng(0)
    drawn = [method.shuffled_vectors(items, matching, other, rng) for _ in range(600)]
    assert drawn[0].shape == (1, 2, 3)
    which = [[np.allclose(one[0], vector) for vector in possible].index(True) for one in drawn]
    assert min(np.bincount(which, minlength=6)) > 60
    letter_alone = np.broadcast_to(np.array([1, 1, -1, -1])[:, None, None], (4, 2, 3))
    assert np.allclose(method.shuffled_vectors(items, letter_alone, np.zeros((4, 2, 3)), rng), 0)


def test_questions_that_match_by_one_letter_only(lm):
    some = [item for item in ITEMS if item.matches == "A"]
    with pytest.raises(PromptError, match=r"\(A\) is the matching letter of all"):
        method.behaviour_vectors(lm, some)
    with pytest.raises(PromptError, match="set of questions is empty"):
        method.behaviour_vectors(lm, [])
    with pytest.raises(PromptError, match="nothing to choose"):
        method.letter_preference(lm, [])


def test_a_system_prompt_is_in_vectors_and_preferences(lm):
    if lm.name == "gemma2":
        with pytest.raises(PromptError):
            method.letter_preference(lm, ASKED, system="You are brave.")
        return
    prompts = method.letter_completions(lm, ITEMS, system="You are brave.")
    assert all("You are brave." in lm.decode(list(prompt.tokens)) for side in prompts for prompt in side)
    with_it, without = (method.letter_preference(lm, ASKED, system=system) for system in ("You are brave.", False))
    assert not np.allclose(with_it, without, atol=1e-5)
    brave = method.behaviour_vectors(lm, ITEMS, system="You are brave.").vectors
    assert not np.allclose(brave, method.behaviour_vectors(lm, ITEMS, system=False).vectors, atol=1e-5)
