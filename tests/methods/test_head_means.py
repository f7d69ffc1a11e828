"""Head means and what heads write: in every family the writes sum to what attention adds to the stream."""

import mlx.core as mx
import pytest
import tiny
import wordy
from wordy import TOY

from assay.errors import PromptError
from assay.methods.function_vectors.head_means import record_heads
from assay.methods.function_vectors.in_context import draw_trials
from assay.methods.heads import attention_rms, head_sum_error, head_writes

FAMILIES = [*tiny.FAMILIES, "gemma3_all_global", "llama_every_head_its_own_keys", "qwen2_one_key_head"]


@pytest.mark.parametrize("weights", ["float32", "4bit-bfloat16"])
@pytest.mark.parametrize("name", FAMILIES)
def test_writes_sum_to_what_attention_adds(name, weights):
    assert head_sum_error(tiny.lm(name, weights), tiny.ids()) < 1e-5


def test_a_bias_of_o_proj_belongs_to_no_head():
    lm = tiny.lm("llama_bias")
    run = lm.run(tiny.ids(), keep=("z", "attn_out"))
    z, out = run.at_last("z", 0)[0], run.at_last("attn_out", 0)[0]
    writes = head_writes(lm, 0, z, attention_rms(lm, 0, z))
    assert tiny.difference(writes.sum(axis=0) + lm.family.layers[0].self_attn.o_proj.bias, out) < 1e-5


def test_one_head_writes_its_slice_through_the_post_norm():
    """By hand in Gemma-2, where the heads are wider than the stream divided by their number."""
    lm = tiny.lm("gemma2")
    layer = lm.family.layers[1]
    z = mx.random.normal((4, 32), key=mx.random.key(0))
    raw = layer.self_attn.o_proj.weight[:, 2 * 32 : 3 * 32] @ z[2]
    gain = 1.0 + layer.post_attention_layernorm.weight
    assert tiny.difference(head_writes(lm, 1, z, mx.array(3.0))[2], raw / 3.0 * gain) < 1e-6


def test_recorded_is_what_a_run_of_each_prompt_has_at_its_last_token():
    lm = wordy.lm("gemma2")
    trials = draw_trials(lm, TOY, n_shots=2, split="valid", limit=5)
    recorded = record_heads(lm, trials)
    assert recorded.z.shape == (5, 3, 4, 32)
    for i, one in enumerate(trials):
        run = lm.run(one.prompt, keep=("z", "attn_raw", "resid_post"))
        for layer in range(3):
            raw = run["attn_raw", layer][0, -1]
            rms = mx.sqrt((raw * raw).mean() + 1e-6)
            assert tiny.difference(recorded.z[i, layer], run["z", layer][0, -1]) < 1e-5
            assert tiny.difference(recorded.stream[i, layer], run["resid_post", layer][0, -1]) < 1e-5
            assert tiny.difference(recorded.rms[i, layer], rms) < 1e-5
        assert recorded.score.ranks[i] == (run.logits[0] > run.logits[0, one.token]).sum().item()


def test_means_are_over_the_chosen_trials():
    recorded = record_heads(wordy.lm("llama"), draw_trials(wordy.lm("llama"), TOY, n_shots=1, split="valid", limit=3))
    chosen = recorded.score.ranks != recorded.score.ranks[0]
    chosen[1] = True
    means = recorded.means(chosen)
    by_hand = sum(recorded.z[i] for i in range(3) if chosen[i]) / int(chosen.sum())
    assert means.n == chosen.sum()
    assert tiny.difference(means.z, by_hand) < 1e-6
    assert recorded.means().n == 3


def test_nothing_to_take_a_mean_of():
    recorded = record_heads(wordy.lm("llama"), draw_trials(wordy.lm("llama"), TOY, n_shots=1, split="valid", limit=3))
    with pytest.raises(PromptError, match="0 of 3 trials were chosen"):
        recorded.means(recorded.score.ranks < 0)
    with pytest.raises(PromptError, match="no trial was given"):
        record_heads(wordy.lm("llama"), [])
