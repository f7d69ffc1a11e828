"""Truth in the states of statements: principal components, layers, and the period (Marks and Tegmark 2023, CONF-2a and c).

Statements of facts are read in a question to a chat model, at the token before the period or at the period; the paper reads bare
statements at the period (a paper-variant). States are centred, as in the paper. Probes are found on some relations, their layer
is chosen on validation statements, and they are tested on a held-out relation. Accuracies are those of calling a state true if
its score is above 0; half of the states are true. A statement and its twin are one cluster.

Beside the probe stands the paper's baseline: the model's own verdicts after five examples from the training relations, true where
P("True") is above its median ("calibrated": half of the statements are true).

Separation is compared with chance, and with random directions or differences in means under permuted labels, each with the layer
and the sign that part validation statements best: where the stream varies along one axis, nearly all of them part the states. In
the null world the labels are permuted.
"""

import numpy as np
from kinds_of_truth import best_layer, permuted_directions, random_directions, reached_by

from assay import methods
from assay.plugin import Metric, above, experiment, finding, not_replicated

N_COMPONENTS = 3
"""Principal components of which one is chosen; the paper's figures show the first two or three."""
N_SHOTS = 5  # examples before a question, as in the paper
COUNTS = 0.05  # a statement in twenty


@experiment
def truth_components(truth_states):
    """CONF-2a: principal components of the states of facts, and how well one of the first three parts a new relation."""
    facts, new = truth_states.read("facts", "train"), truth_states.read("new_facts", "test")
    layer, rng = truth_states.layer("facts"), np.random.default_rng(0)
    x, y = facts.at(layer), new.at(layer)
    axes = methods.principal_components(x, 10)
    variance = ((x @ axes.T) ** 2).sum(axis=0) / (x**2).sum()
    by_component = [methods.component_probe(x, facts.true, component=i) for i in range(min(N_COMPONENTS, len(axes)))]
    fitted = [float(((one.scores(x) > 0) == facts.true).mean()) for one in by_component]
    best = by_component[int(np.argmax(fitted))]
    random = reached_by(random_directions(facts), truth_states.read("facts", "valid"), new)
    return {
        "layer": layer,
        "variance_share_by_component": Metric(variance.tolist(), n=len(x), tol=0.05),
        "truth_share_by_layer": Metric([truth_share(s, facts.true) for s in layers_of(facts)], n=len(x), tol=0.05),
        "truth_share_by_layer_permuted": Metric(
            [truth_share(s, rng.permutation(facts.true)) for s in layers_of(facts)], n=len(x), tol=0.05
        ),
        "accuracy_by_component": Metric(fitted, n=len(x), tol=0.1),
        "component": int(np.argmax(fitted)),
        "new_relation": Metric.share(
            (best.scores(y) > 0) == new.true, clusters=new.about, tol=0.1, control="new_relation_random_95"
        ),
        "new_relation_random_95": random,
    }


@experiment
def truth_place(lm, truth_states):
    """CONF-2c: the layers, and the two tokens at a statement's end, at which a probe of facts calls a new relation rightly."""
    metrics, rights, about = {}, {}, truth_states.read("new_facts", "test").about
    for place, at_period in (("before_period", False), ("period", True)):
        train, valid, test = (
            truth_states.read(name, split, at_period)
            for name, split in (("facts", "train"), ("facts", "valid"), ("new_facts", "test"))
        )
        layer = best_layer([train], [valid])
        by_layer = [
            (methods.mass_mean_probe(train.at(i), train.true).scores(test.at(i)) > 0) == test.true
            for i in range(test.states.shape[1])
        ]
        rights[place] = by_layer[layer].astype(float)
        metrics[f"{place}_layer"] = layer
        metrics[f"{place}_by_layer"] = Metric([float(one.mean()) for one in by_layer], n=len(about), tol=0.1)
        metrics[place] = Metric.share(by_layer[layer], clusters=about, tol=0.1, control=f"{place}_permuted_95")
        metrics[f"{place}_permuted_95"] = reached_by(permuted_directions(train), valid, test)
        less = by_layer[layer].astype(float) - by_layer[0]
        metrics[f"{place}_less_first_layer"] = Metric.mean(less.tolist(), bounds=(-1, 1), clusters=about, tol=0.1)
    less = (rights["period"] - rights["before_period"]).tolist()
    told = few_shot(lm, truth_states) == truth_states.read("new_facts", "test").true
    beside = (rights["before_period"] - told).tolist()
    return metrics | {
        "period_less_before": Metric.mean(less, bounds=(-1, 1), clusters=about, tol=0.1),
        "few_shot": Metric.share(told, clusters=about, tol=0.1),
        "before_period_less_few_shot": Metric.mean(beside, bounds=(-1, 1), clusters=about, tol=0.1),
    }


def few_shot(lm, truth_states):
    """Which test statements of the new relation the model calls true after examples, by the median of P("True"): [N] bool."""
    twins = truth_states.items("facts", "train")
    pairs = methods.spread(range(len(twins) // 2), N_SHOTS)
    examples = [twins[2 * pair + i % 2] for i, pair in enumerate(pairs)]
    turns = [turn for one in examples for turn in (one.question, "True." if one.true else "False.")]
    asked = [[*turns, one.question] for one in truth_states.items("new_facts", "test")]
    p = methods.answer_preference(lm, asked, ("True", "False"))
    return p > np.median(p)


def layers_of(read):
    return [read.at(i) for i in range(read.states.shape[1])]


def truth_share(x, true):
    """The share of the variance of centred states [N, E] that is between true and false ones."""
    between = sum(np.mean(true == kind) * (x[true == kind].mean(axis=0) ** 2).sum() for kind in (True, False))
    return float(between / (x**2).sum(axis=1).mean())


def test_component_metrics(truth_components, metrics):
    assert metrics == truth_components


def test_place_metrics(truth_place, metrics):
    assert metrics == truth_place


@finding("one of the first three principal components of statements' states is truth", id="CONF-2", tier="quick")
def test_component(truth_components):
    assert above(truth_components.new_relation, 0.5, source="chance")


@finding("a principal component parts true from false better than random directions do", id="CONF-2", tier="quick")
@not_replicated(
    "llama_tiny",
    tier="quick",
    reason="almost any direction parts these states: 0.98 [0.88, 1] by the component, 0.98 by one in twenty random directions",
)
def test_component_better(truth_components):
    r = truth_components
    assert above(r.new_relation, r.new_relation_random_95, worth=COUNTS, source="95 % of random directions")


@finding("truth can be read at the period of a statement", id="CONF-2", tier="quick")
def test_period(truth_place):
    r = truth_place
    assert above(r.period, 0.5, source="chance") & above(
        r.period, r.period_permuted_95, worth=COUNTS, source="95 % of permuted labels"
    )


@finding("truth is read better in a later layer than in the first", id="CONF-2", tier="quick")
def test_later(truth_place):
    assert above(truth_place.before_period_less_first_layer, 0, source="no difference")
