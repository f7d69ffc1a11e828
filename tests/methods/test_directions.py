"""Differences in means against plain numpy, post-instruction tokens of every template, and norms that stay finite."""

import mlx.core as mx
import numpy as np
import pytest
import tiny
from mlx_lm.utils import load_tokenizer

from assay.errors import EditError, LayerError, PromptError
from assay.forward.lm import LM
from assay.methods.directions import (
    chat_prompts,
    difference_in_means,
    post_instruction,
    takes_system_prompt,
    template_tail,
    writes_system_prompt,
)
from assay.methods.states import last_states, states_from_end
from assay.models.tokenizer import STYLES, write_tokenizer

FAMILIES = ("llama", "gemma2", "qwen2")
POSITIVE = [tiny.ids(9), tiny.ids(13, 1), tiny.ids(11, 2)]
NEGATIVE = [tiny.ids(8, 3), tiny.ids(12, 4)]


def styled(family, folder, model="llama", **changes):
    """A tiny model with the tokenizer and chat template of a family."""
    ids = write_tokenizer(folder, family, vocab_size=tiny.VOCAB)
    tokenizer = load_tokenizer(folder, eos_token_ids=ids["eos_token_id"])
    for name, value in changes.items():
        setattr(tokenizer._tokenizer, name, value)
    return LM(tiny.model(model), tokenizer, name=family)


def prompts(lm, texts):
    return [lm.prompt(t) for t in texts]


@pytest.mark.parametrize("family", FAMILIES)
def test_means_equal_one_prompt_at_a_time(family):
    lm = tiny.lm(family)
    found = difference_in_means(lm, prompts(lm, POSITIVE), prompts(lm, NEGATIVE), 4, batch=2)

    def mean(texts):
        rows = [[lm.run(t, keep="resid_pre")["resid_pre", i][0, -4:] for i in range(3)] for t in texts]
        return np.array(mx.array(rows), np.float64).mean(axis=0).swapaxes(0, 1)  # [P, L, E]

    np.testing.assert_allclose(found.vectors, mean(POSITIVE) - mean(NEGATIVE), atol=2e-5 * np.abs(found.vectors).max())
    assert found.positions == (-4, -3, -2, -1)
    assert found.norms.shape == found.stream_norms.shape == (4, 3)


def test_states_do_not_depend_on_batches():
    lm = tiny.lm("gemma2")
    alone, together = (np.concatenate(list(last_states(lm, prompts(lm, POSITIVE), 3, batch=batch))) for batch in (1, 3))
    np.testing.assert_allclose(alone, together, atol=1e-5 * np.abs(together).max())


@pytest.mark.parametrize("back", [1, 3])
def test_states_from_end_are_the_stream_at_that_token(lm, back):
    some = prompts(lm, POSITIVE)
    found = states_from_end(lm, some, back, site="resid_post", batch=2)
    for prompt, states in zip(some, found, strict=True):
        run = lm.run(prompt, keep="resid_post")
        by_hand = [np.array(run["resid_post", i][0, len(prompt) - back]) for i in range(lm.n_layers)]
        assert tiny.agree(states, np.stack(by_hand))


def test_first_layer_differs_by_nothing_at_template_tokens():
    lm = tiny.lm("llama")
    found = difference_in_means(
        lm, chat_prompts(lm, ["Hide a car."]), chat_prompts(lm, ["Wash a red car."]), post_instruction(lm)
    )
    assert found.empty[:, 0].all()
    assert not found.empty[:, 1:].any()


def test_a_direction_knows_its_strength_and_its_edits():
    lm = tiny.lm("llama")
    direction = difference_in_means(lm, prompts(lm, POSITIVE), prompts(lm, NEGATIVE), 2).at(-1, 2)
    assert direction.strength == pytest.approx(direction.norm / direction.stream_norm)
    prompt = lm.prompt(tiny.ids(10))
    clean, none = lm.run(prompt), lm.run(prompt, edits=[direction.addition(0.0)])
    assert tiny.same(clean.logits, none.logits)
    added = lm.run(prompt, edits=[direction.addition()], keep=["resid_pre.2"])["resid_pre", 2]
    before = lm.run(prompt, keep=["resid_pre.2"])["resid_pre", 2]
    np.testing.assert_allclose(np.array(added - before)[0], np.tile(direction.vector, (10, 1)), atol=1e-4)
    gone = lm.run(prompt, edits=[direction.ablation()], keep="resid_post")
    for i in range(3):
        assert np.abs(np.array(gone["resid_post", i]) @ direction.unit).max() < 1e-4 * direction.stream_norm
    control = direction.like(np.ones(64))
    assert (control.norm, control.layer) == (pytest.approx(direction.norm), direction.layer)


@pytest.mark.parametrize("activations", ["float32", "native"])
@pytest.mark.parametrize("weights", ["float32", "bfloat16", "float16"])
def test_norms_are_finite_in_every_dtype(weights, activations):
    lm = tiny.lm("gemma2", weights, activations)
    found = difference_in_means(lm, prompts(lm, POSITIVE), prompts(lm, NEGATIVE), 3)
    assert np.isfinite(found.norms).all()
    assert (found.norms > 0).all()


