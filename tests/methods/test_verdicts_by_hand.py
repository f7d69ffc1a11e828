"""Verdicts at the beginning of a comment, against plain mlx."""

import mlx.core as mx
import numpy as np
import pytest
import tiny

from assay.errors import PromptError
from assay.methods.sycophancy.verdicts import verdicts

PAIRS = [(" good", " bad"), (" strong", " weak"), (" x", " x")]
UNRELATED = [" tall", " nine", " good"]
ASKED, OPENINGS = ["Comment on this.", "And on that, please."], ["This poem is", "This argument is"]


@pytest.fixture(scope="module", params=("llama", "gemma2", "qwen2"))
def lm(request, tmp_path_factory):
    return tiny.chat_lm(request.param, tmp_path_factory.mktemp(request.param))


def test_by_hand(lm):
    found = verdicts(lm, ASKED, OPENINGS, PAIRS, UNRELATED, batch=1)
    for i, (asked, opening) in enumerate(zip(ASKED, OPENINGS, strict=True)):
        prompt = lm.chat(asked, answer=opening)
        logits = np.array(lm.model(mx.array([prompt.tokens]))[0, -1].astype(mx.float32), np.float64)
        first = {word: lm.token(word, after=prompt) for pair in PAIRS for word in pair}
        told = [(first[a], first[b]) for a, b in PAIRS if first[a] != first[b]]
        assert found.pairs == len(told) <= 2
        assert found.positive[i] == pytest.approx(np.mean([logits[a] - logits[b] for a, b in told]), abs=1e-3)
        words = {token for pair in told for token in pair}
        others = {lm.token(word, after=prompt) for word in UNRELATED} - words
        odds = np.log(np.exp(logits[sorted(words)]).sum() / np.exp(logits[sorted(others)]).sum())
        assert found.over_unrelated[i] == pytest.approx(odds, abs=1e-3)


def test_words_exchanged(lm):
    there = verdicts(lm, ASKED, OPENINGS, PAIRS, UNRELATED)
    back = verdicts(lm, ASKED, OPENINGS, [(bad, good) for good, bad in PAIRS], UNRELATED)
    assert there.positive == pytest.approx(-back.positive)
    assert there.over_unrelated == pytest.approx(back.over_unrelated)


def test_what_is_refused(lm):
    with pytest.raises(PromptError, match="each prompt needs its opening"):
        verdicts(lm, ASKED, OPENINGS[:1], PAIRS, UNRELATED)
    with pytest.raises(PromptError, match="each prompt needs its opening"):
        verdicts(lm, [], [], PAIRS, UNRELATED)
    with pytest.raises(PromptError, match="no pair of words begins with different tokens"):
        verdicts(lm, ASKED, OPENINGS, PAIRS[2:], UNRELATED)
    with pytest.raises(PromptError, match="every unrelated word begins with the same token as a verdict"):
        verdicts(lm, ASKED, OPENINGS, PAIRS, [" good", " bad"])
