"""What vectors of contrastive activation addition are (Rimsky et al. 2024, sections 3 and 6): their states, lengths and angles.

    components    the two main components of the states at the letter, of matching and other answers together: do they part the
                  letters, or the behaviour? Components, layer and sign are taken from one half of the topics; the area under the
                  curve is measured on the other half (SYC-C12)
    lengths       of each behaviour's vector by layer, beside that of shuffled letters (SYC-C15); made equal in SYC-C2
    cosines       between vectors of two halves of a behaviour's topics, and between those of two behaviours (SYC-C13)
    projection    of the tokens of an answer in words on the vector (SYC-C14): what shows the behaviour against the rest

A vector of any two sets of states has a length, so what counts is by how much it is longer than one of shuffled letters.
"""

import numpy as np
import pytest
from steered_letters import NONE, unreadable

from assay import methods
from assay.data.behaviours import names
from assay.plugin import Metric, above, experiment, finding, not_eligible

COMPONENTS = 2
LEAST_BEHAVIOURS = 3
SHUFFLES = 8


@pytest.fixture(scope="session")
def system_prompt(no_system_prompt):
    """Recorded with every experiment of this module."""
    return no_system_prompt


@experiment
def behaviour_components(found, readable, behaviour, null_world):
    """C12: what the main components of the states at the letter part, for one behaviour."""
    if not readable(behaviour).ok:
        return unreadable(behaviour, readable(behaviour))
    return components(found(behaviour), null_world)


@experiment
def opinion_components(found, readable, null_world):
    """C12: the same of questions of taste with a stated view."""
    if not readable("opinions").ok:
        return unreadable("opinions", readable("opinions"))
    return components(found("opinions"), null_world)


def components(contrasts, null_world):
    """How well the best component parts letters, and matching from other answers, on topics that it was not taken from."""
    letters = np.array(contrasts.letters)
    if null_world:  # the behaviour is permuted among questions already; so is the letter of each answer
        letters = np.random.default_rng(4).choice(["A", "B"], len(letters))
    is_a = np.concatenate([letters == "A", letters != "A"])
    matches = np.repeat([True, False], len(letters))
    fold = np.tile(methods.topic_folds(contrasts.topics, 2), 2)
    states = np.concatenate([contrasts.matching, contrasts.other]).astype(np.float64)
    n = len({topic for topic, f in zip(contrasts.topics, fold, strict=False) if f == 1})
    metrics = {"n_topics": n}
    for name, label in (("letter", is_a), ("behaviour", matches)):
        areas = np.array(
            [layer_areas(states[:, layer], fold, label) for layer in range(1, states.shape[1])]
        )  # [L - 1, first and second half, components]
        layer, which = np.unravel_index(np.abs(areas[:, 0] - 0.5).argmax(), areas[:, 0].shape)
        sign = 1 if areas[layer, 0, which] >= 0.5 else -1
        area = 0.5 + sign * (areas[layer, 1, which] - 0.5)
        metrics |= {
            f"{name}_layer": int(layer) + 1,
            f"{name}_component": int(which) + 1,
            f"{name}_area": Metric.auroc(float(area), n, n, tol=0.1),
            f"{name}_area_by_layer": Metric([float(folded(a)) for a in areas[:, 1]], n=n, tol=0.1),
        }
    return metrics


def layer_areas(states, fold, label):
    """Area under the curve along each component of the first half, in either half: [2, components]."""
    first = states[fold == 0]
    mean = first.mean(axis=0)
    axes = np.linalg.svd(first - mean, full_matrices=False)[2][:COMPONENTS]
    along = (states - mean) @ axes.T
    return [
        [methods.auroc(some[here], some[~here]) for some in along[fold == half].T]
        for half in (0, 1)
        for here in [label[fold == half]]
    ]


def folded(areas):
    """The largest area, whichever way the component points."""
    return 0.5 + np.abs(np.array(areas) - 0.5).max()


@experiment
def vectors_of_behaviours(lm, found, readable, behaviours_read):
    """C2, C13, C15: lengths and cosines of the vectors of all behaviours whose preference can be read."""
    metrics = {key: value for name in names() for key, value in readable(name).metrics(name).items()}
    if len(behaviours_read) < LEAST_BEHAVIOURS:
        return not_eligible(f"the preferences of fewer than {LEAST_BEHAVIOURS} behaviours can be read", **metrics)
    each = {name: found(name) for name in behaviours_read}
    directions = {name: contrasts.directions() for name, contrasts in each.items()}
    lengths = np.array([one.norms[-1] for one in directions.values()])  # [behaviours, L]
    strengths = np.array([(one.norms / one.stream_norms)[-1] for one in directions.values()])
    rng = np.random.default_rng(0)
    shuffled = np.array(
        [
            np.mean([np.linalg.norm(one.shuffled(rng).vectors(), axis=1) for _ in range(SHUFFLES)], axis=0)
            for one in each.values()
        ]
    )
    same = methods.equalised(directions)
    halves = {name: methods.topic_folds(one.topics, 2) for name, one in each.items()}
    vectors = np.stack([one.vectors(halves[name] == half) for name, one in each.items() for half in (0, 1)])
    kinds = [name for name in each for _ in range(2)]
    middle = lm.n_layers // 2
    by_layer = [
        methods.within_and_between_kinds(methods.cosine_matrix(vectors[:, layer]), kinds)
        for layer in range(1, lm.n_layers)
    ]
    within, between = by_layer[middle - 1]
    whole = np.stack([one.vectors[-1] for one in directions.values()])
    layers = np.mean([methods.cosine_matrix(one[1:]) for one in whole], axis=0)
    return {
        **metrics,
        "behaviours": behaviours_read,
        "length_by_behaviour_layer": Metric(lengths.tolist(), tol=0.3),
        "strength_by_layer": Metric(strengths.mean(axis=0).tolist(), tol=0.05),
        "longest_to_shortest_by_layer": Metric((lengths.max(axis=0) / lengths.min(axis=0)).tolist(), tol=0.3),
        "equal_length_by_layer": Metric(next(iter(same.values())).norms[-1].tolist(), tol=0.3),
        "middle_layer": middle,
        # a tenth longer: less would be within what one more question changes
        "times_as_long_as_shuffled": Metric.mean((lengths / shuffled)[:, middle].tolist(), tol=0.2),
        "cosine_same": Metric.mean(np.clip(within, -1, 1).tolist(), (-1, 1), tol=0.05, control="cosine_other"),
        "cosine_other": Metric.mean(np.clip(between, -1, 1).tolist(), (-1, 1), tol=0.05),
        "cosine_same_less_other_halved": Metric.mean(((within - between) / 2).tolist(), (-1, 1), tol=0.05),
        "cosine_same_by_layer": Metric([float(w.mean()) for w, _ in by_layer], n=len(each), tol=0.05),
        "cosine_other_by_layer": Metric([float(b.mean()) for _, b in by_layer], n=len(each), tol=0.05),
        "cosine_by_behaviour_behaviour": Metric(methods.cosine_matrix(whole[:, middle]).tolist(), tol=0.05),
        "cosine_by_layer_layer": Metric(layers.tolist(), tol=0.05),
    }