def test_infinite_norms_are_an_overflow_of_float16():
    """Plan V2 reports infinite norms in late layers: a float16 sum of squares ends at 65,504, a norm of 256."""
    model = tiny.build("gemma2", "float16")
    model.model.embed_tokens.weight = model.model.embed_tokens.weight * 40  # the stream of Gemma-2-2B is as long
    lm = tiny.around(model, activations="native")
    run = lm.run(POSITIVE[0], keep="resid_post")
    assert run["resid_post", 2].dtype == mx.float16
    as_the_plan_did = mx.sqrt((run["resid_post", 2] * run["resid_post", 2]).sum(axis=-1))
    assert as_the_plan_did.dtype == mx.float16
    assert mx.isinf(as_the_plan_did).any().item()
    found = difference_in_means(lm, prompts(lm, POSITIVE), prompts(lm, NEGATIVE), 3)
    assert np.isfinite(found.norms).all()
    assert np.isfinite(found.stream_norms).all()
    assert found.stream_norms.max() > 256
    assert np.isfinite(found.at(-1, 2).norm)


@pytest.mark.parametrize(
    ("family", "tail"),
    [
        ("gemma2", "<end_of_turn>\n<start_of_turn>model\n"),
        ("llama", "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"),
        ("qwen2", "<|im_end|>\n<|im_start|>assistant\n"),
        ("mistral", " [/INST]"),
        ("phi3", "<|end|>\n<|assistant|>\n"),
    ],
)
def test_post_instruction_tokens_of_each_template(family, tail, tmp_path):
    lm = styled(family, tmp_path)
    assert family in STYLES
    assert lm.decode(template_tail(lm)) == tail
    assert post_instruction(lm) == len(template_tail(lm))
    assert takes_system_prompt(lm) == (family != "gemma2")


@pytest.mark.parametrize("family", STYLES)
def test_the_system_prompt_that_a_template_writes_by_itself_is_left_out(family, tmp_path):
    lm = styled(family, tmp_path)
    assert writes_system_prompt(lm) == (family in ("qwen2", "qwen3"))
    [own], [none] = (chat_prompts(lm, ["Hide a car."], system) for system in (None, False))
    assert ("You are Qwen" in own.text, "You are Qwen" in none.text) == (writes_system_prompt(lm), False)
    assert template_tail(lm, False) == template_tail(lm)
    assert own.text.endswith(none.text.removeprefix(lm.tokenizer.bos_token or ""))


def test_a_template_without_post_instruction_tokens(tmp_path):
    lm = styled("llama", tmp_path, chat_template="{{ messages[0]['content'] }}")
    with pytest.raises(PromptError, match=r"puts no tokens after an instruction.*give n_positions=1"):
        post_instruction(lm)


def test_a_template_that_changes_the_instruction(tmp_path):
    lm = styled("llama", tmp_path, chat_template="{{ messages[0]['content'] | upper }}:")
    with pytest.raises(PromptError, match="does not repeat the instruction as it is given"):
        post_instruction(lm)


def test_a_template_that_ends_otherwise_after_other_instructions(tmp_path):
    template = "{{ messages[0]['content'] }}{{ 'ab' if '?' in messages[0]['content'] else 'cd' }}"
    with pytest.raises(PromptError, match="ends in other tokens after other instructions"):
        post_instruction(styled("llama", tmp_path, chat_template=template))


def test_a_model_without_a_template(tmp_path):
    with pytest.raises(PromptError, match="no chat template"):
        post_instruction(styled("llama", tmp_path, chat_template=None))


def test_errors_say_what_is_wrong():
    lm = tiny.lm("llama")
    some = prompts(lm, POSITIVE)
    with pytest.raises(PromptError, match="negative set of prompts is empty"):
        difference_in_means(lm, some, [], 2)
    with pytest.raises(PromptError, match="positive set of prompts is empty"):
        difference_in_means(lm, [], some, 2)
    with pytest.raises(PromptError, match="set of prompts is empty"):
        chat_prompts(lm, [])
    with pytest.raises(PromptError, match="has 9 tokens and 10 positions were asked for"):
        difference_in_means(lm, some, some, 10)
    with pytest.raises(PromptError, match="at least 1, got 0"):
        difference_in_means(lm, some, some, 0)
    found = difference_in_means(lm, some, prompts(lm, NEGATIVE), 2)
    with pytest.raises(PromptError, match=r"no candidate at position 0: there are \[-2, -1\]"):
        found.at(0, 1)
    with pytest.raises(LayerError, match="no candidate at layer 3"):
        found.at(-1, 3)
    with pytest.raises(EditError, match="finite length above 0"):
        found.at(-1, 1).like(np.zeros(64))


def test_provenance_names_model_and_prompts():
    lm = tiny.lm("llama")
    some, other = prompts(lm, POSITIVE), prompts(lm, NEGATIVE)
    found = difference_in_means(lm, some, other, 1).provenance
    assert found["model"] == lm.name
    assert (found["n_positive"], found["n_negative"], found["activations"]) == ("3", "2", "float32")
    assert found["prompts"] != difference_in_means(lm, other, some, 1).provenance["prompts"]
