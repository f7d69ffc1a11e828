"""Do different phenomena act at different layers? (Plan V2, phase 1: "layer comparison"; its result: refusal at 60-65 % of the
depth, sycophancy and confidence later, at 73-81 %, "different layers, different mechanisms".)

The best layers are by effect, those of the other modules of this folder. A difference of two has an interval from both of theirs;
of the two phenomena that are furthest apart it is corrected for the choice among all of them. In the null world all phenomena
are samples of the prompts of one.
"""

from assay import methods
from assay.plugin import Metric, above, experiment, finding, not_eligible

NONE = "no difference"
LAYER = 1.0  # one layer is the least difference of two layers
ALL = ("refusal", "view", "agreement", "confidence", "truth", "bridge", "function vectors")


@experiment
def layer_comparison(best_layers):
    """The depths of all phenomena that have a best layer, and the two that are furthest apart."""
    found, without = best_layers(ALL)
    if len(found) < 2:
        return not_eligible(
            f"{len(found)} of {len(ALL)} phenomena have a best layer, and it takes 2", found=list(found)
        )
    late, early, apart, interval = methods.furthest_apart(found)
    return {
        "depths": Metric({name: best.depth for name, best in found.items()}, tol=15.0, unit="% of the depth"),
        "without_a_best_layer": without,
        "furthest_apart": [early, late],
        "layers_apart": layers(found[late], found[early], apart, interval),
    }


def layers(late, early, apart, interval):
    n = min(late.n_clusters, early.n_clusters)
    return Metric(apart, ci=interval, n=n, tol=1, unit="layers")


def after_refusal(best_layers, name):
    """Metric: by how many layers a phenomenon's best layer is after that of refusal."""
    found, without = best_layers((name, "refusal"))
    if without:
        return not_eligible("; ".join(f"{one}: {reason}" for one, reason in without.items()))
    late, early = found[name], found["refusal"]
    return {"layers_after_refusal": layers(late, early, *methods.layer_difference(late, early))}


@experiment
def view_after_refusal(best_layers):
    """The layer that turns answers against the user's view, and that of refusal."""
    return after_refusal(best_layers, "view")


@experiment
def agreement_after_refusal(best_layers):
    """The layer whose contrastive vector of sycophancy acts most, and that of refusal."""
    return after_refusal(best_layers, "agreement")


@experiment
def confidence_after_refusal(best_layers):
    """The layer whose direction makes known names unknown most, and that of refusal."""
    return after_refusal(best_layers, "confidence")


def test_comparison_metrics(layer_comparison, metrics):
    assert metrics == layer_comparison


def test_view_metrics(view_after_refusal, metrics):
    assert metrics == view_after_refusal


def test_agreement_metrics(agreement_after_refusal, metrics):
    assert metrics == agreement_after_refusal


def test_confidence_metrics(confidence_after_refusal, metrics):
    assert metrics == confidence_after_refusal


@finding("of all phenomena, the two that are furthest apart act at different layers", id="PLAN-7", tier="quick")
def test_layers_differ(layer_comparison):
    assert above(layer_comparison.layers_apart, 0, worth=LAYER, source=NONE)


@finding("what marks the option that a user's view names acts at a later layer than refusal", id="PLAN-7", tier="quick")
def test_view_is_later(view_after_refusal):
    assert above(view_after_refusal.layers_after_refusal, 0, worth=LAYER, source=NONE)


@finding("contrastive vectors of sycophancy act at a later layer than refusal", id="PLAN-7", tier="quick")
def test_agreement_is_later(agreement_after_refusal):
    assert above(agreement_after_refusal.layers_after_refusal, 0, worth=LAYER, source=NONE)


@finding("directions from known to made-up names act at a later layer than refusal", id="PLAN-7", tier="quick")
def test_confidence_is_later(confidence_after_refusal):
    assert above(confidence_after_refusal.layers_after_refusal, 0, worth=LAYER, source=NONE)
