"""Truth without labels: contrast-consistent search (Burns et al. 2022, CONF-7).

The search takes pairs of statements of which one is true, and finds a direction whose verdicts on a pair exclude each other and
are sure. Two kinds of pairs: *choices*, a fact and its false twin in random order (the paper's pairs are a question with two
answers), and *negations*, a statement and its negation (the form in which Marks and Tegmark use the method). No label is used
but for the sign, on training pairs, and for the layer, where a difference in means parts validation statements best; the paper
reports the better of both signs. Tested on facts of a held-out relation: which of a pair is true? Pairs about one entity are one
cluster.

Compared with 99 random directions, each with the layer and the sign that part validation pairs best, and beside it in the table:
the first component of the pairs' differences (the paper's simpler method) and the difference in means, which has labels.
Negations are judged where the model's own verdicts on them are better than chance. In the null world the labels of each set are
permuted.
"""

import numpy as np
from kinds_of_truth import Read, choices, negations, random_directions, reached_by

from assay import methods
from assay.plugin import Metric, above, experiment, finding, not_eligible, not_replicated

SETS = [("facts", "train"), ("facts", "valid"), ("new_facts", "test")]
COUNTS = 0.05  # a pair in twenty


@experiment
def search_of_choices(truth_states):
    """CONF-7 on facts and their false twins."""
    rng = np.random.default_rng(0)
    train, valid, test = (choices(truth_states.read(*of), rng) for of in SETS)
    return searched(train, valid, test, truth_states.layer("facts"))


@experiment
def search_of_negations(truth_states):
    """CONF-7 on statements and their negations."""
    own = truth_states.own_verdicts(["negated_new_facts"])
    if above(own["own_verdicts_negated_new_facts"], 0.5, source="chance").verdict != "yes":
        return not_eligible("the model's own verdicts on negations are not above chance", **own)
    train, valid, test = (
        negations(truth_states.read(name, split), truth_states.read(f"negated_{name}", split)) for name, split in SETS
    )
    return {**own, **searched(train, valid, test, truth_states.layer("facts_and_negations"))}


def searched(train, valid, test, layer):
    """Metrics: which of two is true, by the search at a layer, and by others."""
    sides = lambda pairs, i: tuple(methods.centred(side[:, i]) for side in pairs[:2])  # noqa: E731
    first, second = sides(train, layer)
    found = methods.signed(methods.ccs_probe(first, second), first - second, train[2])
    others = {
        "component": methods.signed(methods.contrast_probe(first, second), first - second, train[2]),
        "mass_mean": methods.mass_mean_probe(np.concatenate([first, second]), np.concatenate([train[2], ~train[2]])),
    }
    a, b = sides(test, layer)
    about, (apart, new) = test[3], map(differences, (valid, test))
    metrics = {
        "layer": layer,
        "right": Metric.share(told(found, a, b, test[2]), clusters=about, tol=0.1, control="right_random_95"),
        "right_random_95": reached_by(random_directions(apart), apart, new),
    }
    for name, probe in others.items():
        metrics[f"right_{name}"] = Metric.share(told(probe, a, b, test[2]), clusters=about, tol=0.1)
    return metrics


def differences(pairs):
    """The differences of pairs' states; those are "true" whose first statement is."""
    first, second, first_is_true, about = pairs
    return Read(first - second, first_is_true, about)


def told(probe, first, second, first_is_true):
    """For each pair, whether the probe's score is higher for the true one: [N] bool."""
    return (probe.scores(first) > probe.scores(second)) == first_is_true


def test_choice_metrics(search_of_choices, metrics):
    assert metrics == search_of_choices


def test_negation_metrics(search_of_negations, metrics):
    assert metrics == search_of_negations


@finding("contrast-consistent search finds which of two answers is true, without labels", id="CONF-7", tier="quick")
def test_choices(search_of_choices):
    assert above(search_of_choices.right, 0.5, source="chance")


@finding("contrast-consistent search finds the true answer better than random directions", id="CONF-7", tier="quick")
@not_replicated(
    "llama_tiny",
    "qwen_tiny",
    "gemma_tiny",
    tier="quick",
    reason="almost any direction parts these states: 1.00 of pairs, and 0.96 or more by one in twenty random directions",
)
def test_choices_better(search_of_choices):
    r = search_of_choices
    assert above(r.right, r.right_random_95, worth=COUNTS, source="95 % of random directions")


@finding("contrast-consistent search tells a statement from its negation, without labels", id="CONF-7", tier="quick")
def test_negations_told(search_of_negations):
    r = search_of_negations
    assert above(r.right, 0.5, source="chance") & above(
        r.right, r.right_random_95, worth=COUNTS, source="95 % of random directions"
    )
