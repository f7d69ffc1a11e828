"""The writes of all heads sum to what attention adds to the stream; attention shares equal the pattern itself."""

import numpy as np
import pytest
import tiny

from assay.errors import PromptError
from assay.methods.head_attribution import attention_share, head_writes_along
from assay.methods.heads import top_heads

DIRECTION = np.random.default_rng(0).standard_normal(64).astype(np.float32)
UNIT = DIRECTION / np.linalg.norm(DIRECTION)
PROMPTS = [tiny.ids(9), tiny.ids(13, 1), tiny.ids(7, 2)]


@pytest.mark.parametrize("weights", ["float32", "4bit-float32"])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_heads_sum_to_what_attention_writes(family, weights):
    lm = tiny.lm(family, weights)
    prompts = [lm.prompt(p) for p in PROMPTS]
    writes = head_writes_along(lm, prompts, DIRECTION, batch=2)
    assert writes.shape == (3, lm.n_layers, lm.n_heads)
    run = lm.run(PROMPTS, keep="attn_out")
    whole = np.stack([np.array(run.at_last("attn_out", i)) @ UNIT for i in range(lm.n_layers)], axis=1)
    np.testing.assert_allclose(writes.sum(axis=2), whole, atol=3e-4 * np.abs(whole).max())


def test_one_head_equals_head_out():
    lm = tiny.lm("llama")
    writes = head_writes_along(lm, [lm.prompt(PROMPTS[0])], DIRECTION)
    out = np.array(lm.run(PROMPTS[0], keep="head_out")["head_out", 1])[0, -1]  # [H, E]
    np.testing.assert_allclose(writes[0, 1], out @ UNIT, atol=1e-4)


def test_top_heads_are_those_that_write_most():
    writes = np.zeros((2, 3, 4))
    writes[:, 2, 1], writes[:, 0, 3] = 5, 3
    assert top_heads(writes.mean(axis=0), 2) == [(2, 1), (0, 3)]


def test_attention_share_is_the_pattern():
    lm = tiny.lm("gemma2")
    prompts = [lm.prompt(p) for p in PROMPTS]
    heads, spans = [(0, 3), (2, 1)], [range(1, 4), range(2, 6), [0]]
    shares = attention_share(lm, prompts, heads, spans, batch=2)
    for b, (prompt, span) in enumerate(zip(PROMPTS, spans, strict=True)):
        run = lm.run(prompt, keep="pattern")
        expected = [np.array(run["pattern", i])[0, h, -1, list(span)].sum() for i, h in heads]
        np.testing.assert_allclose(shares[b], expected, atol=1e-5)
    whole = attention_share(lm, prompts, heads, ["prompt"] * 3)
    np.testing.assert_allclose(whole, 1.0, atol=1e-5)


def test_as_many_spans_as_prompts():
    lm = tiny.lm("llama")
    with pytest.raises(PromptError, match="1 prompts need as many spans, got 0"):
        attention_share(lm, [lm.prompt(PROMPTS[0])], [(0, 0)], [])
