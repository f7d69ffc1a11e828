"""Fixtures of the refusal paper's experiments: English requests of the test split, judged under every intervention.

REF-14 (base models) needs the weights of the base model beside those of the chat model, and REF-16 (fine-tuning) needs
training: neither is attempted here. The paper's judges (LlamaGuard, HarmBench) are replaced by the refusal score and by the
patterns of `assay.data.judges`; answers are judged and thrown away. Requests are asked without a system prompt, as in the
paper's code: the one that some templates write by themselves is left out (test_system_prompt.py puts it back).

The paper tests on 100 requests, here there are 16 of each kind, one of each topic, so each is a cluster of its own. Their topics
are those of the training requests in other words; test_new_topics.py has directions on topics that they were not found on.
Controls are drawn anew for each request, so an interval over requests contains the spread between draws. Claims are made of
paired differences: `refused_a_less_b` is, request by request, whether it is refused under a less whether it is under b.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from assay import methods
from assay.plugin import Metric

STRENGTHS = (0.25, 0.5, 1.0, 2.0)


@pytest.fixture(scope="session")
def system_prompt(no_system_prompt):
    """Recorded with every experiment of this folder."""
    return no_system_prompt


@pytest.fixture(scope="session")
def english(refusal_in):
    """`found, why`: the refusal direction of the model, or the reason that there is none."""
    return refusal_in("en")


@pytest.fixture(scope="session")
def held_out(lm, system_prompt, tier):
    """English requests of the test split by kind; no direction was found or selected on them."""
    n = tier.choose(smoke=4, quick=None, full=None)
    return {kind: methods.request_prompts(lm, kind, system=system_prompt)[:n] for kind in ("harmful", "harmless")}


@pytest.fixture(scope="session")
def best_of_random(lm, system_prompt, tier, progress):
    """best_of_random(found, rng) -> of as many random directions as there were candidates, the one that bypasses refusal best.

    It is selected on the validation requests of what was found, without filters. topics: those that it was found on.
    """

    def select(found, rng, topics=None):
        candidates = found.selection.candidates
        drawn = candidates.replaced(rng.standard_normal(candidates.vectors.shape))
        valid = {
            kind: methods.refused_as_expected(
                lm,
                methods.request_prompts(lm, kind, split="valid", system=system_prompt, topics=topics),
                found.tokens,
                kind == "harmful",
            )
            for kind in ("harmful", "harmless")
        }
        return methods.select_direction(
            lm, drawn, valid["harmful"], valid["harmless"], found.tokens,
            filters=methods.SelectionFilters(kl=None, induce=None),
            halving=methods.SuccessiveHalving(first=tier.choose(2, 4, 8), finalists=1, shallow=0.0),
            track=lambda loop: progress(loop, "best random direction"),
        ).direction  # fmt: skip

    return select


@pytest.fixture(scope="session")
def controls(lm, english, held_out, best_of_random):
    """Control directions: `random` and `shuffled` (labels), one of each per prompt; `best_random` (selected, without filters,
    from as many random directions as there were candidates: the best of many draws), `by_norm` (the longest candidate)."""
    found, _ = english
    if found is None:
        return None
    rng = np.random.default_rng(0)
    direction, selection = found.direction, found.selection
    states = [methods.states_where_read(lm, prompts, direction) for prompts in (found.harmful, found.harmless)]
    best = best_of_random(found, rng)
    prompts = held_out["harmful"] + held_out["harmless"]
    return SimpleNamespace(
        random=[methods.random_control(direction, rng) for _ in prompts],
        shuffled=[methods.shuffled_control(direction, *states, rng) for _ in prompts],
        best_random=best,
        by_norm=selection.by_norm,
    )


@pytest.fixture(scope="session")
def judged(lm, english, held_out, controls, answer_tokens, progress):
    """{kind: {variant: Outcome}} of the test requests under every intervention; None without a direction."""
    found, _ = english
    if found is None:
        return None
    r = found.direction
    harmful = [
        {
            "none": [],
            "ablated": [r.ablation()], "random_ablated": [random.ablation()],
            "shuffled_ablated": [shuffled.ablation()], "best_random_ablated": [controls.best_random.ablation()],
            "by_norm_ablated": [controls.by_norm.ablation()],
            "subtracted": [r.addition(-1.0)], "random_subtracted": [random.addition(-1.0)],
            "shuffled_subtracted": [shuffled.addition(-1.0)],
        }
        for random, shuffled, _ in zip(controls.random, controls.shuffled, held_out["harmful"], strict=False)
    ]  # fmt: skip
    harmless = [
        {f"added_{times:g}": [r.addition(times)] for times in STRENGTHS}
        | {
            "none": [], "ablated": [r.ablation()], "by_norm_ablated": [controls.by_norm.ablation()],
            "random_added": [random.addition()], "shuffled_added": [shuffled.addition()],
            "by_norm_added": [controls.by_norm.addition()],
        }
        for random, shuffled, _ in zip(controls.random[::-1], controls.shuffled[::-1], held_out["harmless"], strict=False)
    ]  # fmt: skip
    return {
        kind: methods.judge_refusals(
            lm, held_out[kind], variants, found.tokens, methods.is_refusal_in("en"),
            max_tokens=answer_tokens,
            track=lambda loop, kind=kind: progress(loop, f"{kind} requests"),
        )
        for kind, variants in (("harmful", harmful), ("harmless", harmless))
    }  # fmt: skip


@pytest.fixture(scope="session")
def less(judged):
    """`less("harmful", "ablated", "none")`: metrics, refusals under one variant less those under each control, by request."""

    def metrics(kind, own, *controls, called=None):
        flags = {name: outcome.refused.astype(float) for name, outcome in judged[kind].items()}
        return {
            f"refused_{called or own}_less_{control}": Metric.mean(
                (flags[own] - flags[control]).tolist(), bounds=(-1, 1), tol=0.13
            )
            for control in controls
        }

    return metrics
