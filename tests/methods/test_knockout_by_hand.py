"""Attention knockout against masks made by hand in plain mlx, in all phases, and the rules of what counts as changed."""

from dataclasses import asdict, replace

import mlx.core as mx
import numpy as np
import pytest
import tiny
from byhand import said
from plain import plain

import assay
from assay.data.two_hop import two_hop
from assay.errors import EditError
from assay.methods.hopping_too_late.knockout import (
    FILLER_PAIRS,
    KNOCKOUT_PAIRS,
    KnockedOut,
    answer_unchanged,
    knock_out,
    knock_out_query,
    knockout_half_width,
    knockout_matters,
    knockout_window,
)

DALLAS = next(q for q in two_hop("state_capital") if q.e1 == "Dallas")
TOKENS = tiny.ids(9)


def hider(queries, keys, layers, n_layers):
    """hidden [layers, L, S] for a forward of any length; queries is a list of positions, or None for all."""

    def hide(length):
        rows = np.zeros((length, length), bool)
        rows[np.ix_(range(length) if queries is None else queries, keys)] = True
        return mx.array(np.stack([rows if i in layers else np.zeros_like(rows) for i in range(n_layers)]))

    return hide


@pytest.mark.parametrize("family", ["llama", "gemma2", "qwen2", "gemma3_text", "phi3"])
@pytest.mark.parametrize("half", [0, 1])
def test_equals_masks_by_hand(family, half):
    lm = tiny.lm(family)
    pairs = {"one": (-1, 4), "several": ([6, 7, 8], [2, 5]), "all": ("all", 3)}
    by_hand = {"one": ([8], [4]), "several": ([6, 7, 8], [2, 5]), "all": (None, [3])}
    found = knock_out(lm, TOKENS, pairs, half, max_tokens=4)
    assert found.vanilla == said(lm, TOKENS, 4)
    logits = plain(lm.model, TOKENS)[-1]
    predicted = int(mx.argmax(logits).item())
    assert found.clean_log_prob == pytest.approx(float(logits[predicted] - mx.logsumexp(logits)), abs=1e-4)
    for name, (queries, keys) in by_hand.items():
        for centre in range(lm.n_layers):
            hide = hider(queries, keys, knockout_window(centre, half, lm.n_layers), lm.n_layers)
            assert found.texts[name][centre] == said(lm, TOKENS, 4, hide=hide), (name, centre)
            logits = plain(lm.model, TOKENS, hidden=hide(len(TOKENS)))[-1]
            expected = float(logits[predicted] - mx.logsumexp(logits))
            assert found.log_probs[name][centre] == pytest.approx(expected, abs=1e-4)


def test_some_heads_only():
    lm = tiny.lm("llama")
    every = knock_out(lm, TOKENS, {"p": (-1, 4)}, 0, head=[0, 1, 2, 3], max_tokens=1)
    assert every.log_probs == knock_out(lm, TOKENS, {"p": (-1, 4)}, 0, max_tokens=1).log_probs
    one = knock_out(lm, TOKENS, {"p": (-1, 4)}, 0, head=2, max_tokens=1)
    pattern = lm.run(TOKENS, keep="pattern")["pattern", 1][0, 2, -1]
    weights = mx.where(mx.arange(len(TOKENS)) == 4, 0, pattern)
    edit = assay.set_pattern(weights / weights.sum(), layer=1, position=-1, head=2)
    assert one.log_probs["p"][1] == pytest.approx(
        lm.run(TOKENS, edits=[edit]).log_probs()[0][int(lm.run(TOKENS).logits.argmax())].item(), abs=1e-4
    )


def test_queries_before_their_keys_are_refused():
    with pytest.raises(EditError, match="the knockout never fires"):
        knock_out(tiny.lm("llama"), TOKENS, {"p": (2, 5)}, 1)


def test_windows_are_cut_off_and_keep_their_share_of_the_depth():
    assert knockout_window(0, 3, 32) == [0, 1, 2, 3]
    assert knockout_window(16, 3, 32) == [13, 14, 15, 16, 17, 18, 19]
    assert knockout_window(31, 3, 32) == [28, 29, 30, 31]
    assert [knockout_half_width(n) for n in (8, 16, 26, 28, 32, 42)] == [1, 2, 2, 3, 3, 4]


@pytest.mark.parametrize("prompt", list(KNOCKOUT_PAIRS))
def test_every_pair_of_the_paper_can_act(prompt):
    lm = tiny.lm("llama")
    found = knock_out_query(lm, DALLAS, prompt)
    assert list(found.texts) == list(KNOCKOUT_PAIRS[prompt])
    assert all(len(texts) == lm.n_layers for texts in found.texts.values())
    assert KnockedOut(**asdict(found)) == found
    some = knock_out_query(lm, DALLAS, prompt, KNOCKOUT_PAIRS[prompt][-1:], half=0)
    assert list(some.texts) == [FILLER_PAIRS[prompt][-1]]


def test_a_prompt_without_one_of_the_parts_is_an_error():
    with pytest.raises(assay.AssayError, match="does not occur in the prompt"):
        knock_out_query(tiny.lm("llama"), replace(DALLAS, r1_phrase="the state of Dallas"))


@pytest.mark.parametrize(
    ("text", "vanilla", "same"),
    [
        (" Austin.", " Austin.", True),
        (" Austin, Texas", " Austin.", True),  # both right
        (" Dallas.", " Dallas.", True),  # both the same, though wrong
        (" Dallas.", " Austin.", False),
        (" Austin.", " Dallas.", False),  # even when it becomes right
        (" Waco.", " Dallas.", False),
    ],
)
def test_what_counts_as_unchanged(text, vanilla, same):
    assert answer_unchanged(text, vanilla, ("Austin",)) is same
    found = KnockedOut(vanilla, -1.0, {"last <- e1": [text, vanilla]}, {"last <- e1": [-1.0, -1.0]})
    assert knockout_matters(found, "last <- e1", ("Austin",)) == [not same, False]
