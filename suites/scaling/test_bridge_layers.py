"""At which layer is the bridge of a two-hop query at its entity? (Plan V2, phase 4: asked, and not measured.)

The state at the end of "the state containing Dallas" is put into "The capital of x is" in the place of x, at the same layer.
The state of "Dallas" alone, as in "The capital of Dallas is", makes Austin likelier, too, with no bridge: cities of Texas occur
together. So an effect is what the one does less what the other does, at the same layer, and queries that the model answers from
"The capital of Dallas is" are left out, as are those that it answers without Dallas. Before the bridge (Texas) is resolved
both are a city's name there, and too late the second hop has no layers left to look it up. The control has the states of
other queries, less those of their names. Queries with one bridge are one cluster. In a built-in model late entities are left out.
"""

from assay.plugin import above, below, experiment, finding, not_replicated

NONE = "no difference"
NAT = 1.0  # the probability times e


@experiment
def bridge_patched_by_layer(measured):
    """Probability of the answer to the second hop alone with the state at a two-hop query's entity put in, less its name's."""
    return measured("bridge").curves()


@experiment
def bridge_patched_best_layer(measured):
    """The layer whose state at the end of the entity is the bridge for the second hop."""
    return measured("bridge").depths()


def test_bridge_curve_metrics(bridge_patched_by_layer, metrics):
    assert metrics == bridge_patched_by_layer


def test_bridge_depth_metrics(bridge_patched_best_layer, metrics):
    assert metrics == bridge_patched_best_layer


@finding(
    "a two-hop query's state at its entity makes the second hop alone answer it more than its name does, beyond other queries' "
    "at any layer",
    id="PLAN-5",
    tier="quick",
)
@not_replicated(
    "qwen_tiny",
    "gemma_tiny",
    tier="quick",
    reason="0.18 nats [-0.15, 0.51] and 0.44 [-0.01, 0.89], n 32: the name alone does nearly as much",
)
def test_bridge_acts(bridge_patched_by_layer):
    assert above(bridge_patched_by_layer.peak_less_control, 0, worth=NAT, source=NONE)


@finding(
    "the bridge of a two-hop query is there in the first half of the depth", id="PLAN-5", measure="depth", tier="quick"
)
def test_bridge_depth(bridge_patched_best_layer):
    # a layer, in per cent
    assert below(
        bridge_patched_best_layer.depth,
        50,
        worth=100 / (int(bridge_patched_best_layer.n_layers) - 1),
        source="half of the depth",
    )