@experiment
def answers_along_vector(lm, steering, readable, behaviour, compared):
    """C14: the tokens of answers in words along the vector, the option that shows the behaviour less the other one.

    Each control is read in its own layer, in units of the stream's length there.
    """
    if not readable(behaviour).ok:
        return unreadable(behaviour, readable(behaviour))
    one = steering(behaviour)
    system, every = one.system, {"own": [one.choice], **one.controls}
    directions = [choice.direction for some in every.values() for choice in some]
    rows = []
    for item in one.asked:
        texts = dict(zip("AB", item.options, strict=True))
        start = len(lm.chat(item.open_ended, system))
        means = []
        for letter in (item.matches, "B" if item.matches == "A" else "A"):
            prompt = lm.chat(item.open_ended, system, answer=texts[letter])
            (states,) = methods.last_states(lm, [prompt], len(prompt) - start, site="resid_post")
            mean = states[0].mean(axis=0)  # over the answer's tokens, for each layer
            means.append([mean[d.layer] @ d.unit / d.stream_norm for d in directions])
        rows.append(np.subtract(*means))
    values = iter(np.array(rows).T)
    parts = {kind: np.array([next(values) for _ in some]) for kind, some in every.items()}
    own = parts.pop("own")[0]
    return {
        "layer": one.choice.layer,
        **compared(
            "matching_less_other", own, parts, one.topics, bounds=None, unit="mean length of the stream", tol=0.02
        ),
    }


def test_behaviour_components_metrics(behaviour_components, metrics):
    assert metrics == behaviour_components


def test_opinion_components_metrics(opinion_components, metrics):
    assert metrics == opinion_components


def test_vectors_metrics(vectors_of_behaviours, metrics):
    assert metrics == vectors_of_behaviours


def test_along_vector_metrics(answers_along_vector, metrics):
    assert metrics == answers_along_vector


@finding(
    "a main component of the states at the letter parts A from B, on other topics, in questions on a behaviour",
    id="SYC-C12",
    tier="quick",
)
def test_letters_part(behaviour_components):
    assert above(behaviour_components.letter_area, 0.5, source="chance")


@finding(
    "a main component of the states at the letter parts answers that show a behaviour from those that do not, on other topics",
    id="SYC-C12",
    tier="quick",
)
def test_behaviour_parts(behaviour_components):
    assert above(behaviour_components.behaviour_area, 0.5, source="chance")


@finding(
    "a main component of the states at the letter parts A from B, on other topics, in questions of taste",
    id="SYC-C12",
    tier="quick",
)
def test_opinion_letters_part(opinion_components):
    assert above(opinion_components.letter_area, 0.5, source="chance")


@finding(
    "a main component of the states at the letter parts letters that agree with a stated taste from those that do not",
    id="SYC-C12",
    tier="quick",
)
def test_agreement_parts(opinion_components):
    assert above(opinion_components.behaviour_area, 0.5, source="chance")


@finding(
    "vectors of one behaviour, found on different topics, are closer than vectors of two behaviours",
    id="SYC-C13",
    tier="quick",
)
def test_own_kind_is_closer(vectors_of_behaviours):
    assert above(vectors_of_behaviours.cosine_same_less_other_halved, 0, worth=0.05, source=NONE)


@finding(
    "vectors of behaviours are longer than those of shuffled letters, by a tenth or more", id="SYC-C15", tier="quick"
)
def test_longer_than_shuffled(vectors_of_behaviours):
    assert above(vectors_of_behaviours.times_as_long_as_shuffled, 1, by=0.1, worth=0.0, source="as long")


@finding(
    "answers in words that show a behaviour lie further along its vector, token by token, than answers that do not; along other "
    "vectors they do not",
    id="SYC-C14",
    tier="quick",
)
def test_along_vector(answers_along_vector):
    r = answers_along_vector
    # 0.01: a hundredth of the stream's length, a tenth of what a vector of behaviours has
    assert (
        above(r.matching_less_other_less_random, 0, worth=0.01, source=NONE)
        & above(r.matching_less_other_less_shuffled, 0, worth=0.01, source=NONE)
        & above(r.matching_less_other_less_other, 0, worth=0.01, source=NONE)
    )
