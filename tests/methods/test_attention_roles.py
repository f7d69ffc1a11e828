"""Attention by role against attention made by hand, and prefix matching against heads whose patterns are known."""

from types import SimpleNamespace

import mlx.core as mx
import numpy as np
import pytest
import tiny
import wordy
from wordy import TOY

from assay.data.in_context import ROLES
from assay.errors import PromptError
from assay.methods.function_vectors.attention_roles import attention_by_role, prefix_matching, value_weighted_attention
from assay.methods.function_vectors.in_context import draw_trials
from assay.methods.function_vectors.mediation import prompt_pieces


def by_hand(lm, tokens, layer, head):
    """Value-weighted attention of one head at the last token [S], from mlx-lm's modules (no softcap, no q/k norm)."""
    x = lm.model.model.embed_tokens(mx.array([tokens]))
    for block in lm.model.layers[:layer]:
        x = block(x, "causal")
    block = lm.model.layers[layer]
    attn, h = block.self_attn, block.input_layernorm(x)
    q = attn.rope(attn.q_proj(h).reshape(1, -1, 4, 16).transpose(0, 2, 1, 3))[0, head, -1]
    k = attn.rope(attn.k_proj(h).reshape(1, -1, 2, 16).transpose(0, 2, 1, 3))[0, head // 2]
    v = attn.v_proj(h).reshape(-1, 2, 16)[:, head // 2]
    weights = mx.softmax(k @ q * 16**-0.5) * mx.linalg.norm(v, axis=-1)
    return np.array(weights / weights.sum())


@pytest.mark.parametrize("name", ["llama", "qwen2"])
def test_shares_are_those_of_attention_by_hand(name):
    lm, heads = wordy.lm(name), [(0, 1), (2, 2)]
    trials = draw_trials(lm, TOY, n_shots=2, limit=2)
    shares = attention_by_role(lm, trials, heads)
    assert tuple(shares) == ROLES
    for i, one in enumerate(trials):
        for j, (layer, head) in enumerate(heads):
            weights = by_hand(lm, list(one.prompt.tokens), layer, head)
            for role in ROLES:
                tokens = [token for r, own in prompt_pieces(one) if r == role for token in own]
                assert shares[role][i, j] == pytest.approx(weights[tokens].sum(), abs=1e-5)
            assert sum(share[i, j] for share in shares.values()) == pytest.approx(1 - weights[0], abs=1e-5)  # BOS


def test_a_token_without_value_moves_nothing():
    pattern, v = mx.array([[0.9, 0.1], [0.5, 0.5]]), mx.array([[[0.0, 0.0], [3.0, 4.0]]])
    assert value_weighted_attention(pattern, v).tolist() == [[0.0, 1.0], [0.0, 1.0]]


class Known:
    """An LM of one layer whose heads look: where induction says, at the token before, at themselves, everywhere."""

    n_layers, n_heads = 1, 4
    tokenizer = SimpleNamespace(all_special_ids=[0, 1], vocab=dict.fromkeys(map(str, range(50))), bos_token_id=1)
    family = SimpleNamespace(vocab=50)

    def run(self, tokens, keep):
        assert keep == "pattern"
        self.tokens, S = tokens, len(tokens)
        pattern = np.zeros((4, S, S), np.float32)
        pattern[3] = np.tril(np.ones((S, S))) / np.arange(1, S + 1)[:, None]
        for i in range(S):
            earlier = [j for j in range(1, i) if tokens[j] == tokens[i]]
            pattern[0, i, earlier[0] + 1 if earlier else i] = 1
            pattern[1, i, max(i - 1, 0)] = pattern[2, i, i] = 1
        return {("pattern", 0): mx.array(pattern)[None]}


def test_prefix_matching_of_known_heads():
    lm = Known()
    scores = prefix_matching(lm, length=10, n=2)
    assert scores[0, :3].tolist() == [1, 0, 0]
    assert scores[0, 3] == pytest.approx(1 / 15, abs=0.01)
    assert lm.tokens[0] == 1
    assert lm.tokens[1:11] == lm.tokens[11:]
    assert not {0, 1} & set(lm.tokens[1:])
    assert len(set(lm.tokens[1:])) == 10


def test_prefix_matching_runs_on_every_family():
    for name in ("llama", "gemma2", "qwen2"):
        scores = prefix_matching(tiny.lm(name), length=6, n=1, seed=3)
        assert scores.shape == (3, 4)
        assert (scores > 0).all()


@pytest.mark.parametrize(("length", "n"), [(1, 1), (5, 0)])
def test_a_sequence_without_a_prefix(length, n):
    with pytest.raises(PromptError, match="has no prefix to match"):
        prefix_matching(Known(), length=length, n=n)
