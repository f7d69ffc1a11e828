"""Fixtures of the experiments on confidence: a direction between two kinds of prompts, and its effects.

The kinds are given as {split: (positive, negative)}, each a list of places (`place_direction.py`). A direction is the difference
in means over the training split; its layer is chosen on the validation split, and its effects are measured on all others.

Separation is compared with 99 directions from permuted labels, and with 99 random ones, whichever way they point. One in twenty
of them reaches `auroc_permuted_95`. Where the stream varies along one axis, nearly all part the states as well as the direction
does. Steering is compared with random directions of the same length at that layer, and with differences in means under shuffled
labels without their component along the direction; both are drawn anew for each prompt, and claims are made of differences
prompt by prompt.

In the null world the states are divided into two kinds at random, and what steers is a random direction.
"""

from dataclasses import replace

import numpy as np
import pytest
from kinds_of_truth import KindsOfTruth
from own_questions import own_answers_to_questions

from assay import methods
from assay.plugin import Metric
from assay.testbed.planted import planted_truth

MAX_TOKENS = 16


@pytest.fixture(scope="session")
def late(model_spec):
    """Names whose hops a built-in model resolves in too late a layer to use them; empty for other models."""
    truth = planted_truth(model_spec)
    return set(truth["entities"]["late"]) if truth else set()


@pytest.fixture(scope="session")
def two_kinds(lm, progress, null_world):
    """two_kinds({"train": ..., "valid": ..., "test": ...}) -> the directions between two kinds of prompts, by layer."""
    return lambda places: TwoKinds(lm, progress, places, null_world)


@pytest.fixture(scope="session")
def truth_states(lm, late, tier, progress, null_world):
    """The states of true and false statements of several kinds; sizes count what statements are about, each with its twin."""
    sizes = tier.choose(
        smoke={"train": 8, "valid": 4, "test": 6},
        quick={"train": 24, "valid": 8, "test": 24},
        full={"train": 200, "valid": 60, "test": 100},
    )
    return KindsOfTruth(lm, late, sizes, progress, null_world)


class TwoKinds:
    """Directions from the second kind to the first, one for each layer, and their effects on other prompts."""

    def __init__(self, lm, progress, places, null_world=False):
        self.lm, self.progress, self.places, self.null_world = lm, progress, places, null_world
        ends = ([one.until_there for one in kind] for kind in places["train"])
        self.candidates = methods.difference_in_means(lm, *ends, n_positions=1, site="resid_post")
        self.states = {split: [methods.states_at_places(lm, kind) for kind in kinds] for split, kinds in places.items()}

    def at(self, layer, n):
        """The direction of a layer, with `n` random directions and `n` from shuffled labels."""
        rng, direction = np.random.default_rng(0), self.candidates.at(-1, layer)
        if self.null_world:
            direction = methods.random_control(direction, np.random.default_rng(1))
        at_layer = [states[:, layer] for states in self.states["train"]]
        return (
            direction,
            [methods.random_control(direction, rng) for _ in range(n)],
            [methods.shuffled_control(direction, *at_layer, rng) for _ in range(n)],
        )

    def separation(self, split="test", prefix=""):
        """Metrics: how well the directions, of each layer and of the chosen one, separate the prompts of a split."""
        rng = np.random.default_rng(0)
        train, valid, test = (
            divided_at_random(self.states[one], rng) if self.null_world else self.states[one]
            for one in ("train", "valid", split)
        )
        vectors = train[0].mean(axis=0, dtype=np.float64) - train[1].mean(axis=0, dtype=np.float64)
        layer = methods.separating_layer(vectors, *valid)
        at_layer = [states[:, layer] for states in test]
        controls = {
            "permuted": methods.permuted_differences(*(states[:, layer] for states in train), rng),
            "random": rng.standard_normal((99, vectors.shape[-1])),
        }
        metrics = {
            f"{prefix}layer": layer,
            f"{prefix}auroc_by_layer": Metric(methods.auroc_by_layer(vectors, *test), n=sum(map(len, test)), tol=0.05),
            f"{prefix}auroc": separated(vectors[layer], at_layer, control=f"{prefix}auroc_permuted_95"),
        }
        for name, drawn in controls.items():
            reached = methods.folded_aurocs(drawn, *at_layer)
            for share in (50, 95):
                metrics[f"{prefix}auroc_{name}_{share}"] = Metric(float(np.quantile(reached, share / 100)), tol=0.05)
        return metrics

    def acting(self, places, token):
        """The direction of the layer where adding it makes `token` likeliest as first token, and its controls."""
        judged = [kind for split, kinds in self.places.items() if split not in ("train", "valid") for kind in kinds]
        n = max(map(len, judged))
        return self.at(methods.acting_layer(self.lm, self.candidates, places, token), n)

    def steered(self, name, places, directions, times, judged, next_too=False):
        """Metrics: share of prompts whose answer passes `judged` with the direction added, and with each control.

        next_too: also with the direction added at the place and at the token after it.
        """
        rows = []
        for i, one in enumerate(self.progress(places, name)):
            direction, random, shuffled = directions[0], directions[1][i], directions[2][i]
            variants = {"": [one.adding(direction, times)], "_random": [one.adding(random, times)]}
            variants["_shuffled"] = [one.adding(shuffled, times)]
            if next_too:
                after = replace(one, at=one.at + 1)
                variants["_at_both"] = [one.adding(direction, times), after.adding(direction, times)]
            sweep = self.lm.sweep(one.prompt, list(variants.values()), max_tokens=MAX_TOKENS, progress=False)
            rows.append({suffix: judged(a.text) for suffix, a in zip(variants, sweep.continuations, strict=True)})
        metrics = {}
        for suffix in rows[0]:
            control = {} if suffix else {"control": f"{name}_random"}
            metrics[f"{name}{suffix}"] = Metric.share([row[suffix] for row in rows], tol=0.11, **control)
        for control in ("random", "shuffled"):
            less = [float(row[""]) - row[f"_{control}"] for row in rows]
            metrics[f"{name}_less_{control}"] = Metric.mean(less, bounds=(-1, 1), tol=0.11)
        return metrics

    def answered(self, places, judged):
        """The prompts whose unedited answer passes `judged`."""
        said = self.lm.generate([one.prompt for one in places], max_tokens=MAX_TOKENS) if places else []
        return [one for one, answer in zip(places, said, strict=True) if judged(answer.text)]

    def first_token(self, place):
        """The first token of the model's answer."""
        return self.lm.generate(place.prompt, max_tokens=1).tokens[0]


def separated(vector, kinds, **options):
    """The area under the curve of two kinds of states [N, E] along a direction [E]."""
    area = methods.auroc(*(methods.project_onto(states, vector) for states in kinds))
    return Metric.auroc(area, *map(len, kinds), tol=0.05, **options)


def divided_at_random(kinds, rng):
    """The states of both kinds, as many in each as before, drawn without regard to their kind."""
    both = np.concatenate(kinds)
    order = rng.permutation(len(both))
    return [both[order[: len(kinds[0])]], both[order[len(kinds[0]) :]]]


@pytest.fixture(scope="session")
def own_questions(lm, tier, progress, null_world):
    """The model's own answers to questions about facts, right or wrong; the number is of questions of each relation."""
    return own_answers_to_questions(lm, tier.choose(smoke=6, quick=24, full=80), progress, null_world)
