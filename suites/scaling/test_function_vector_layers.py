"""At which layer does what examples add to the last token act? (Plan V2, phase 3: 40-60 % predicted, longest at about 75 %.)

The vector of a task is the plan's: the stream at the last token after ten examples less that without any, in the mean over
queries that are answered right. It is added at the last token of other queries without examples; the score is the log-probability
of the right answer's first token. Claims are about the six main tasks, and each query is one observation.
"""

from plan_v2 import at_depth

from assay.plugin import above, below, experiment, finding

NONE = "no difference"
LAYER = 1.0  # the least difference of two layers


@experiment
def function_vectors_by_layer(measured):
    """Probability of the right answer without examples, with what ten examples change in the mean added at the last token."""
    return measured("function vectors").curves()


@experiment
def function_vectors_best_layer(measured):
    """The layer at which the mean difference that examples make brings out the answer most."""
    return measured("function vectors").depths()


def test_function_vectors_curve_metrics(function_vectors_by_layer, metrics):
    assert metrics == function_vectors_by_layer


def test_function_vectors_depth_metrics(function_vectors_best_layer, metrics):
    assert metrics == function_vectors_best_layer


@finding(
    "the mean difference that ten examples make brings out answers without examples, more than random vectors at any layer",
    id="PLAN-6",
    tier="quick",
)
def test_function_vectors_act(function_vectors_by_layer):
    # Half a nat, as of FV-20: the right answer becomes more than one and a half times as likely.
    assert above(function_vectors_by_layer.peak_less_control, 0, worth=0.5, source=NONE)


@finding(
    "the longest mean difference that ten examples make is of a later layer than the one that acts most",
    id="PLAN-6",
    tier="quick",
)
def test_function_vectors_before_longest(function_vectors_best_layer):
    assert below(function_vectors_best_layer.layer, function_vectors_best_layer.norm_layer, worth=LAYER)


@finding(
    "the difference that ten examples make acts most at 40 to 60 % of the depth",
    id="PLAN-6",
    measure="depth",
    tier="quick",
)
def test_function_vectors_depth(function_vectors_best_layer):
    assert at_depth(function_vectors_best_layer, "function vectors")
