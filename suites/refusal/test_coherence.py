"""Side effects of the interventions (Arditi et al. 2024, sections 4.2, 4.3): ablation has almost none, subtraction has some.

Facts of this project stand for the paper's benchmarks (REF-10, a paper-variant): single hops, continued greedily. The loss
(REF-11) is taken on the model's own answers to harmless requests, and on sentences with those facts.
"""

import numpy as np

import assay
from assay import methods
from assay.data.two_hop import answers, two_hop
from assay.plugin import Metric, experiment, finding, not_eligible, not_replicated

VARIANTS = ("none", "ablated", "subtracted", "random_ablated", "random_subtracted")


def interventions(r, random):
    """The edits of each variant; the random ones are drawn anew for each prompt."""
    edits = [[], [r.ablation()], [r.addition(-1.0)], [random.ablation()], [random.addition(-1.0)]]
    return dict(zip(VARIANTS, edits, strict=True))


@experiment
def refusal_facts(lm, english, controls, tier, progress):
    """REF-10: known single hops, answered under each intervention."""
    found, why = english
    if found is None:
        return not_eligible(why)
    hops = {q.second_hop: q for q in two_hop(limit=tier.choose(smoke=6, quick=64, full=None))}
    hops = list(hops.values())[: tier.choose(smoke=4, quick=24, full=None)]
    right = np.zeros((len(hops), len(VARIANTS)), bool)
    for i, q in enumerate(progress(hops, "facts")):
        edits = interventions(found.direction, controls.random[i % len(controls.random)])
        is_right = lambda text, q=q: answers(text, q.e3_aliases)  # noqa: E731
        sweep = lm.sweep(q.second_hop, list(edits.values()), max_tokens=10, stop=is_right, progress=False)
        right[i] = [is_right(answer.text) for answer in sweep.continuations]
    if not right[:, 0].any():
        return not_eligible(f"0 of {len(hops)} facts are known", n_facts=len(hops))
    metrics = {
        f"right_{name}": Metric.rate(int(right[:, k].sum()), len(hops), tol=0.1) for k, name in enumerate(VARIANTS)
    }
    for k, name in enumerate(VARIANTS[1:], 1):
        change = right[:, k].astype(float) - right[:, 0]
        metrics[f"change_{name}"] = Metric.mean(change.tolist(), tol=0.1)
    return metrics


@experiment
def refusal_loss(lm, english, controls, held_out, tier, progress):
    """REF-11: nats per token on own answers and on sentences, under each intervention."""
    found, why = english
    if found is None:
        return not_eligible(why)
    prompts = held_out["harmless"]
    own = methods.own_answers(lm, prompts, max_tokens=tier.choose(smoke=8, quick=16, full=64))
    facts = {q.second_hop: f"{q.second_hop} {q.e3}." for q in two_hop(limit=64)}
    sentences = [lm.prompt(text) for text in list(facts.values())[: tier.choose(smoke=4, quick=16, full=None)]]
    starts, rests = [assay.Prompt(p.tokens[:2]) for p in sentences], [p.tokens[2:] for p in sentences]
    metrics = {}
    for name, given, said in (("own", prompts, own), ("text", starts, rests)):
        edits = [interventions(found.direction, controls.random[i % len(controls.random)]) for i in range(len(given))]
        loss = methods.answer_loss(
            lm, given, said, edits, track=lambda loop, name=name: progress(loop, f"loss ({name})")
        )
        for variant in VARIANTS:
            metrics[f"{name}_{variant}"] = Metric.mean(loss[variant].tolist(), tol=0.1, unit="nats per token")
        for variant in VARIANTS[1:]:
            cost = (loss[variant] - loss["none"]).tolist()
            metrics[f"{name}_cost_{variant}"] = Metric.mean(cost, tol=0.1, unit="nats per token")
        more = (loss["subtracted"] - loss["ablated"]).tolist()
        metrics[f"{name}_subtraction_costs_more"] = Metric.mean(more, tol=0.1, unit="nats per token")
    return metrics


def test_facts_metrics(refusal_facts, metrics):
    assert metrics == refusal_facts


def test_loss_metrics(refusal_loss, metrics):
    assert metrics == refusal_loss


@finding("ablation leaves known facts known (at most one in ten is lost)", id="REF-10", tier="quick")
def test_facts_stay(refusal_facts):
    assert refusal_facts.change_ablated.low > -0.1


@finding("ablation costs less than 0.1 nats per token of the model's own answers", id="REF-11", tier="quick")
@not_replicated("qwen_tiny", tier="quick", reason="0.05 in the mean, and the interval of ten reaches 0.15")
def test_ablation_is_cheap(refusal_loss):
    assert refusal_loss.own_cost_ablated.high < 0.1


@finding("subtraction costs more than ablation", id="REF-11", tier="quick")
@not_replicated("qwencoder05b", tier="quick", reason="0.11 [0.00, 0.24] nats more, n 10")
def test_subtraction_costs_more(refusal_loss):
    assert refusal_loss.own_subtraction_costs_more.low > 0
