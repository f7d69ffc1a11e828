"""Calibration at a fitted temperature, for test_calibration.py: with the spread of the temperature in every interval.

A temperature is fitted on some questions, and judged on others. What is measured there is uncertain in both: an interval is that
of the judged questions, with the spread over temperatures that are fitted on the first ones drawn again, as many, with all
questions about one entity together. Both distances from its middle are squared and added, as for a difference (Zou and Donner
2008).
"""

from dataclasses import replace

import numpy as np

from assay import methods
from assay.plugin import Metric

DRAWS = 200


def scaled(fitted, judged, bins):
    """Metrics at the temperature that suits other questions best. Both: log-probabilities [N, K], the right ones, entities."""
    temperature, drawn = methods.fit_temperature(*fitted[:2]), refitted(*fitted)
    gain, error, ends = at_temperature(temperature, judged, bins)
    again = [at_temperature(one, judged, bins, interval=False)[:2] for one in drawn]
    low, high = (float(end) for end in np.quantile(drawn, [0.025, 0.975]))
    return {
        "temperature": Metric(
            temperature, n=len(fitted[1]), ci=(min(low, temperature), max(high, temperature)), tol=0.3
        ),
        "ece_at_temperature": with_spread(
            Metric(error, n=len(judged[1]), ci=ends, tol=0.05, control="ece"), [one for _, one in again], (0, 1)
        ),
        "log_loss_saved_by_temperature": with_spread(
            Metric.mean(gain.tolist(), clusters=judged[2], unit="nats", tol=0.1), [one.mean() for one, _ in again]
        ),
    }


def refitted(logits, right, about):
    """The temperatures of as many entities, drawn again, with all questions about them: [DRAWS]."""
    rng, drawn = np.random.default_rng(0), []
    of = [np.flatnonzero([one == name for one in about]) for name in dict.fromkeys(about)]
    for _ in range(DRAWS):
        some = np.concatenate([of[i] for i in rng.integers(len(of), size=len(of))])
        drawn.append(methods.fit_temperature(logits[some], right[some]))
    return drawn


def at_temperature(temperature, judged, bins, interval=True):
    """What the log-probability of each right letter gains, the calibration error of the likeliest, and its interval."""
    logits, right, _ = judged
    cooled = methods.log_probs(logits / temperature)
    stated, came_true = np.exp(cooled).max(axis=1), cooled.argmax(axis=1) == right
    error = methods.expected_calibration_error(methods.reliability_curve(stated, came_true, bins))
    ends = (
        methods.calibration_error_interval(stated, came_true, np.random.default_rng(0), bins=bins) if interval else None
    )
    return (cooled - logits)[np.arange(len(right)), right], error, ends


def with_spread(metric, drawn, bounds=(-np.inf, np.inf)):
    """The metric with an interval that holds the spread of what it depends on, too: both distances are squared and added."""
    below, beyond = np.maximum(np.array([1, -1]) * (metric.value - np.quantile(drawn, [0.025, 0.975])), 0)
    centre, half = (metric.low + metric.high) / 2, (metric.high - metric.low) / 2
    low, high = centre - np.hypot(half, below), centre + np.hypot(half, beyond)
    return replace(metric, ci=(float(max(low, bounds[0])), float(min(high, bounds[1]))))
