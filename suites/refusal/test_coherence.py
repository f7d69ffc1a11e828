"""Side effects of the interventions (Arditi et al. 2024, sections 4.2, 4.3): ablation has almost none, subtraction has some.

Facts of this project stand for the paper's benchmarks (REF-10, a paper-variant): single hops, continued greedily; a fact counts
where the unedited model knows it. The loss (REF-11) is taken on the model's own answers to harmless requests, and on sentences
with those facts. That an intervention changes little is claimed together with its effect: one without any changes little, too.
"""

import numpy as np

import assay
from assay import methods
from assay.data.two_hop import answers, two_hop
from assay.plugin import Metric, above, below, experiment, finding, not_eligible, not_replicated

VARIANTS = ("none", "ablated", "subtracted", "random_ablated", "random_subtracted", "shuffled_subtracted")
ON_FACTS = VARIANTS[:-1]
NONE = "no difference"


def interventions(r, controls, i):
    """The edits of each variant for the i-th prompt; the random and shuffled ones are drawn anew for each."""
    random, shuffled = (some[i % len(some)] for some in (controls.random, controls.shuffled))
    edits = [
        [],
        [r.ablation()],
        [r.addition(-1.0)],
        [random.ablation()],
        [random.addition(-1.0)],
        [shuffled.addition(-1.0)],
    ]
    return dict(zip(VARIANTS, edits, strict=True))


@experiment
def refusal_facts(lm, english, controls, less, tier, progress):
    """REF-10: known single hops, answered under each intervention."""
    found, why = english
    if found is None:
        return not_eligible(why)
    hops = {q.second_hop: q for q in two_hop(limit=tier.choose(smoke=6, quick=160, full=None))}
    hops = list(hops.values())[: tier.choose(smoke=4, quick=40, full=None)]
    right = np.zeros((len(hops), len(ON_FACTS)), bool)
    for i, q in enumerate(progress(hops, "facts")):
        edits = interventions(found.direction, controls, i)
        is_right = lambda text, q=q: answers(text, q.e3_aliases)  # noqa: E731
        variants = [edits[name] for name in ON_FACTS]
        sweep = lm.sweep(q.second_hop, variants, max_tokens=10, stop=is_right, progress=False)
        right[i] = [is_right(answer.text) for answer in sweep.continuations]
    known = right[:, 0]
    if not known.any():
        return not_eligible(f"0 of {len(hops)} facts are known", n_facts=len(hops))
    metrics = less("harmful", "ablated", "random_ablated")
    for k, name in enumerate(ON_FACTS):
        metrics[f"right_{name}"] = Metric.rate(int(right[:, k].sum()), len(hops), tol=0.1)
    for k, name in enumerate(ON_FACTS[1:], 1):
        change = right[:, k].astype(float) - known
        metrics[f"change_{name}"] = Metric.mean(change.tolist(), bounds=(-1, 1), tol=0.1)
        metrics[f"kept_{name}"] = Metric.share(right[known, k], tol=0.1, unit="of known facts")
    return metrics


@experiment
def refusal_loss(lm, english, controls, less, held_out, tier, progress):
    """REF-11: nats per token on own answers and on sentences, under each intervention."""
    found, why = english
    if found is None:
        return not_eligible(why)
    prompts = held_out["harmless"]
    own = methods.own_answers(lm, prompts, max_tokens=tier.choose(smoke=8, quick=16, full=64))
    facts = {q.second_hop: f"{q.second_hop} {q.e3}." for q in two_hop(limit=64)}
    sentences = [lm.prompt(text) for text in list(facts.values())[: tier.choose(smoke=4, quick=16, full=None)]]
    starts, rests = [assay.Prompt(p.tokens[:2]) for p in sentences], [p.tokens[2:] for p in sentences]
    metrics = less("harmful", "ablated", "random_ablated")
    for name, given, said in (("own", prompts, own), ("text", starts, rests)):
        edits = [interventions(found.direction, controls, i) for i in range(len(given))]
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
        for control in ("random", "shuffled"):
            more = (loss["subtracted"] - loss[f"{control}_subtracted"]).tolist()
            most = float((loss[f"{control}_subtracted"] - loss["none"]).max())
            metrics[f"{name}_most_cost_{control}_subtracted"] = Metric(most, tol=0.3, unit="nats per token")
            metrics[f"{name}_subtraction_costs_more_than_{control}"] = Metric.mean(more, tol=0.1, unit="nats per token")
    return metrics


def test_facts_metrics(refusal_facts, metrics):
    assert metrics == refusal_facts


def test_loss_metrics(refusal_loss, metrics):
    assert metrics == refusal_loss


@finding(
    "ablation that removes refusal leaves known facts known (at most one in ten is lost)",
    id="REF-10",
    tier="quick",
)
def test_facts_stay(refusal_facts):
    assert above(refusal_facts.kept_ablated, 0.9, worth=0.0, source="at most one in ten is lost") & below(
        refusal_facts.refused_ablated_less_random_ablated, 0, source=NONE
    )


@finding(
    "ablation that removes refusal costs less than 0.1 nats per token of the model's own answers",
    id="REF-11",
    tier="quick",
)
def test_ablation_is_cheap(refusal_loss):
    assert below(refusal_loss.own_cost_ablated, 0.1, worth=0.0, source="plan: at most 0.1 nats") & below(
        refusal_loss.refused_ablated_less_random_ablated, 0, source=NONE
    )


@finding("subtraction costs more than ablation, and than subtracting another vector", id="REF-11", tier="quick")
@not_replicated(
    "llama_tiny",
    "gemma_tiny",
    "qwen_tiny",
    tier="quick",
    reason="more than ablation, but a random vector of that length costs up to 4.4, 3.8, 6.3 nats, it 1.3, 2.1, 3.5",
)
@not_replicated(
    "qwencoder05b",
    tier="quick",
    reason="0.06 [-0.02, 0.14] nats more than ablation; a random vector of that length costs up to 0.31, it 0.11",
)
def test_subtraction_costs_more(refusal_loss):
    r, counts = refusal_loss, 0.1  # nats per token: what ablation may cost at most
    assert (
        above(r.own_subtraction_costs_more, 0, worth=counts, source=NONE)
        & above(r.own_cost_subtracted, r.own_most_cost_random_subtracted, worth=counts, source="the costliest draw")
        & above(r.own_cost_subtracted, r.own_most_cost_shuffled_subtracted, worth=counts, source="the costliest draw")
    )
