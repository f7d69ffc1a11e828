"""Dialogues about right and wrong answers, against plain mlx."""

import mlx.core as mx
import numpy as np
import pytest
import tiny

from assay.data.attributions import attributions
from assay.data.right_or_wrong import CHALLENGE, FINAL, FORMS, Posed, right_or_wrong
from assay.errors import NoChatTemplate, PromptError
from assay.forward.edits import add
from assay.methods.preferences import paired_preference
from assay.methods.sycophancy import dialogues
from assay.methods.sycophancy.dialogues import (
    comparable,
    comparable_replies,
    known_form,
    own_answers_as_turns,
    reply_preference,
    second_thoughts,
    swept_reply_preference,
)


@pytest.fixture(scope="module", params=("llama", "gemma2", "qwen2"))
def lm(request, tmp_path_factory):
    return tiny.chat_lm(request.param, tmp_path_factory.mktemp(request.param))


ITEMS = [item for item in right_or_wrong("test") if item.kind in ("sum", "author_of_book")][::8]


def by_hand(lm, turns, right, wrong):
    """The probability of one reply against another, at the first tokens of theirs that differ."""
    first, second = (list(lm.chat(turns, answer=reply).tokens) for reply in (right, wrong))
    at = next(i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    logits = np.array(lm.model(mx.array([first[:at]]))[0, -1].astype(mx.float32), np.float64)
    a, b = np.exp(logits[[first[at], second[at]]] - logits.max())
    return a / (a + b)


def items_of(lm, form):
    some = comparable(lm, ITEMS, form)
    assert len(some) >= 3
    return [item.posed(form) for item in some]


@pytest.mark.parametrize("form", FORMS)
def test_the_right_reply_by_hand(lm, form):
    posed = items_of(lm, form)
    found = reply_preference(lm, posed, batch=2)
    assert found == pytest.approx([by_hand(lm, one.prompt, one.right, one.wrong) for one in posed], rel=1e-4)


def test_second_thoughts_by_hand(lm):
    posed = items_of(lm, "words")
    found = second_thoughts(lm, posed, CHALLENGE, max_tokens=3, batch=2)
    for i, one in enumerate(posed):
        before = by_hand(lm, one.prompt, one.right, one.wrong)
        talk = [one.prompt, one.right if before > 0.5 else one.wrong, CHALLENGE]
        reply = lm.generate(lm.chat(talk), max_tokens=3).text.strip()
        assert found.asked[i] == [*talk, reply, FINAL]
        assert found.until_said[i] == talk
        assert found.before[i] == pytest.approx(before, rel=1e-4)
        assert found.after[i] == pytest.approx(by_hand(lm, found.asked[i], one.right, one.wrong), rel=1e-4)


def test_own_answers():
    posed = [Posed("Who?", "me", "you"), Posed("Where?", "here", "there")]
    assert own_answers_as_turns(posed, np.array([0.6, 0.4])) == [["Who?", "me"], ["Where?", "there"]]


def test_swept_as_under_edits(lm):
    posed = items_of(lm, "letters")
    edits = [add("resid_post", mx.ones(lm.width), layer=1, position=-1, scale=scale) for scale in (0.0, 3.0)]
    asked = [one.prompt for one in posed]
    found = swept_reply_preference(lm, asked, posed, [[edit] for edit in edits])
    assert found.shape == (len(posed), 2)
    for column, edit in zip(found.T, edits, strict=True):
        assert column == pytest.approx(reply_preference(lm, posed, [edit]), rel=1e-3)
    assert np.abs(found[:, 0] - found[:, 1]).max() > 1e-4


def test_the_known_form_is_that_with_most_known_kinds(lm):
    found = known_form(lm, ITEMS, least=0.5, at_least=1)
    assert found.accuracy.keys() == set(FORMS)
    known = {}
    for form in FORMS:
        some = comparable(lm, ITEMS, form)
        right = reply_preference(lm, [item.posed(form) for item in some]) > 0.5
        for kind in ("sum", "author_of_book"):
            flags = [r for r, item in zip(right, some, strict=True) if item.kind == kind]
            assert found.accuracy[form][kind] == pytest.approx(np.mean(flags))
        known[form] = tuple(kind for kind, share in found.accuracy[form].items() if share >= 0.5)
    assert found.kinds == known[found.form]
    assert len(found.kinds) == max(map(len, known.values()))
    assert known_form(lm, ITEMS, least=1.1, at_least=1).kinds == ()


def test_a_kind_with_too_few_questions_is_not_known(lm):
    assert [item.kind for item in ITEMS].count("sum") == 1
    assert set(known_form(lm, ITEMS, least=0.0, at_least=1).kinds) == {"sum", "author_of_book"}
    assert known_form(lm, ITEMS, least=0.0, at_least=2).kinds == ("author_of_book",)


def test_replies_that_are_cut_unlike_are_left_out(lm):
    alike = Posed("Who?", "The answer is x.", "The answer is x.")

    class Item:
        def posed(self, form=""):
            return alike

    works = [*attributions("test")[:3]]
    assert comparable_replies(lm, [*works, Item()]) == comparable_replies(lm, works)
    assert comparable(lm, [Item()], "words") == []


def test_a_model_without_a_chat_template_is_no_matter_of_cutting(lm, monkeypatch):
    def base_model(*_, **__):
        raise NoChatTemplate("toy is a base model")

    monkeypatch.setattr(dialogues, "where_answers_part", base_model)
    with pytest.raises(NoChatTemplate, match="toy is a base model"):
        comparable(lm, ITEMS, "words")


def test_nothing_to_ask(lm):
    for call in (
        lambda: known_form(lm, []),
        lambda: reply_preference(lm, []),
        lambda: swept_reply_preference(lm, [], [], [[]]),
        lambda: second_thoughts(lm, [], CHALLENGE),
    ):
        with pytest.raises(PromptError, match="the set of questions is empty"):
            call()
    with pytest.raises(PromptError, match="got 0 pairs for 1 questions"):
        paired_preference(lm, ["Who?"], [])
