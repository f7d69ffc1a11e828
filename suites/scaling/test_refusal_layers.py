"""At which layer does refusal act? (Plan V2, phases 1 and 4: "best layer at 60-65 % depth across all models", picked by length.)

The direction of a layer is the difference in means of harmful and harmless requests at the last token. It is added there
in harmless requests, as it is, and the score is the log-odds of the tokens that begin the model's refusals. (The paper adds it at
all positions; where a phenomenon is at one, as all others here, layers can be compared.)
"""

from plan_v2 import at_depth

from assay.plugin import above, below, experiment, finding, not_replicated

NONE = "no difference"
NAT = 1.0  # of log-odds: the odds times e
LAYER = 1.0  # the least difference of two layers


@experiment
def refusal_by_layer(measured):
    """Odds of a refusal of harmless requests with the refusal direction of each layer added."""
    return measured("refusal").curves()


@experiment
def refusal_best_layer(measured):
    """The layer whose refusal direction makes harmless requests refused most."""
    return measured("refusal").depths()


def test_refusal_curve_metrics(refusal_by_layer, metrics):
    assert metrics == refusal_by_layer


def test_refusal_depth_metrics(refusal_best_layer, metrics):
    assert metrics == refusal_best_layer


@finding(
    "refusal directions make harmless requests refused, more than random vectors at any layer",
    id="PLAN-1",
    tier="quick",
)
def test_refusal_acts(refusal_by_layer):
    assert above(refusal_by_layer.peak_less_control, 0, worth=NAT, source=NONE)


@finding("the longest refusal direction is of a later layer than the one that acts most", id="PLAN-1", tier="quick")
def test_refusal_before_longest(refusal_best_layer):
    assert below(refusal_best_layer.layer, refusal_best_layer.norm_layer, worth=LAYER)


@finding("refusal is decided at 60 to 65 % of the depth", id="PLAN-1", measure="depth", tier="quick")
@not_replicated(
    "qwen_tiny",
    tier="quick",
    reason="layer 0 of 8, 0 % [-7, 50]: early layers' directions already make it refuse, and the effect is level from there to 3",
)
def test_refusal_depth(refusal_best_layer):
    assert at_depth(refusal_best_layer, "refusal")
