"""At which layer does the model's knowledge of what it knows act? (Plan V2, phases 1 and 4: layers 21 of 26 and 22 of 28.)

Confidence: the direction from known to made-up names, added at the end of known ones; the score is the log-odds of the token that
begins the model's "I do not know". Truth: the direction from false to true statements, added at the end of false ones that
are called so; the score is the log-odds of "True" against "False". In a built-in model late entities are left out.
"""

from plan_v2 import at_depth

from assay.plugin import above, below, experiment, finding, not_replicated

NONE = "no difference"
NAT = 1.0  # of log-odds: the odds times e
LAYER = 1.0  # the least difference of two layers


@experiment
def confidence_by_layer(measured):
    """Odds of beginning with not knowing, of known names, with the direction to made-up names of each layer added."""
    return measured("confidence").curves()


@experiment
def confidence_best_layer(measured):
    """The layer whose direction makes known names unknown most."""
    return measured("confidence").depths()


@experiment
def truth_by_layer(measured):
    """Odds of "True", of false statements, with the direction to true ones of each layer added at their ends."""
    return measured("truth").curves()


@experiment
def truth_best_layer(measured):
    """The layer whose direction makes false statements true most."""
    return measured("truth").depths()


def test_confidence_curve_metrics(confidence_by_layer, metrics):
    assert metrics == confidence_by_layer


def test_confidence_depth_metrics(confidence_best_layer, metrics):
    assert metrics == confidence_best_layer


def test_truth_curve_metrics(truth_by_layer, metrics):
    assert metrics == truth_by_layer


def test_truth_depth_metrics(truth_best_layer, metrics):
    assert metrics == truth_best_layer


@finding(
    "directions to made-up names make known names unknown, more than random vectors at any layer",
    id="PLAN-3",
    tier="quick",
)
def test_confidence_acts(confidence_by_layer):
    assert above(confidence_by_layer.peak_less_control, 0, worth=NAT, source=NONE)


@finding(
    "directions to true statements make false ones called true, more than random vectors at any layer",
    id="PLAN-4",
    tier="quick",
)
def test_truth_acts(truth_by_layer):
    assert above(truth_by_layer.peak_less_control, 0, worth=NAT, source=NONE)


@finding(
    "the longest direction to made-up names is of a later layer than the one that acts most", id="PLAN-3", tier="quick"
)
def test_confidence_before_longest(confidence_best_layer):
    assert below(confidence_best_layer.layer, confidence_best_layer.norm_layer, worth=LAYER)


@finding(
    "the longest direction to true statements is of a later layer than the one that acts most",
    id="PLAN-4",
    tier="quick",
)
@not_replicated(
    "llama_tiny",
    "qwen_tiny",
    "gemma_tiny",
    tier="quick",
    reason="planted from layer 5 of 8 on; it acts most at layers 5, 5 and 6, and is longest at 5",
)
def test_truth_before_longest(truth_best_layer):
    assert below(truth_best_layer.layer, truth_best_layer.norm_layer, worth=LAYER)


@finding(
    "directions to made-up names act most at 76 to 84 % of the depth, the plan's layers of confidence",
    id="PLAN-3",
    measure="depth",
    tier="quick",
)
@not_replicated(
    "llama_tiny",
    "qwen_tiny",
    tier="quick",
    reason="planted at the ends of names from layer 2 of 8, and found at layers 2 and 3: 29 % [-7, 64] and 43 % [22, 50]",
)
def test_confidence_depth(confidence_best_layer):
    assert at_depth(confidence_best_layer, "confidence")
