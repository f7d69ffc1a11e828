"""A direction between known and made-up names, and its effect on answers (Ferrando et al. 2024, CONF-6).

The paper finds it with sparse autoencoders; this variant takes the difference in means at the end of the names. Measured on the
test names: how well it separates them at each layer, and the answers when it is added at the end of a known name, or subtracted
at the end of a made-up one. For separation its layer is chosen by separation of validation names; for steering, by the
probability that answers about validation names begin with not knowing.

Made-up names may look made up. So their separation is compared with that of the words alone: a difference in means of the names'
embeddings, before any layer.

In a built-in model late names are left out: their hops are resolved in too late a layer to be used (`testbed.json`).
"""

import numpy as np
import pytest

import assay
from assay import methods
from assay.data.knowledge import admits, entities
from assay.forward.positions import resolve
from assay.plugin import Metric, above, below, experiment, finding, not_eligible, not_replicated

NONE = "no difference"
COUNTS = 0.05  # of an area: a twentieth of all pairs of a made-up and a known name

AT_LEAST = 4  # least number of names of each kind with the right answer; with fewer, steering has nothing to change


@pytest.fixture(scope="session")
def names(lm, late, two_kinds):
    """The directions from known to made-up names."""

    def places(split, known):
        asked = [item for item in entities(split) if item.known == known and item.name not in late]
        return [methods.place_at_end_of(lm, item.question, item.name) for item in asked]

    return two_kinds({split: [places(split, known) for known in (False, True)] for split in ("train", "valid", "test")})


@experiment
def entity_separation(lm, names, late):
    """How well the direction separates test names, and how well their words do."""
    words = {
        split: [
            np.array([embedded(lm, item) for item in entities(split) if item.known == known and item.name not in late])
            for known in (False, True)
        ]
        for split in ("train", "test")
    }
    made_up, known = words["train"]
    area = methods.auroc(
        *(methods.project_onto(some, made_up.mean(axis=0) - known.mean(axis=0)) for some in words["test"])
    )
    return {**names.separation(), "auroc_of_words": Metric.auroc(area, *map(len, words["test"]), tol=0.05)}


def embedded(lm, item):
    """The mean embedding of a name's tokens, [E] float32."""
    prompt = lm.chat(item.question)
    at = resolve(assay.text(item.name, whole=True), prompt).prompt
    return np.array(methods.token_embeddings(lm, [prompt.tokens[i] for i in at])).mean(axis=0)


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
    assert above(entity_separation.auroc, 0.5, source="chance")


@finding(
    "a direction parts known from made-up names better than directions from permuted labels", id="CONF-6", tier="quick"
)
@not_replicated(
    "llama_tiny",
    "gemma_tiny",
    "qwen_tiny",
    tier="quick",
    reason="almost any direction parts these states: areas of 0.94 to 0.99; one in twenty permuted labels gives 0.96 or more",
)
def test_better_than_permuted(entity_separation):
    r = entity_separation
    assert above(r.auroc, r.auroc_permuted_95, worth=COUNTS, source="95 % of permuted labels")


@finding(
    "a direction in the stream parts known from made-up names better than the words of the names alone",
    id="CONF-6",
    tier="quick",
)
def test_better_than_words(entity_separation):
    assert above(entity_separation.auroc, entity_separation.auroc_of_words, worth=COUNTS)


@finding(
    "added at a known name, the direction makes the model not know it; other vectors do not", id="CONF-6", tier="quick"
)
def test_makes_unknown(entity_steering):
    r = entity_steering
    assert above(r.known_admitted_less_random, 0, source=NONE) & above(r.known_admitted_less_shuffled, 0, source=NONE)


@finding(
    "subtracted at a made-up name, the direction makes the model answer; other vectors do not",
    id="CONF-6",
    tier="quick",
)
def test_makes_known(entity_steering):
    r = entity_steering
    assert below(r.made_up_admitted_less_random, 0, source=NONE) & below(
        r.made_up_admitted_less_shuffled, 0, source=NONE
    )
