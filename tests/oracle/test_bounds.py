"""Models that are the publisher's up to a length, and checkpoints that must not load (`bounds`)."""

import numpy as np
import pytest
from bounds import ACCEPTED, LIMIT, LIMITED, REFUSED, Change
from checkpoints import write
from families import changed, prompt
from references import apart, load
from test_references import TOLERANCE

import assay
from assay.errors import CheckpointError, PromptError
from assay.forward.lm import LM


@pytest.fixture(params=LIMITED)
def limited(request, opened) -> tuple[str, LM]:
    name = f"limit-{request.param}"
    return name, opened(name)


def test_up_to_the_limit_the_logits_are_those_of_transformers(limited):
    name, lm = limited
    saved = load()[name]
    assert max(saved.last) == LIMIT == lm.family.limit
    for length, expected in saved.last.items():
        assert apart(lm.run(prompt(length)).logits[0], expected) <= TOLERANCE, length


def test_a_longer_prompt_is_refused(limited):
    _, lm = limited
    too_long = prompt(LIMIT + 1)
    for attempt in (
        lambda: lm.run(too_long),
        lambda: lm.run([prompt(3), too_long]),
        lambda: lm.generate(too_long, max_tokens=1),
        lambda: lm.sweep(too_long, [assay.zero("attn_out", layer=0, position=-1)]),
        lambda: lm.states([too_long], "resid_post"),
        lambda: lm.gradients(too_long, target=9, sites=["resid_post"]),
    ):
        with pytest.raises(PromptError, match=rf"\b{LIMIT}\b"):
            attempt()


def test_a_longer_continuation_is_refused(limited):
    """Before anything is generated: whether it ends before the limit is not known."""
    name, lm = limited
    saved = load()[name]
    tokens = lm.generate(prompt(9), max_tokens=LIMIT - 9).tokens
    assert tokens[: len(saved.tokens)] == saved.tokens
    patch = assay.zero("attn_out", layer=0, position=-1)
    for attempt in (
        lambda: lm.generate(prompt(9), max_tokens=LIMIT - 9 + 2),
        lambda: lm.generate([prompt(2), prompt(12)], max_tokens=6),
        lambda: lm.sweep(prompt(12), [patch], max_tokens=6),
    ):
        with pytest.raises(PromptError, match=rf"\b{LIMIT}\b"):
            attempt()


def load_changed(folder, change: Change, **options) -> LM:
    """The plain checkpoint of a family, changed, and loaded."""
    saved = load()[f"{change.family}-plain"]
    write(folder, changed(saved.config, change.config), saved.shapes, change.tensors)
    return assay.load(str(folder), doctor=False, **options)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_key_in_the_message(tmp_path, name):
    with pytest.raises(CheckpointError, match=REFUSED[name].match) as caught:
        load_changed(tmp_path, REFUSED[name])
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_and_still_the_plain_model(tmp_path, name):
    assert_plain(load_changed(tmp_path, ACCEPTED[name]), ACCEPTED[name].family)


def test_an_unknown_key_that_the_caller_answers_for(tmp_path):
    change = REFUSED["llama-unknown-key"]
    lm = load_changed(tmp_path, change, unknown_keys="ignore")
    assert "attention_multiplier" in str(lm.provenance())
    assert_plain(lm, "llama")


def assert_plain(lm: LM, family: str) -> None:
    """The logits are those of the family's plain model."""
    saved = load()[f"{family}-plain"]
    assert apart(np.array(lm.run(saved.long).logits[0]), saved.last[len(saved.long)]) <= TOLERANCE
