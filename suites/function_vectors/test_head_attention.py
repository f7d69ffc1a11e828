"""Do the top heads attend to the labels of the examples (Todd et al. 2024, figure 3 and appendix), as induction heads do?

Attention is value-weighted, from the last token of ten-shot prompts, and summed over the tokens of each role. An induction
head gives a fifth or more of its attention, from a token of a repeated random sequence, to what followed it the first time
(prefix matching). The control is other heads of the same layers.
"""

import numpy as np

from assay import methods
from assay.plugin import Metric, experiment, finding, not_eligible

INDUCTION = 0.2


@experiment
def fv_attention(lm, study, tier):
    """FV-15: how much the chosen heads attend to the tokens of each role."""
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    heads = {"top": study.heads, "other": study.random_order(study.main_able[0])[: study.choice.count]}
    n = tier.choose(smoke=1, quick=2, full=16)
    trials = [one for name in study.main_able for one in study.draw(name, "valid", n, shots=10)]
    metrics = {"heads": [list(head) for head in study.heads]}
    shares = methods.attention_by_role(lm, trials, [*heads["top"], *heads["other"]])
    for i, which in enumerate(heads):
        chosen = slice(i * len(study.heads), (i + 1) * len(study.heads))
        by_role = {role: float(share[:, chosen].mean()) for role, share in shares.items()}
        label = shares["label"][:, chosen].mean(axis=1).tolist()
        metrics[f"{which}_by_role"] = Metric(by_role, n=len(trials), tol=0.05)
        metrics[f"{which}_to_labels"] = Metric.mean(label, tol=0.05)
    return metrics


@experiment
def fv_induction(lm, study, tier):
    """FV-16: are the top heads those with the highest prefix-matching score?"""
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    length = tier.choose(smoke=20, quick=50, full=100)
    scores = methods.prefix_matching(lm, length=length, n=tier.choose(smoke=1, quick=3, full=4))
    measured = {
        "chance_score": Metric(1 / (1.5 * length), tol=1e-3),
        "best_score": Metric(float(scores.max()), tol=0.05),
        "prefix_matching_by_layer_head": Metric(scores, tol=0.05),
    }
    if scores.max() < INDUCTION:
        return not_eligible(f"no head is an induction head: none has a score of {INDUCTION}", **measured)
    k = max(study.choice.count, round(scores.size / 50), 2)
    aie = np.mean([effects.mean(axis=0) for effects in study.effects.values()], axis=0)
    return {
        **measured,
        "induction_heads": int((scores >= INDUCTION).sum()),
        "top_heads_score": Metric(float(np.mean([scores[head] for head in study.ranked[:k]])), n=k, tol=0.05),
        "top_heads_are_induction_heads": Metric.share(
            [scores[head] >= INDUCTION for head in study.ranked[:k]], tol=0.3
        ),
        "score_effect_correlation": Metric(
            float(np.corrcoef(scores.ravel(), aie.ravel())[0, 1]), n=scores.size, tol=0.2
        ),
    }


def test_attention_metrics(fv_attention, metrics):
    assert metrics == fv_attention


def test_induction_metrics(fv_induction, metrics):
    assert metrics == fv_induction


@finding("the top heads look at the labels of the examples", id="FV-15", tier="quick")
def test_look_at_labels(fv_attention):
    assert fv_attention.top_to_labels.low > fv_attention.other_to_labels.high
    by_role = fv_attention.top_by_role
    assert max(by_role.value, key=by_role.value.get) == "label"


@finding("they are not simply the induction heads", id="FV-16", tier="quick")
def test_not_induction_heads(fv_induction):
    assert fv_induction.top_heads_are_induction_heads.high < 1
