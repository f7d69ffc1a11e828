"""Does the refusal score agree with refusal substrings in the answers (Arditi et al. 2024, appendix B)?

Over all test requests, harmful and harmless: unedited, and again under interventions that move the score.
"""

import numpy as np

from assay import methods
from assay.plugin import Metric, above, experiment, finding, not_eligible


@experiment
def refusal_metric(english, judged, null_world):
    """REF-15: agreement of the sign of the score with the judgement of the answer, and how far apart the scores lie."""
    found, why = english
    if found is None:
        return not_eligible(why)
    everything = [(kind, name) for kind, outcomes in judged.items() for name in outcomes]
    metrics = {}
    for label, chosen in (("unedited", [(kind, "none") for kind in judged]), ("edited", everything)):
        score = np.concatenate([judged[kind][name].score for kind, name in chosen])
        refused = np.concatenate([judged[kind][name].refused for kind, name in chosen])
        request = [(kind, i) for kind, name in chosen for i in range(len(judged[kind][name].score))]
        if null_world:  # the answers of other requests
            refused = np.random.default_rng(0).permutation(refused)
        # Edited rows of one request are not independent.
        metrics[f"agreement_{label}"] = Metric.share((score > 0) == refused, clusters=request, tol=0.05)
        metrics[f"judgements_{label}"] = len(refused)
        if refused.any() and not refused.all():
            requests = [len({request[i] for i in np.flatnonzero(rows)}) for rows in (refused, ~refused)]
            area = methods.auroc(score[refused], score[~refused])
            metrics[f"auroc_{label}"] = Metric.auroc(area, *requests, tol=0.03)
            metrics[f"scores_refused_{label}"] = Metric(quartiles(score[refused]), n=int(refused.sum()), tol=1.0)
            metrics[f"scores_answered_{label}"] = Metric(quartiles(score[~refused]), n=int((~refused).sum()), tol=1.0)
    return metrics


def quartiles(values):
    """Minimum, quartiles and maximum."""
    return np.quantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist()


def test_metrics(refusal_metric, metrics):
    assert metrics == refusal_metric


@finding("the refusal score and the answers agree", id="REF-15", tier="quick")
def test_agrees(refusal_metric):
    assert above(refusal_metric.agreement_unedited, 0.8, worth=0.0, source="four of five")


@finding("the refusal score and the answers agree under interventions too", id="REF-15", tier="quick")
def test_agrees_when_edited(refusal_metric):
    assert above(refusal_metric.agreement_edited, 0.8, worth=0.0, source="four of five")
