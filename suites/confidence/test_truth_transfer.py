"""Transfer of truth probes between kinds of statements: does a probe of facts judge numbers? (Marks and Tegmark 2023, CONF-2c)

Kinds: facts, their negations, comparisons of numbers, translations (`assay.data.truth_kinds`), read as in test_truth_probes.py. A
probe is found on a *medley*, one kind or one with its opposites, at a layer chosen on the medley's validation statements. States
of each kind are centred by themselves, as in the paper. A statement, its twin and their negations are one cluster.

The matrices hold all kinds and four probes. Claims are made of kinds that the model itself can judge: its own verdicts part true
statements from false ones better than chance, of a kind and of its opposite (a model that prefers large numbers, or does not see
the word "not", is right about one of the two). They are compared with chance and with differences in means under permuted labels,
each at its own layer, chosen in the same way. In the null world the labels of each set are permuted.
"""

import numpy as np
import pytest
from kinds_of_truth import MEDLEYS

from assay import methods
from assay.plugin import Metric, above, experiment, finding, not_eligible

NEGATED = ["new_facts", "negated_new_facts"]
OPPOSITES = [["larger_than", "smaller_than"], ["translations", "negated_translations"]]
"""The kinds that share nothing with facts and their negations, each with its opposite."""
OTHER = [name for both in OPPOSITES for name in both]
SETS = ["facts", "negated_facts", *NEGATED, *OTHER]
"""What probes are tested on."""
PROBES = {
    "mass_mean": methods.mass_mean_probe,
    "mass_mean_iid": methods.mass_mean_iid_probe,
    "logistic": methods.logistic_probe,
    "component": methods.component_probe,
}
BOTH, ALONE = "facts_and_negations", "facts"
COUNTS = 0.05  # a statement in twenty


@pytest.fixture(scope="session")
def own_verdicts(truth_states):
    """How well the model itself parts true statements from false ones, in the sets of which claims are made."""
    return truth_states.own_verdicts([*NEGATED, *OTHER])


@pytest.fixture(scope="session")
def right_calls(truth_states):
    """Which test statements of each set each probe of each medley calls rightly."""
    layers = {medley: truth_states.layer(medley) for medley in MEDLEYS}
    return layers, {
        (name, medley): truth_states.right(fit(*truth_states.medley(medley, layer)), layer, SETS)
        for name, fit in PROBES.items()
        for medley, layer in layers.items()
    }


@experiment
def truth_transfer(truth_states, right_calls, own_verdicts):
    """CONF-2c: the share of statements that a probe calls rightly, from each medley to each set."""
    layers, right = right_calls
    metrics = {"sets": SETS, "medleys": list(MEDLEYS), **own_verdicts}
    metrics |= {f"layer_{name}": layer for name, layer in layers.items()}
    for probe in PROBES:
        shares = [[float(right[probe, medley][name].mean()) for name in SETS] for medley in MEDLEYS]
        metrics[f"accuracy_{probe}"] = Metric(shares, n=len(truth_states.about(SETS)), tol=0.1)
    less = pooled(right["logistic", BOTH], SETS) - pooled(right["mass_mean", BOTH], SETS)
    metrics["logistic_less_mass_mean"] = difference(less, truth_states.about(SETS))
    return metrics


@experiment
def truth_of_negations(truth_states, right_calls, own_verdicts):
    """CONF-2c: a probe of facts and their negations, on a new relation and its negations, where the model can judge both."""
    unknown = [name for name in NEGATED if not known(own_verdicts, name)]
    if unknown:
        return not_eligible(f"the model's own verdicts on {' and '.join(unknown)} are not above chance", **own_verdicts)
    _, right = right_calls
    return transferred("new_relation", truth_states, right, NEGATED)


@experiment
def truth_of_other_kinds(truth_states, right_calls, own_verdicts):
    """CONF-2c: a probe of facts and their negations, on the other kinds that the model can judge."""
    sets = [name for both in OPPOSITES if all(known(own_verdicts, one) for one in both) for name in both]
    if not sets:
        return not_eligible("the model's own verdicts on numbers and translations are not above chance", **own_verdicts)
    _, right = right_calls
    return {"sets": sets, **transferred("other_kinds", truth_states, right, sets)}


def known(own_verdicts, name):
    """Whether the model's own verdicts part a set's true statements from its false ones."""
    return above(own_verdicts[f"own_verdicts_{name}"], 0.5, source="chance").verdict == "yes"


def transferred(name, truth_states, right, sets):
    """Metrics: what a difference in means of facts and negations calls rightly, and how much more than one of facts alone."""
    about, own = truth_states.about(sets), pooled(right["mass_mean", BOTH], sets)
    return {
        name: Metric.share(own, clusters=about, tol=0.1, control=f"{name}_permuted_95"),
        f"{name}_permuted_95": truth_states.permuted_95(BOTH, sets),
        f"{name}_from_facts_alone": Metric.share(pooled(right["mass_mean", ALONE], sets), clusters=about, tol=0.1),
        f"{name}_less_facts_alone": difference(own - pooled(right["mass_mean", ALONE], sets), about),
        f"{name}_logistic": Metric.share(pooled(right["logistic", BOTH], sets), clusters=about, tol=0.1),
    }


def pooled(right, sets):
    return np.concatenate([right[name] for name in sets]).astype(float)


def difference(less, about):
    return Metric.mean(less.tolist(), bounds=(-1, 1), clusters=about, tol=0.1)


def test_transfer_metrics(truth_transfer, metrics):
    assert metrics == truth_transfer


def test_negation_metrics(truth_of_negations, metrics):
    assert metrics == truth_of_negations


def test_other_kinds_metrics(truth_of_other_kinds, metrics):
    assert metrics == truth_of_other_kinds


@finding("a probe of facts and negations judges a new relation and its negations", id="CONF-2", tier="quick")
def test_negations(truth_of_negations):
    r = truth_of_negations
    assert above(r.new_relation, 0.5, source="chance") & above(
        r.new_relation, r.new_relation_permuted_95, worth=COUNTS, source="95 % of permuted labels"
    )


@finding("negations in training make a probe of facts judge negations of a new relation", id="CONF-2", tier="quick")
def test_negations_help(truth_of_negations):
    assert above(truth_of_negations.new_relation_less_facts_alone, 0, worth=COUNTS, source="no difference")


@finding("a probe of facts and negations judges comparisons and translations", id="CONF-2", tier="quick")
def test_other_kinds(truth_of_other_kinds):
    r = truth_of_other_kinds
    assert above(r.other_kinds, 0.5, source="chance") & above(
        r.other_kinds, r.other_kinds_permuted_95, worth=COUNTS, source="95 % of permuted labels"
    )


@finding("negations in training make a probe of facts judge other kinds better", id="CONF-2", tier="quick")
def test_negations_help_others(truth_of_other_kinds):
    assert above(truth_of_other_kinds.other_kinds_less_facts_alone, 0, worth=COUNTS, source="no difference")
