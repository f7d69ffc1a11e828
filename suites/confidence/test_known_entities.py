"""A direction between known and made-up names, and its effect on answers (Ferrando et al. 2024, CONF-6).

The paper finds it with sparse autoencoders; this variant takes the difference in means at the end of the names. Measured on the
test names: how well it separates them at each layer, and the answers when it is added at the end of a known name, or subtracted
at the end of a made-up one. For separation its layer is chosen by separation of validation names; for steering, by the
probability that answers about validation names begin with not knowing.

In a built-in model late names are left out: their hops are resolved in too late a layer to be used (`testbed.json`).
"""

import pytest

from assay import methods
from assay.data.knowledge import admits, entities
from assay.plugin import Metric, experiment, finding, not_eligible

AT_LEAST = 4  # least number of names of each kind with the right answer; with fewer, steering has nothing to change


@pytest.fixture(scope="session")
def names(lm, late, two_kinds):
    """The directions from known to made-up names."""

    def places(split, known):
        asked = [item for item in entities(split) if item.known == known and item.name not in late]
        return [methods.place_at_end_of(lm, item.question, item.name) for item in asked]

    return two_kinds({split: [places(split, known) for known in (False, True)] for split in ("train", "valid", "test")})


@experiment
def entity_separation(names):
    """How well the direction separates test names."""
    return names.separation()


@experiment
def entity_steering(names, tier):
    """Answers about known names with the direction added, and about made-up names with it subtracted."""
    n = tier.choose(smoke=4, quick=None, full=None)
    made_up, known = (kind[:n] for kind in names.places["test"])
    made_up, known = names.answered(made_up, admits), names.answered(known, lambda text: not admits(text))
    told = names.answered(names.places["valid"][1], lambda text: not admits(text))
    counts = {"n_known": len(known), "n_made_up": len(made_up), "n_valid": len(told)}
    if min(counts.values()) < AT_LEAST:
        return not_eligible(
            f"fewer than {AT_LEAST} known names told, or made-up ones admitted not to be known", **counts
        )
    directions = names.acting(told, names.first_token(made_up[0]))
    return {
        **counts,
        "layer": directions[0].layer,
        "strength": Metric(directions[0].strength, unit="mean length of the stream", tol=0.05),
        **names.steered("known_admitted", known, directions, 1.0, admits),
        **names.steered("made_up_admitted", made_up, directions, -1.0, admits),
    }


def test_separation_metrics(entity_separation, metrics):
    assert metrics == entity_separation


def test_steering_metrics(entity_steering, metrics):
    assert metrics == entity_steering


@finding("a direction at the end of a name parts new made-up names from known ones", id="CONF-6", tier="quick")
def test_parts(entity_separation):
    assert entity_separation.auroc.low > max(0.5, entity_separation.auroc_shuffled.high)


@finding("added, it makes known names unknown; others do not", id="CONF-6", tier="quick")
def test_makes_unknown(entity_steering):
    assert entity_steering.known_admitted.low > entity_steering.known_admitted_random.high
    assert entity_steering.known_admitted.low > entity_steering.known_admitted_shuffled.high


@finding("subtracted, it makes made-up names answered; others do not", id="CONF-6", tier="quick")
def test_makes_known(entity_steering):
    assert entity_steering.made_up_admitted.high < entity_steering.made_up_admitted_random.low
    assert entity_steering.made_up_admitted.high < entity_steering.made_up_admitted_shuffled.low
