"""Does a refusal direction hold for requests about topics that it was not found on? (Arditi et al. 2024, sections 2 and 3).

The topics are divided into two halves, and a direction is found and selected on the training and validation requests of either.
Every test request is asked under both: the direction of the other half ("new": nothing about its topic was seen), and that of
its own half ("old": its topic was seen in other words, as everywhere else in this folder). The direction is ablated in harmful
requests, and added in harmless ones.

Controls are random directions of the new direction's length at its layer, drawn anew for each request, three times, and the best
of as many random directions as there were candidates, selected on the same validation requests. With half the requests to find a
direction on, both are found on fewer than the direction of the other experiments is.

`less_done` is, request by request, by how much less the new direction does than the old one: refusals that it leaves and the old
one removes, and refusals that it does not bring and the old one does.
"""

import numpy as np
import pytest

from assay import methods
from assay.data.given import given
from assay.data.instructions import instructions, topic_halves
from assay.errors import NotEligible
from assay.plugin import Metric, above, below, experiment, finding, within

NONE = "no difference"
FIFTH = 0.2
"""Of the requests: the difference between topics that would count."""
DRAWS = 3


@pytest.fixture(scope="session")
def halves(refusal_in, best_of_random):
    """For each half of the topics: the topics, the direction found on them, the best of random ones; or why there is none."""
    if given("harmful") or given("harmless"):
        raise NotEligible("requests of one's own have no topics")
    found = [(topics, *refusal_in("en", topics)) for topics in topic_halves()]
    if missing := [why for _, one, why in found if one is None]:
        raise NotEligible(f"half of the topics give no direction: {missing[0]}")
    rng = np.random.default_rng(0)
    return [(topics, one, best_of_random(one, rng, topics)) for topics, one, _ in found]


@experiment
def refusal_new_topics(lm, halves, system_prompt, answer_tokens, tier, progress):
    """REF-1, REF-2: ablated and added, the direction of other topics, that of the request's own, and controls."""
    n, rng, metrics, less_done = tier.choose(smoke=4, quick=None, full=None), np.random.default_rng(1), {}, []
    tokens = sorted({token for _, found, _ in halves for token in found.tokens})
    for kind, name in (("harmful", "ablated"), ("harmless", "added")):
        asked, variants = instructions(kind, split="test")[:n], []
        for request in asked:
            own, other = sorted(halves, key=lambda half: request.topic not in half[0])
            new, best = other[1].direction, other[2]
            random = [methods.random_control(new, rng) for _ in range(DRAWS)]
            every = {"new": new, "old": own[1].direction, "best_random": best}
            every |= {f"random_{i}": one for i, one in enumerate(random)}
            edit = (lambda one: one.ablation()) if kind == "harmful" else (lambda one: one.addition())
            variants.append({"none": [], **{called: [edit(one)] for called, one in every.items()}})
        judged = methods.judge_refusals(
            lm, methods.chat_prompts(lm, [one.text for one in asked], system_prompt), variants, tokens,
            methods.is_refusal_in("en"), max_tokens=answer_tokens,
            track=lambda loop, kind=kind: progress(loop, f"{kind} requests"),
        )  # fmt: skip
        flags = {called: outcome.refused.astype(float) for called, outcome in judged.items()}
        metrics |= of_kind(kind, name, flags)
        less_done += ((flags["new"] - flags["old"]) * (1 if kind == "harmful" else -1)).tolist()
    directions = [found.direction for _, found, _ in halves]
    return {
        "layers_of_halves": [one.layer for one in directions],
        "cosine_of_halves": Metric(float(methods.cosine_matrix([one.vector for one in directions])[0, 1]), tol=0.1),
        **metrics,
        "less_done": Metric.mean(less_done, bounds=(-1, 1), tol=0.13),
    }


def of_kind(kind, name, flags):
    """Metrics: refusals under every variant, and those under the new direction less those under each control, by request."""
    draws = [flags[f"random_{i}"] for i in range(DRAWS)]
    rates = {f"{name}_{called}": flags[called] for called in ("new", "old", "best_random")}
    metrics = {f"{kind}_refused": Metric.share(flags["none"], tol=0.13)}
    metrics |= {called: Metric.share(of, tol=0.13) for called, of in rates.items()}
    metrics[f"{name}_random"] = Metric.mean(np.mean(draws, axis=0).tolist(), (0, 1), tol=0.13)
    metrics[f"{name}_new_less_random"] = Metric.difference(
        flags["new"].tolist(), [one.tolist() for one in draws], tol=0.13
    )
    for control in ("none", "old", "best_random"):
        less = (flags["new"] - flags[control]).tolist()
        metrics[f"{name}_new_less_{control}"] = Metric.mean(less, bounds=(-1, 1), tol=0.13)
    return metrics


def test_new_topics_metrics(refusal_new_topics, metrics):
    assert metrics == refusal_new_topics


def removes(r):
    """Ablated, the new direction lowers refusals, and those under no control are as few."""
    others = (r.ablated_new_less_none, r.ablated_new_less_random, r.ablated_new_less_best_random)
    return below(others[0], 0, source=NONE) & below(others[1], 0, source=NONE) & below(others[2], 0, source=NONE)


def induces(r):
    """Added, the new direction raises refusals, and those under no control are as many."""
    others = (r.added_new_less_none, r.added_new_less_random, r.added_new_less_best_random)
    return above(others[0], 0, source=NONE) & above(others[1], 0, source=NONE) & above(others[2], 0, source=NONE)


@finding(
    "ablating a direction found on some topics removes refusal of requests about new topics; no control does",
    id=("REF-2", "REF-5"),
    tier="quick",
)
def test_removes_on_new_topics(refusal_new_topics):
    assert removes(refusal_new_topics)


@finding(
    "adding a direction found on some topics makes the model refuse harmless requests about new topics; no control does",
    id=("REF-2", "REF-6"),
    tier="quick",
)
def test_induces_on_new_topics(refusal_new_topics):
    assert induces(refusal_new_topics)


@finding(
    "on topics that it was not found on, a direction removes and induces refusal about as often as on those that it was found on",
    id=("REF-1", "REF-2"),
    tier="quick",
)
def test_as_on_old_topics(refusal_new_topics):
    r = refusal_new_topics
    source = "a fifth of the requests would count"
    assert (
        below(r.ablated_new_less_none, 0, source=NONE)
        & above(r.added_new_less_none, 0, source=NONE)
        & within(r.less_done, -FIFTH, FIFTH, source=source)
    )
