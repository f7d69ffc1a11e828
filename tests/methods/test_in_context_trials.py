"""Trials: which queries can be asked, what counts as right, and the score against mlx-lm's own logits."""

import math
from dataclasses import replace

import kinds
import mlx.core as mx
import numpy as np
import pytest
import wordy
from plain import plain
from wordy import OTHER, TOY, added

from assay.data.in_context import Template, build
from assay.data.tasks import Task
from assay.errors import DataError, PromptError
from assay.forward.edits import add
from assay.methods.function_vectors.in_context import (
    answer_log_probs,
    answer_trials,
    begins_with_word,
    draw_trials,
    make_trial,
    query_halves,
    usable_queries,
    writes_answers,
)

LM = wordy.lm("gemma2")


def test_answers_that_begin_like_their_input_cannot_be_asked():
    copying = Task("copying", (("ka", "KA"), ("pa", "pa"), ("sa", "sa'a")), ("test",) * 3)
    assert usable_queries(LM, copying, "test") == ((("ka", "KA"),), 2)
    assert usable_queries(LM, copying, "test", copies=True)[1] == 0


def test_answers_that_begin_like_those_of_another_task_cannot_be_asked():
    rival = Task("rival", (("vu", "VU'U"), ("vo", "VI")), ("train", "train"))
    kept, left_out = usable_queries(LM, TOY, "test", [TOY, rival])
    assert LM.token(" VU") == LM.token(" VU'U")
    assert left_out == 1
    assert ("vu", "VU") not in kept
    assert ("vo", "VO") in kept


def test_a_task_without_a_usable_query_says_so():
    silent = Task("silent", (("ka", "KA"), ("pa", "pa")), ("train", "test"))
    with pytest.raises(PromptError, match="'silent' has no query to ask in its test split: 1 of its 1 pairs"):
        draw_trials(LM, silent, n_shots=1)


def test_more_shots_than_pairs_is_the_loaders_error():
    with pytest.raises(DataError, match="20 pairs for shots"):
        draw_trials(LM, TOY, n_shots=21)


def test_only_the_given_inputs_are_asked():
    every = draw_trials(LM, TOY, n_shots=2, split="valid")
    chosen = {every[5].context.query[0], every[2].context.query[0]}
    some = draw_trials(LM, TOY, n_shots=2, split="valid", inputs=chosen, limit=3)
    assert [one.context.query for one in some] == [every[i].context.query for i in (2, 5, 2)]
    with pytest.raises(PromptError, match="no query in its valid split among the 1 inputs"):
        draw_trials(LM, TOY, n_shots=2, split="valid", inputs=["nothing"])


def test_what_is_shown_changes_and_what_is_asked_does_not():
    first, second = (draw_trials(LM, TOY, n_shots=3, shown=shown) for shown in (0, 1))
    assert [one.asked for one in first] == [one.asked for one in second]
    assert all(a.context.shots != b.context.shots for a, b in zip(first, second, strict=True))


def test_the_two_halves_share_no_query():
    trials = draw_trials(LM, TOY, n_shots=1, split="valid", limit=21)  # 8 queries, the first five of them three times
    half = query_halves(trials)
    first, second = ({one.asked for one, of in zip(trials, half, strict=True) if of == which} for which in (0, 1))
    assert not first & second
    assert (len(first), len(second)) == (4, 4)
    assert half.tolist()[:8] == [0, 1] * 4
    assert trials[0].asked == ("toy", trials[0].context.query[0])


def test_every_query_is_asked_once_then_again_with_other_shots():
    shown = [one.context for one in draw_trials(LM, TOY, n_shots=2, split="valid")]
    assert sorted(c.query for c in shown) == sorted(TOY.split("valid"))
    again = draw_trials(LM, TOY, n_shots=2, split="valid", limit=len(shown) + 1)
    assert [one.context for one in again[:-1]] == shown
    assert again[-1].context.query == shown[0].query
    assert again[-1].context.shots != shown[0].shots


def test_the_queries_are_the_same_for_any_shots_and_labels():
    asked = [
        [one.context.query for one in draw_trials(LM, TOY, n_shots=n, limit=6, labels=labels, others=[OTHER])]
        for n, labels in ((0, "own"), (3, "own"), (3, "shuffled"), (3, "mixed"))
    ]
    assert asked[0] == asked[1] == asked[2] == asked[3]
    assert asked[0] != [one.context.query for one in draw_trials(LM, TOY, n_shots=0, limit=6, others=[OTHER], seed=1)]


def test_labels_are_as_asked():
    own, shuffled, mixed = (
        draw_trials(LM, TOY, n_shots=20, limit=1, labels=labels, others=[OTHER])[0].context.shots
        for labels in ("own", "shuffled", "mixed")
    )
    assert set(own) == set(TOY.split("train"))
    assert {given for given, _ in shuffled} == {given for given, _ in own}
    assert sorted(output for _, output in shuffled) == sorted(output for _, output in own)
    assert len(set(shuffled) & set(own)) < 10
    assert {output for _, output in mixed} <= {output for _, output in OTHER.pairs}


