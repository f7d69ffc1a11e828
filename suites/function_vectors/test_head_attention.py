"""Do the top heads attend to the labels of the examples (Todd et al. 2024, figure 3 and appendix), as induction heads do?

Attention is value-weighted, from the last token of ten-shot prompts, and summed over the tokens of each role. An induction
head gives a fifth or more of its attention, from a token of a repeated random sequence, to what followed it the first time
(prefix matching). The control for attention is other heads of the same layers, three draws. Whether the top heads are simply the
induction heads is asked by their effect: as many heads with the best prefix matching are replaced in the same prompts.
In the null world the top heads are random ones.
"""

import numpy as np

from assay import methods
from assay.plugin import Metric, above, experiment, finding, not_eligible

INDUCTION = 0.2


@experiment
def fv_attention(lm, study, tier, less):
    """FV-15: how much the chosen heads attend to the tokens of each role."""
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    count, draws = study.choice.count, range(len(methods.RANDOM_KINDS))
    heads = [study.heads, *(study.random_order(draw)[:count] for draw in draws)]
    n = tier.choose(smoke=1, quick=2, full=16)
    trials = [one for name in study.main_able for one in study.draw(name, "valid", n, shots=10)]
    asked = [one.asked for one in trials]
    shares = methods.attention_by_role(lm, trials, [head for of in heads for head in of])
    top, *other = (
        {role: of[:, i * count : (i + 1) * count].mean(axis=1) for role, of in shares.items()}
        for i in range(len(heads))
    )
    next_role = max((role for role in top if role != "label"), key=lambda role: top[role].mean())
    of_other = {role: np.mean([of[role] for of in other], axis=0) for role in top}
    metrics = {"heads": [list(head) for head in study.heads], "next_role": next_role}
    for which, of in (("top", top), ("other", of_other)):
        by_role = {role: float(share.mean()) for role, share in of.items()}
        metrics[f"{which}_by_role"] = Metric(by_role, n=len(trials), tol=0.05)
        metrics[f"{which}_to_labels"] = Metric.mean(of["label"].tolist(), (0, 1), asked, tol=0.05)
    return {
        **metrics,
        "to_labels_less_other_heads": less(top["label"], *(of["label"] for of in other), clusters=asked, tol=0.05),
        "to_labels_less_next_role": less(top["label"], top[next_role], clusters=asked, tol=0.05),
    }


@experiment
def fv_induction(lm, study, tier, less):
    """FV-16: are the top heads those with the highest prefix-matching score?"""
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    length = tier.choose(smoke=20, quick=50, full=100)
    scores = methods.prefix_matching(lm, length=length, n=tier.choose(smoke=1, quick=3, full=4))
    measured = {
        "chance_score": Metric(1 / (1.5 * length), tol=1e-3),
        "prefix_matching_by_layer_head": Metric(scores, tol=0.05),
    }
    if scores.max() < INDUCTION:
        why = f"no head is an induction head: the best score is {scores.max():.2f}, and it takes {INDUCTION}"
        return not_eligible(why, **measured)
    k = max(study.choice.count, round(scores.size / 50), 2)
    trials = {name: study.corrupted_trials(name, study.corrupted, study.sizes.effects) for name in study.effects}
    late = {name: methods.query_halves(of) == 1 for name, of in trials.items()}
    # Both sets are chosen without the queries that the effects are reported on: half of each task's.
    by_effect = methods.ranked_heads(
        np.mean([e[~late[name]].mean(axis=0) for name, e in study.effects.items()], axis=0)
    )
    top = study.ranked[:k] if study.null else by_effect[:k]
    matching = methods.top_heads(scores, k)
    effects = np.concatenate([e[late[name]] for name, e in study.effects.items()])
    asked = [one.asked for name, of in trials.items() for one, chosen in zip(of, late[name], strict=True) if chosen]
    of_top, of_matching = (sum(effects[:, *head] for head in heads) for heads in (top, matching))
    return {
        **measured,
        "induction_heads": int((scores >= INDUCTION).sum()),
        "top_heads_score": Metric.mean([scores[head] for head in top], (0, 1), tol=0.05),
        "top_heads_are_induction_heads": Metric.share([scores[head] >= INDUCTION for head in top], tol=0.3),
        "overlap": Metric.share([head in matching for head in top], tol=0.3, control="chance_overlap"),
        "chance_overlap": k / scores.size,
        # Sums over heads have no bounds.
        "effect_of_top": Metric.mean(of_top.tolist(), clusters=asked, tol=0.03, control="effect_of_matching"),
        "effect_of_matching": Metric.mean(of_matching.tolist(), clusters=asked, tol=0.03),
        "effect_of_top_less_matching": less(of_top, of_matching, bounds=None, clusters=asked, tol=0.03),
    }


def test_attention_metrics(fv_attention, metrics):
    assert metrics == fv_attention


def test_induction_metrics(fv_induction, metrics):
    assert metrics == fv_induction


@finding("the task's heads look at the labels of the examples", id="FV-15", tier="quick")
def test_look_at_labels(fv_attention):
    # A tenth of the attention would count.
    more = above(fv_attention.to_labels_less_other_heads, 0, worth=0.1, source="other heads of the same layers")
    assert more & above(fv_attention.to_labels_less_next_role, 0, worth=0.1, source="tokens of the next role")


@finding(
    "the task's heads are not simply the induction heads: as many of those carry less of the task",
    id="FV-16",
    tier="quick",
)
def test_not_induction_heads(fv_induction):
    # A rise of .05 in probability would count, as in FV-3.
    assert above(fv_induction.effect_of_top_less_matching, 0, worth=0.05, source="no difference")
