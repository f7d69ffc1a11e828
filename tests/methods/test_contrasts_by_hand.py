"""Contrasts, their balanced vectors, and the layer chosen by cross-validation, against plain numpy and mlx."""

import mlx.core as mx
import numpy as np
import pytest
import tiny
from plain import plain

from assay.data.behaviours import questions
from assay.errors import PromptError
from assay.methods.preferences import where_answers_part
from assay.methods.sycophancy import contrasts as method
from assay.methods.sycophancy.contrastive import behaviour_vectors, letter_states

ITEMS = tuple(questions("survival", "train")[i] for i in (0, 1, 3, 6, 7, 10))
TOPICS = tuple("xyxyyx")  # both letters in each half


@pytest.fixture(scope="module", params=("llama", "gemma2"))
def lm(request, tmp_path_factory):
    return tiny.chat_lm(request.param, tmp_path_factory.mktemp(request.param))


def drawn(letters, seed=0):
    matching, other = np.random.default_rng(seed).standard_normal((2, len(letters), 3, 8)).astype(np.float32)
    return method.Contrasts(matching, other, tuple(letters), tuple(f"topic {i}" for i in range(len(letters))))


def test_vectors_by_hand():
    some = drawn("AABABB")
    apart = some.matching.astype(np.float64) - some.other
    a, b = apart[[0, 1, 3]].mean(axis=0), apart[[2, 4, 5]].mean(axis=0)
    np.testing.assert_allclose(some.vectors(), (a + b) / 2)
    keep = np.array([True, False, True, True, False, False])
    np.testing.assert_allclose(some.vectors(keep), (apart[[0, 3]].mean(axis=0) + apart[2]) / 2)


def test_letters_cancel_however_many_match_by_one_of_them():
    letters = "AAAAB"
    towards_a = np.ones((5, 3, 8), np.float32) * np.where(np.array(list(letters)) == "A", 1, -1)[:, None, None]
    some = method.Contrasts(towards_a, np.zeros_like(towards_a), tuple(letters), tuple("vwxyz"))
    np.testing.assert_allclose(some.vectors(), 0)
    with pytest.raises(PromptError, match="4 questions match by A"):
        some.vectors(np.array([True] * 4 + [False]))
    with pytest.raises(PromptError, match="0 questions match by no letter"):
        some.vectors(np.zeros(5, bool))


def test_shuffled_states_are_those_of_the_same_questions():
    some = drawn("AABABBAB")
    shuffled = some.shuffled(np.random.default_rng(3))
    assert sorted(shuffled.letters) == sorted(some.letters)
    assert shuffled.letters != some.letters
    for i, (now, before) in enumerate(zip(shuffled.letters, some.letters, strict=True)):
        pair = (some.matching[i], some.other[i]) if now == before else (some.other[i], some.matching[i])
        np.testing.assert_array_equal((shuffled.matching[i], shuffled.other[i]), pair)


def test_letters_are_permuted_within_labels():
    some, fold = drawn("AABBABAB"), np.array([0, 1, 0, 1, 0, 1, 0, 1])
    dealt = [some.shuffled(np.random.default_rng(seed), fold).letters for seed in range(20)]
    letters, every = np.array(some.letters), np.array(dealt)
    for label in (0, 1):
        assert {tuple(sorted(one)) for one in every[:, fold == label]} == {tuple(sorted(letters[fold == label]))}
    assert len(set(dealt)) > 5  # of 18


def test_shuffled_vectors_are_as_long_and_orthogonal_in_each_layer():
    some, keep = drawn("ABABABAB"), np.arange(8) != 3
    for those in (None, keep):
        own, control = some.directions(those), some.of_shuffled(np.random.default_rng(0)).found(those)
        np.testing.assert_allclose(control.norms, own.norms, rtol=1e-5)
        units = [one.vectors[-1] / one.norms[-1][:, None] for one in (own, control)]
        np.testing.assert_allclose((units[0] * units[1]).sum(axis=-1), 0, atol=1e-5)
        dealt = some.shuffled(np.random.default_rng(0)).vectors(those)[1]
        rest = dealt - (dealt @ units[0][1]) * units[0][1]
        np.testing.assert_allclose(units[1][1], rest / np.linalg.norm(rest), atol=1e-5)
    assert some.of_shuffled(np.random.default_rng(0)).letters == some.shuffled(np.random.default_rng(0)).letters


def test_a_random_vector_is_as_long_and_the_same_in_each_fold():
    some, keep = drawn("ABABABAB"), np.arange(8) != 3
    series = some.at_random(np.random.default_rng(0))
    drawn_vectors = np.random.default_rng(0).standard_normal((3, 8))
    for those in (None, keep):
        found, own = series.found(those), some.directions(those)
        np.testing.assert_allclose(found.norms, own.norms, rtol=1e-5)
        np.testing.assert_allclose(
            found.vectors[-1] / found.norms[-1][:, None],
            drawn_vectors / np.linalg.norm(drawn_vectors, axis=1, keepdims=True),
            atol=1e-5,
        )
    assert series.letters == some.letters


