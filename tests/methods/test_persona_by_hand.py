"""Responses, persona vectors and steering, against plain mlx, a token at a time, and small lists of numbers."""

import mlx.core as mx
import numpy as np
import pytest
import tiny
from byhand import said, stream
from plain import plain

from assay import methods
from assay.data.personas import trait
from assay.errors import EditError, PromptError
from assay.forward.positions import Prompt
from assay.methods.persona import persona_steering
from assay.methods.persona.persona_vectors import states_of_kind

QUESTIONS = ("Who built the castle?", "What is a cow?", "Do you agree with me?")


@pytest.fixture(scope="module", params=("llama", "gemma2", "qwen2"))
def lm(request, tmp_path_factory):
    return tiny.chat_lm(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def responses(lm):
    made = methods.respond(lm, [lm.chat(one) for one in QUESTIONS], max_tokens=5, batch=2)
    assert all(len(one.tokens) > 1 for one in made)
    return made


@pytest.fixture(scope="module")
def vectors(lm, responses):
    states = [methods.response_states(lm, some, batch=1) for some in (responses[:1], responses[1:])]
    return methods.persona_vectors(*states), states


def states_by_hand(lm, one):
    """What leaves each layer at the prompt's last token and at each token of the response: [L, 1 + tokens, E]."""
    whole = [*one.prompt.tokens, *one.tokens]
    at = range(len(one.prompt) - 1, len(whole))
    return np.stack([np.array(mx.stack(stream(lm.model, whole, i)).astype(mx.float32), np.float64) for i in at], axis=1)


def test_responses_by_hand(lm, responses):
    for one in responses:
        assert one.text == said(lm, one.prompt.tokens, 5)


def test_states_by_hand(lm, responses):
    found = methods.response_states(lm, responses, batch=2)
    for i, one in enumerate(responses):
        states = states_by_hand(lm, one)
        limit = 2e-5 * np.abs(states).max()
        np.testing.assert_allclose(found.response[i], states[:, 1:].mean(axis=1), atol=limit)
        np.testing.assert_allclose(found.prompt_last[i], states[:, 0], atol=limit)
        norms = np.linalg.norm(states, axis=-1)
        np.testing.assert_allclose(found.response_norms[i], norms[:, 1:].mean(axis=1), rtol=1e-4)
        np.testing.assert_allclose(found.prompt_last_norms[i], norms[:, 0], rtol=1e-4)


def test_layers_count_from_0_behind_the_first_block(lm, responses):
    """No off-by-one of `hidden_states`: layer 0 is not the embeddings, and the last layer is there."""
    one = responses[0]
    found = methods.response_states(lm, [one])
    embedded = {}
    plain(lm.model, [*one.prompt.tokens], lambda site, i, x: embedded.setdefault((site, i), x))
    first = np.array(embedded["resid_pre", 0][0, -1].astype(mx.float32))
    assert found.prompt_last.shape[1] == lm.n_layers
    assert not np.allclose(found.prompt_last[0, 0], first, atol=1e-3)
    last = np.array(embedded["resid_post", lm.n_layers - 1][0, -1].astype(mx.float32))
    np.testing.assert_allclose(found.prompt_last[0, -1], last, atol=2e-5 * np.abs(last).max())


@pytest.mark.parametrize("kind", methods.PERSONA_KINDS)
def test_vectors_by_hand(lm, responses, vectors, kind):
    at = slice(1, None) if kind == "response" else slice(0, 1)
    means = [states_by_hand(lm, one)[:, at].mean(axis=1) for one in responses]
    found, expected = vectors[0][kind], means[0] - (means[1] + means[2]) / 2
    np.testing.assert_allclose(found.vectors[-1], expected, atol=4e-5 * np.abs(np.array(means)).max())
    assert found.site == "resid_post"


@pytest.mark.parametrize("kind", methods.PERSONA_KINDS)
def test_shuffled_labels_are_orthogonal_and_of_the_same_states(vectors, kind):
    found, states = vectors
    drawn = methods.shuffled_labels(*states, kind, np.random.default_rng(4))
    own = found[kind].vectors.astype(np.float64)
    cosines = (drawn * own).sum(-1) / np.maximum(np.linalg.norm(drawn, axis=-1) * np.linalg.norm(own, axis=-1), 1e-9)
    assert np.abs(cosines).max() < 1e-4
    every = np.concatenate([states_of_kind(some, kind)[0] for some in states]).astype(np.float64)
    spanned = np.linalg.lstsq(every[:, 1].T, drawn[0, 1], rcond=None)[0]
    np.testing.assert_allclose(every[:, 1].T @ spanned, drawn[0, 1], atol=1e-3 * np.abs(every).max())


@pytest.mark.parametrize("positions", ["response", "all"])
@pytest.mark.parametrize("amount", [{"strength": 1.5}, {"strength": -0.8}, {"times": 3.0}])
def test_steering_by_hand(lm, vectors, positions, amount):
    """At the prompt's last token and all later ones, or everywhere, behind the layer; every new token in one full forward."""
    direction = vectors[0]["response"].at(-1, 1)
    prompt = lm.chat(QUESTIONS[0])
    length = np.linalg.norm(direction.vector.astype(np.float64))
    scale = amount["times"] if "times" in amount else amount["strength"] * direction.stream_norm / length
    what = mx.array((scale * direction.vector).astype(np.float32))

    def change(site, i, x):
        if (site, i) != ("resid_post", 1):
            return x
        start = len(prompt) - 1 if positions == "response" else 0
        return mx.concatenate([x[:, :start], x[:, start:] + what], axis=1)

    edits = methods.persona_edits(direction, **amount, positions=positions)
    [made] = methods.respond(lm, [prompt], edits=edits, max_tokens=5)
    assert made.text == said(lm, prompt.tokens, 5, change)


def test_steering_needs_one_amount(vectors):
    direction = vectors[0]["response"].at(-1, 1)
    for amount in ({}, {"strength": 1.0, "times": 1.0}):
        with pytest.raises(EditError, match="say how much"):
            methods.persona_edits(direction, **amount)
    with pytest.raises(EditError, match="unknown positions"):
        methods.persona_edits(direction, 1.0, positions="prompt")


def test_loss_by_hand(lm, responses):
    found = methods.response_loss(lm, [*responses, methods.Response(responses[0].prompt, (), "")])
    assert np.isinf(found[-1])
    for value, one in zip(found, responses, strict=False):
        whole = [*one.prompt.tokens, *one.tokens]
        logits = np.array(plain(lm.model, whole).astype(mx.float32), np.float64)[len(one.prompt) - 1 : -1]
        logs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        assert value == pytest.approx(-logs[np.arange(len(one.tokens)), list(one.tokens)].mean(), rel=1e-3, abs=1e-4)


def test_repeated_pieces():
    made = [methods.Response(Prompt((1,)), tokens, "") for tokens in ((1, 2, 3, 4), (1, 1, 1, 1, 1), (1, 2))]
    assert [one.repeated for one in made] == [0.0, pytest.approx(2 / 3), 0.0]


def test_empty_responses_have_no_states(lm):
    with pytest.raises(PromptError, match="each with a token or more"):
        methods.response_states(lm, [methods.Response(lm.chat("Hello"), (), "")])


def test_samples_repeat_with_their_seed(lm):
    prompts = [lm.chat(one) for one in QUESTIONS]
    draws = [methods.respond(lm, prompts, max_tokens=6, temperature=2.0, seed=seed) for seed in (1, 1, 2)]
    assert [one.tokens for one in draws[0]] == [one.tokens for one in draws[1]]
    assert [one.tokens for one in draws[0]] != [one.tokens for one in draws[2]]


def test_self_scores_by_hand(lm):
    one = trait("hallucinating")
    asked = [(QUESTIONS[0], "A duke built it."), (QUESTIONS[1], "I do not know.")]
    found = methods.self_scores(lm, one, asked)
    for value, (question, answer) in zip(found, asked, strict=True):
        prompt, (yes, no) = methods.where_answers_part(lm, one.judged(question, answer), ("Yes", "No"))
        a, b = np.array(lm.model(mx.array([prompt.tokens]))[0, -1].astype(mx.float32), np.float64)[[yes, no]]
        assert value == pytest.approx(1 / (1 + np.exp(b - a)), rel=1e-3)


def test_kept_pairs():
    found = methods.kept_pairs([1, 1, 0, 1, 0.5], [0, 1, 0, 0, 0.2], [True, True, True, False, True])
    assert found.tolist() == [0, 4]


def test_every_candidate_chooses_its_own_place(vectors, monkeypatch):
    """One acts at layer 1, at strength 2 more than at 1 and at 3; the other nowhere, so it is at its strongest."""
    own = vectors[0]["response"]
    other = own.replaced(np.random.default_rng(0).standard_normal(own.vectors.shape))
    direction, asked = own.at(-1, 1), [methods.Asked(Prompt((1,)), (name,), bool) for name in "abc"]
    acts = {"a": (1.0, 2.0, 3.0), "b": (2.0, 3.0), "c": (2.0,)}  # by prompt

    def changes(lm, one, variants, wanted, max_tokens):
        some = [methods.persona_edits(direction, s if wanted else -s)[0].value for s in acts[one.about[0]]]
        return np.array([any(np.array_equal(edits[0].value, value) for value in some) for edits in variants])

    monkeypatch.setattr(persona_steering, "changes_response", changes)
    options = {"layers": (0, 1), "strengths": (1.0, 2.0, 3.0), "max_tokens": 1}
    first, second = methods.choose_places(None, [own, other], asked, asked[:2], **options)
    assert (first.layer, first.strength) == (1, 2.0)
    assert first.raised.tolist() == [0, pytest.approx(1 / 3)]
    assert first.lowered.tolist() == [0, 0.5]
    assert (second.layer, second.strength) == (0, 3.0)
    with pytest.raises(PromptError, match="needs a vector and a prompt"):
        methods.choose_places(None, [own], [], [], **options)
