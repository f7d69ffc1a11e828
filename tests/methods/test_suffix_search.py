"""A suffix that was searched for lowers the refusal score that it was searched with, and its parts are where they are said."""

import mlx.core as mx
import numpy as np
import pytest
import tiny

from assay import add
from assay.errors import PromptError
from assay.forward.positions import Prompt
from assay.methods.refusal.judging import refusal_score
from assay.methods.refusal.suffix_search import (
    _slopes,
    find_suffix,
    ordinary_tokens,
    random_suffix,
    suffix_positions,
    token_embeddings,
    with_suffix,
)

TOKENS = [10, 20]
PROMPTS = [Prompt(tuple(tiny.ids(9))), Prompt(tuple(tiny.ids(11, 1)))]


def mean_score(lm, suffix):
    return np.mean([refusal_score(np.array(lm.run(with_suffix(p, suffix, 3)).logits[0]), TOKENS) for p in PROMPTS])


def test_a_suffix_stands_before_the_end_of_the_template():
    whole = with_suffix(PROMPTS[0], (7, 8), 3)
    assert whole.tokens == (*PROMPTS[0].tokens[:-3], 7, 8, *PROMPTS[0].tokens[-3:])
    assert [whole.tokens[i] for i in suffix_positions(whole, 2, 3)] == [7, 8]


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_search_lowers_the_score(family):
    lm = tiny.lm(family)
    options = {"n_tail": 3, "length": 4, "tries": 12, "best": 16}
    start = random_suffix(lm, 4, np.random.default_rng(0))
    assert find_suffix(lm, PROMPTS, TOKENS, steps=0, **options) == start
    found = find_suffix(lm, PROMPTS, TOKENS, steps=4, **options)
    assert mean_score(lm, found) < mean_score(lm, start) - 0.5
    assert find_suffix(lm, PROMPTS, TOKENS, steps=4, **options) == found


def test_slopes_are_finite_differences():
    lm = tiny.lm("gemma2")
    whole = [with_suffix(p, (7, 8), 3) for p in PROMPTS]
    places = [suffix_positions(p, 2, 3) for p in whole]
    slopes = _slopes(lm, whole, places, TOKENS)
    assert slopes.shape == (2, tiny.VOCAB)
    step, token = 1e-3, 99
    row = token_embeddings(lm, [token])[0]
    change = 0.0
    for prompt, place in zip(whole, places, strict=True):
        runs = [lm.run(prompt, edits=[add("embed", row, position=place[1], scale=sign * step)]) for sign in (1, -1)]
        up, down = (float(odds(run.logits[0])) for run in runs)
        change += (up - down) / (2 * step)
    assert slopes[1, token] == pytest.approx(change, rel=0.02, abs=1e-3)


def odds(logits):
    wide = np.array(logits, np.float64)
    return np.logaddexp.reduce(wide[TOKENS]) - np.logaddexp.reduce(np.delete(wide, TOKENS))


def test_special_tokens_are_never_drawn():
    lm = tiny.lm("llama")
    assert not set(ordinary_tokens(lm)) & set(lm.tokenizer.all_special_ids)
    assert token_embeddings(lm, [6, 7]).dtype == mx.float32


def test_errors_say_what_is_wrong():
    lm = tiny.lm("llama")
    with pytest.raises(PromptError, match="a suffix of 0 tokens for 2 prompts"):
        find_suffix(lm, PROMPTS, TOKENS, n_tail=3, length=0)
    with pytest.raises(PromptError, match="a suffix of 8 tokens for 0 prompts"):
        find_suffix(lm, [], TOKENS, n_tail=3)
