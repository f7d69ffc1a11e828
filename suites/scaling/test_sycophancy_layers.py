"""At which layer does sycophancy act? (Plan V2, phases 1 and 4: layers 19 to 22 of 26 and 28, picked by length.)

It is measured in two ways. View: what the end of an option holds if the user's view names it, exchanged between the two options
of questions on which answers follow the view. Agreement: the vector of questions with two options (Rimsky et al. 2024), added
before the letter. Questions on one topic are one cluster.
"""

from plan_v2 import at_depth

from assay.plugin import above, below, experiment, finding, not_replicated

NONE = "no difference"
NAT = 1.0  # of log-odds: the odds times e
LAYER = 1.0  # the least difference of two layers


@experiment
def view_by_layer(measured):
    """Odds of the letter against the user's view with what marks the option that it names exchanged between the options."""
    return measured("view").curves()


@experiment
def view_best_layer(measured):
    """The layer at which the answer is turned against the user's view most."""
    return measured("view").depths()


@experiment
def agreement_by_layer(measured):
    """Odds of the letter that agrees with the user with the contrastive vector of each layer added before it."""
    return measured("agreement").curves()


@experiment
def agreement_best_layer(measured):
    """The layer whose contrastive vector makes agreeing likeliest."""
    return measured("agreement").depths()


def test_view_curve_metrics(view_by_layer, metrics):
    assert metrics == view_by_layer


def test_view_depth_metrics(view_best_layer, metrics):
    assert metrics == view_best_layer


def test_agreement_curve_metrics(agreement_by_layer, metrics):
    assert metrics == agreement_by_layer


def test_agreement_depth_metrics(agreement_best_layer, metrics):
    assert metrics == agreement_best_layer


@finding(
    "what marks the option that a user's view names turns the answer, more than random vectors at any layer",
    id="PLAN-2",
    tier="quick",
)
def test_view_acts(view_by_layer):
    assert above(view_by_layer.peak_less_control, 0, worth=NAT, source=NONE)


@finding(
    "contrastive vectors of sycophancy make answers agree with the user, more than random vectors at any layer",
    id="PLAN-2",
    tier="quick",
)
@not_replicated(
    "llama_tiny",
    "qwen_tiny",
    "gemma_tiny",
    tier="quick",
    reason="no such questions in training: -0.01, -0.02 and -0.06 nats",
)
def test_agreement_acts(agreement_by_layer):
    assert above(agreement_by_layer.peak_less_control, 0, worth=NAT, source=NONE)


@finding(
    "the longest difference between the named option and the other is of a later layer than the one that acts most",
    id="PLAN-2",
    tier="quick",
)
def test_view_before_longest(view_best_layer):
    assert below(view_best_layer.layer, view_best_layer.norm_layer, worth=LAYER)


@finding(
    "the longest contrastive vector of sycophancy is of a later layer than the one that acts most",
    id="PLAN-2",
    tier="quick",
)
def test_agreement_before_longest(agreement_best_layer):
    assert below(agreement_best_layer.layer, agreement_best_layer.norm_layer, worth=LAYER)


@finding(
    "the option that a user's view names is marked at 76 to 82 % of the depth, the plan's layers of sycophancy",
    id="PLAN-2",
    measure="depth",
    tier="quick",
)
@not_replicated("qwen_tiny", tier="quick", reason="planted at layers 2 to 4 of 8, and found at layer 3, 43 % [7, 64]")
def test_view_depth(view_best_layer):
    assert at_depth(view_best_layer, "view")


@finding(
    "contrastive vectors of sycophancy act most at 76 to 82 % of the depth, the plan's layers",
    id="PLAN-2",
    measure="depth",
    tier="quick",
)
def test_agreement_depth(agreement_best_layer):
    assert at_depth(agreement_best_layer, "agreement")
