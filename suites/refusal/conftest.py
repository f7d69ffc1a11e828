"""Fixtures of the refusal paper's experiments: English requests of the test split, judged under every intervention.

REF-14 (base models) needs the weights of the base model beside those of the chat model, and REF-16 (fine-tuning) is
optional: neither is attempted here. The paper's judges (LlamaGuard, HarmBench) are replaced by the refusal score and by
substrings; answers are judged and thrown away. Requests are asked without a system prompt, as in the paper's code: the one that
some templates write by themselves is left out (test_system_prompt.py puts it back).
"""

from types import SimpleNamespace

import numpy as np
import pytest

from assay import methods

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
    n = tier.choose(smoke=4, quick=10, full=None)
    return {kind: methods.request_prompts(lm, kind, system=system_prompt)[:n] for kind in ("harmful", "harmless")}


@pytest.fixture(scope="session")
def controls(lm, english, held_out, system_prompt, tier, progress):
    """Control directions: `random` (one per prompt), `shuffled` (labels), `best_random` (selected, without filters, from as many
    random directions as there were candidates), `by_norm` (the longest candidate)."""
    found, _ = english
    if found is None:
        return None
    rng = np.random.default_rng(0)
    direction, selection = found.direction, found.selection
    states = [methods.states_where_read(lm, prompts, direction) for prompts in (found.harmful, found.harmless)]
    drawn = selection.candidates.replaced(rng.standard_normal(selection.candidates.vectors.shape))
    valid = {
        kind: methods.refused_as_expected(
            lm, methods.request_prompts(lm, kind, split="valid", system=system_prompt), found.tokens, kind == "harmful"
        )
        for kind in ("harmful", "harmless")
    }
    best = methods.select_direction(
        lm, drawn, valid["harmful"], valid["harmless"], found.tokens,
        filters=methods.SelectionFilters(kl=None, induce=None),
        halving=methods.SuccessiveHalving(first=tier.choose(2, 4, 8), finalists=1, shallow=0.0),
        track=lambda loop: progress(loop, "best random direction"),
    )  # fmt: skip
    return SimpleNamespace(
        random=[methods.random_control(direction, rng) for _ in held_out["harmful"] + held_out["harmless"]],
        shuffled=methods.shuffled_control(direction, *states, rng),
        best_random=best.direction,
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
            "shuffled_ablated": [controls.shuffled.ablation()], "best_random_ablated": [controls.best_random.ablation()],
            "by_norm_ablated": [controls.by_norm.ablation()],
            "subtracted": [r.addition(-1.0)], "random_subtracted": [random.addition(-1.0)],
            "shuffled_subtracted": [controls.shuffled.addition(-1.0)],
        }
        for random, _ in zip(controls.random, held_out["harmful"], strict=False)
    ]  # fmt: skip
    harmless = [
        {f"added_{times:g}": [r.addition(times)] for times in STRENGTHS}
        | {
            "none": [], "ablated": [r.ablation()], "by_norm_ablated": [controls.by_norm.ablation()],
            "random_added": [random.addition()], "shuffled_added": [controls.shuffled.addition()],
            "by_norm_added": [controls.by_norm.addition()],
        }
        for random, _ in zip(controls.random[::-1], held_out["harmless"], strict=False)
    ]  # fmt: skip
    return {
        kind: methods.judge_refusals(
            lm, held_out[kind], variants, found.tokens, methods.is_refusal_in("en"),
            max_tokens=answer_tokens,
            track=lambda loop, kind=kind: progress(loop, f"{kind} requests"),
        )
        for kind, variants in (("harmful", harmful), ("harmless", harmless))
    }  # fmt: skip
