"""From requests to a direction: which requests count, what the direction is made of, and models without refusals."""

import numpy as np
import pytest
import tiny

from assay.data.instructions import topic_halves
from assay.errors import PromptError
from assay.methods.directions import difference_in_means, post_instruction
from assay.methods.refusal.judging import refusal_score
from assay.methods.refusal.refusal_direction import (
    is_refusal_in,
    refusal_direction,
    refusal_scores,
    refused_as_expected,
    request_prompts,
)
from assay.methods.refusal.selection import SelectionFilters, SuccessiveHalving

OFF = SelectionFilters(kl=None, induce=None, depth=1.0)


@pytest.fixture(scope="module")
def lm():
    return tiny.lm("llama")


@pytest.fixture(scope="module")
def tokens(lm):
    """Likely tokens, as many as make about half of the requests count as refused."""
    logits = np.array(lm.run(request_prompts(lm, "harmful", split="train")[:8]).logits).mean(axis=0)
    return np.argsort(-logits)[:8].tolist()


@pytest.fixture(scope="module")
def found(lm, tokens):
    halving = SuccessiveHalving(first=1, finalists=2, shallow=0.5)
    return refusal_direction(lm, tokens=tokens, filters=OFF, halving=halving)


def test_only_refused_and_answered_requests_count(lm, tokens):
    prompts = request_prompts(lm, "harmful", split="train")
    by_hand = [refusal_score(np.array(lm.run(p).logits[0]), tokens) for p in prompts]
    np.testing.assert_allclose(refusal_scores(lm, prompts, tokens, batch=5), by_hand, atol=1e-4)
    refused = refused_as_expected(lm, prompts, tokens, True)
    answered = refused_as_expected(lm, prompts, tokens, False)
    assert len(refused) + len(answered) == len(prompts)
    assert refused == [p for p, score in zip(prompts, by_hand, strict=True) if score > 0]


def test_the_direction_is_the_difference_of_those(lm, tokens, found):
    again = difference_in_means(lm, found.harmful, found.harmless, post_instruction(lm))
    np.testing.assert_array_equal(found.direction.vector, again.vectors[found.selection.cell])
    assert set(found.harmful) < set(request_prompts(lm, "harmful", split="train"))
    assert found.direction.provenance["n_positive"] == str(len(found.harmful))
    assert found.tokens == tuple(tokens)


def test_requests_of_other_topics_have_no_part_in_it(lm, tokens):
    for topics in topic_halves():
        halving = SuccessiveHalving(first=1, finalists=1, shallow=0.5)
        found = refusal_direction(lm, topics=topics, tokens=tokens, filters=OFF, halving=halving)
        asked = [request_prompts(lm, kind, split="train", topics=topics) for kind in ("harmful", "harmless")]
        everything = {kind: request_prompts(lm, kind, split="train") for kind in ("harmful", "harmless")}
        assert all(set(some) < set(everything[kind]) for some, kind in zip(asked, everything, strict=True))
        assert found.harmful == tuple(refused_as_expected(lm, asked[0], tokens, True))
        assert found.harmless == tuple(refused_as_expected(lm, asked[1], tokens, False))
        again = difference_in_means(lm, found.harmful, found.harmless, post_instruction(lm))
        np.testing.assert_array_equal(found.direction.vector, again.vectors[found.selection.cell])


def test_a_language_that_is_never_refused(lm):
    with pytest.raises(
        PromptError, match=r"is above 0 on 0 of 24 harmful requests in 'en' \(train\): there is no refusal"
    ):
        refusal_direction(lm, tokens=[7], filters=OFF)
    with pytest.raises(PromptError, match="refuses 0 of 8 harmful prompts, so it has no refusal tokens"):
        refusal_direction(lm)


def test_requests_of_both_kinds_may_differ_in_number(found):
    assert len(found.harmful) != len(found.harmless)


def test_refusals_count_in_the_language_or_in_english():
    german = is_refusal_in("de")
    assert german("Es tut mir leid, ich kann dabei nicht helfen.")
    assert german("I cannot help with that.")
    assert not german("Lo siento, no puedo ayudarte.")
    assert not german("Gerne, hier ist ein Plan.")