def test_directions_have_the_mean_length_of_both_states():
    some = drawn("ABAB")
    found = some.directions()
    lengths = np.linalg.norm(np.concatenate([some.matching, some.other]), axis=-1).mean(axis=0)
    np.testing.assert_allclose(found.stream_norms[-1], lengths, rtol=1e-5)
    np.testing.assert_allclose(found.vectors[-1], some.vectors(), atol=1e-6)
    assert (found.site, found.positions) == ("resid_post", (-1,))


def test_contrasts_of_letters_are_the_states_of_completions(lm):
    found = method.letter_contrasts(lm, ITEMS, TOPICS, batch=4)
    matching, other = letter_states(lm, ITEMS, batch=4)
    np.testing.assert_array_equal(found.matching, matching)
    np.testing.assert_array_equal(found.other, other)
    balanced = np.array([found.letters.index("A"), found.letters.index("B")])
    two = [ITEMS[i] for i in balanced]
    keep = np.isin(np.arange(len(ITEMS)), balanced)
    scale = np.abs(matching).max()
    np.testing.assert_allclose(found.vectors(keep), behaviour_vectors(lm, two).vectors[-1], atol=1e-4 * scale)


def test_probability_of_the_letters_by_hand(lm):
    mass, by_a = method.letters_answered(lm, ITEMS, batch=4)
    for i, item in enumerate(ITEMS):
        prompt, (a, b) = where_answers_part(lm, item.prompt, ("(A)", "(B)"))
        logits = np.array(lm.model(mx.array([prompt.tokens]))[0, -1].astype(mx.float32), np.float64)
        p = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        begins = [token for token in range(len(p)) if p[token] >= 1e-4 and lm.decode([token]).strip().startswith("(")]
        joined = lm.decode([a]).strip() == "(A"
        among = sum(p[token] for token in {a, b, *begins}) if joined else 1.0
        assert mass[i] == pytest.approx((p[a] + p[b]) / among, rel=1e-3)
        assert by_a[i] == (p[a] > p[b])


def test_folds_keep_topics_together():
    folds = method.topic_folds(["x", "y", "x", "z", "y", "w"], 2)
    assert folds.tolist() == [0, 1, 0, 0, 1, 1]
    for n in (1, 5):
        with pytest.raises(PromptError, match="4 topics make 2 to 4 folds"):
            method.topic_folds(["x", "y", "z", "w"], n)


def test_the_choice_by_hand(lm):
    """Each question under the vectors of the other fold, added and subtracted by hand before the letter, for three series."""
    found = method.letter_contrasts(lm, ITEMS, TOPICS)
    fold, rng = method.topic_folds(TOPICS, 2), np.random.default_rng(5)
    strengths, layers = (0.5, 2.0), (0, 2)
    series = [found.own(), found.at_random(rng), found.of_shuffled(rng, fold)]
    assert series[2].letters != found.letters
    choices = method.cross_validated(lm, ITEMS, series, fold, strengths, layers=layers)
    for one, choice in zip(series, choices, strict=True):
        mean = by_hand(lm, one, fold, strengths, layers)
        np.testing.assert_allclose(choice.effects[:, list(layers)], mean, atol=2e-3)
        assert np.isnan(choice.effects[:, 1]).all()
        s, k = np.unravel_index(np.abs(mean).argmax(), mean.shape)
        assert (choice.strength, choice.layer, choice.sign) == (strengths[s], layers[k], int(np.sign(mean[s, k])))
        np.testing.assert_array_equal(choice.direction.vector, one.found(None).at(-1, choice.layer).vector)


def by_hand(lm, series, fold, strengths, layers):
    """The mean effect at each strength in each layer, on the letters of the series."""
    effects = np.zeros((len(ITEMS), len(strengths), len(layers)))
    for i, item in enumerate(ITEMS):
        others = series.found(fold != fold[i])
        prompt, (a, b) = where_answers_part(lm, item.prompt, ("(A)", "(B)"))
        for s, strength in enumerate(strengths):
            for k, layer in enumerate(layers):
                vector, length = others.vectors[-1, layer], others.stream_norms[-1, layer]
                what = mx.array(vector / np.linalg.norm(vector) * strength * length, mx.float32)
                p = []
                for sign in (1, -1):

                    def change(site, at, x, sign=sign, layer=layer, what=what):
                        if (site, at) != ("resid_post", layer):
                            return x
                        return mx.concatenate([x[:, :-1], x[:, -1:] + sign * what], axis=1)

                    logits = np.array(plain(lm.model, prompt.tokens, change)[-1].astype(mx.float32), np.float64)
                    of_a = 1 / (1 + np.exp(logits[b] - logits[a]))
                    p.append(of_a if series.letters[i] == "A" else 1 - of_a)
                effects[i, s, k] = p[0] - p[1]
    return effects.mean(axis=0)


def test_an_addition_has_the_chosen_strength_and_sign():
    direction = drawn("ABAB").directions().at(-1, 1)
    choice = method.LayerChoice(direction, np.zeros((1, 3)), strength=0.5, sign=-1)
    edit = choice.addition(2.0, position="all")
    assert (choice.layer, edit.position) == (1, "all")
    np.testing.assert_allclose(np.array(edit.value), -direction.unit * direction.stream_norm, rtol=1e-4)