def test_no_query_is_among_its_shots():
    for one in draw_trials(LM, TOY, n_shots=19, split="train"):
        assert one.context.query not in one.context.shots


def test_the_token_is_the_first_that_follows_the_prompt():
    one = draw_trials(LM, TOY, n_shots=1)[0]
    assert LM.decode([one.token]) == one.context.answer
    assert LM.prompt(one.context.text + one.context.answer).tokens == (*one.prompt.tokens, one.token)


def test_a_prompt_whose_tokens_change_with_the_answer_is_refused():
    lm = kinds.lm("prepend")  # where two spaces are one token
    context = build(("Rome", "Oslo"), [("Paris", "Austin")], Template("", "is "))
    with pytest.raises(PromptError, match="change when ' Oslo' follows"):
        make_trial(lm, "toy", context)


def test_the_token_of_a_trial_is_that_of_its_answer_under_a_prefix_space():
    lm = kinds.lm("prepend")
    trials = [make_trial(lm, "toy", build(("is", city), [("is", "Italy")])) for city in ("Paris", "Rome", "Oslo")]
    assert [lm.decode([one.token]) for one in trials] == [one.context.answer for one in trials]
    assert len(set(answer_trials(lm, trials).log_probs)) == 3
    task = Task("cities", (("Rome", "Paris"), ("Oslo", "Oslo"), ("Austin", "Rome")), ("test",) * 3)
    assert usable_queries(lm, task, "test") == ((("Rome", "Paris"), ("Austin", "Rome")), 1)


@pytest.mark.parametrize("name", ["llama", "gemma2", "qwen2"])
def test_the_score_is_that_of_the_models_own_logits(name):
    lm = wordy.lm(name)
    trials = draw_trials(lm, TOY, n_shots=2, split="train", limit=9)  # more than one batch, of several lengths
    score = answer_trials(lm, trials)
    for i, one in enumerate(trials):
        logits = plain(lm.model, list(one.prompt.tokens))[-1]
        of = logits[one.token] - mx.logsumexp(logits)
        assert score.log_probs[i] == pytest.approx(of.item(), abs=1e-4)
        assert score.ranks[i] == (logits > logits[one.token]).sum().item()
    assert (score.right == score.top(1)).all()
    assert score.top(lm.family.vocab).all()


def test_edits_act_at_the_last_token_of_each_prompt():
    trials = draw_trials(LM, TOY, n_shots=2, split="train", limit=3)
    push = mx.random.normal((LM.width,), key=mx.random.key(1)) * 5
    score = answer_trials(LM, trials, [add("resid_post", push, layer=1, position=-1)])
    for i, one in enumerate(trials):
        logits = plain(LM.model, list(one.prompt.tokens), added(push, 1, [len(one.prompt) - 1]))[-1]
        assert score.log_probs[i] == pytest.approx((logits[one.token] - mx.logsumexp(logits)).item(), abs=1e-4)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (" cold\n\nQ:", True),
        ("cold", True),
        (" cold.", True),
        (" colder", False),
        (" Cold", False),
        (" the cold", False),
    ],
)
def test_whole_words(text, right):
    assert begins_with_word(text, "cold") is right


def test_writes_looks_at_the_whole_answer():
    one = draw_trials(LM, TOY, n_shots=1)[0]
    said = LM.generate(one.prompt, max_tokens=6).text
    right, wrong = (replace(one, context=replace(one.context, query=("x", y))) for y in (said.strip(), f"not {said}"))
    assert writes_answers(LM, [right, wrong], max_tokens=6).tolist() == [True, False]


def test_log_probability_of_a_whole_answer_is_the_chain_of_its_tokens():
    lm = wordy.lm("llama")
    one = draw_trials(lm, OTHER, n_shots=1)[0]
    whole, n = list(lm.prompt(one.context.text + one.context.answer).tokens), len(one.prompt)
    assert len(whole) > n + 1
    push = mx.random.normal((lm.width,), key=mx.random.key(1))
    clean, pushed = answer_log_probs(lm, one, [[], [add("resid_post", push, layer=0, position=n - 1)]])
    for strength, found in ((0.0, clean), (1.0, pushed)):
        logits = plain(lm.model, whole[:-1], added(strength * push, 0, [n - 1]))
        by_hand = [(logits[n - 1 + i, t] - mx.logsumexp(logits[n - 1 + i])).item() for i, t in enumerate(whole[n:])]
        assert np.allclose(found, by_hand, atol=1e-4)
    assert math.exp(-np.mean(clean)) > 1
