"""Fixtures of the experiments on confidence: a direction between two kinds of prompts, and its effects.

The kinds are given as {split: (positive, negative)}, each a list of places (`place_direction.py`). A direction is the difference
in means over the training split; its layer is chosen on the validation split, and its effects are measured on all others.

Separation is compared with 99 directions from permuted labels, and with 99 random ones, each at the layer and with the sign
that part validation prompts best. One in twenty of them reaches `auroc_permuted_95`. Where the stream varies along one axis,
nearly all part the states as well as the direction does. Steering is compared with random directions of the same length, and with
differences in means under shuffled labels without their component along the direction; each is drawn several times, and each draw
has its own layer, chosen as the direction's. Claims are made of differences prompt by prompt.

In the null world the states are divided into two kinds at random, and what steers is one more random direction.
"""

from dataclasses import replace

import numpy as np
import pytest
from kinds_of_truth import KindsOfTruth, Read, chosen_by_draws, permuted_directions, random_directions
from own_questions import own_answers_to_questions

from assay import methods
from assay.plugin import Metric

MAX_TOKENS = 16
MOST = {"layers": 12, "prompts": 8}
"""What the layer of a direction that acts is chosen among, and by: at most so many, evenly spread."""


@pytest.fixture(scope="session")
def two_kinds(lm, tier, progress, null_world):
    """two_kinds({"train": ..., "valid": ..., "test": ...}) -> the directions between two kinds of prompts, by layer."""
    draws = tier.choose(smoke=2, quick=5, full=9)
    return lambda places: TwoKinds(lm, progress, places, draws, null_world)


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

    def __init__(self, lm, progress, places, draws, null_world):
        self.lm, self.progress, self.places, self.draws, self.null_world = lm, progress, places, draws, null_world
        ends = ([one.until_there for one in kind] for kind in places["train"])
        self.candidates = methods.difference_in_means(lm, *ends, n_positions=1, site="resid_post")
        self.states = {split: [methods.states_at_places(lm, kind) for kind in kinds] for split, kinds in places.items()}

    def series(self, layer):
        """The direction of a layer, then random ones, then those of shuffled labels, `draws` of each."""
        rng, direction = np.random.default_rng(layer), self.candidates.at(-1, layer)
        at_layer = [states[:, layer] for states in self.states["train"]]
        own, *random = [methods.random_control(direction, rng) for _ in range(self.draws + 1)]
        shuffled = [methods.shuffled_control(direction, *at_layer, rng) for _ in range(self.draws)]
        return [own if self.null_world else direction, *random, *shuffled]

    def separation(self, split="test", prefix=""):
        """Metrics: how well the directions, of each layer and of the chosen one, separate the prompts of a split."""
        rng = np.random.default_rng(0)
        train, valid, test = (
            divided_at_random(self.states[one], rng) if self.null_world else self.states[one]
            for one in ("train", "valid", split)
        )
        vectors = train[0].mean(axis=0, dtype=np.float64) - train[1].mean(axis=0, dtype=np.float64)
        layer = methods.separating_layer(vectors, *valid)
        metrics = {
            f"{prefix}layer": layer,
            f"{prefix}auroc_by_layer": Metric(methods.auroc_by_layer(vectors, *test), n=sum(map(len, test)), tol=0.05),
            f"{prefix}auroc": separated(vectors[layer], layer, test, control=f"{prefix}auroc_permuted_95"),
        }
        for name, drawn in (("permuted", permuted_directions), ("random", random_directions)):
            found = chosen_by_draws(drawn(as_read(train)), as_read(valid))
            reached = [separated(one, at, test).value for at, one in found]
            for share in (50, 95):
                metrics[f"{prefix}auroc_{name}_{share}"] = Metric(float(np.quantile(reached, share / 100)), tol=0.05)
        return metrics

    def acting(self, places, token):
        """The direction and its controls, each of the layer where adding it makes `token` likeliest as first token."""
        there = [i for i in range(self.lm.n_layers) if not self.candidates.empty[-1, i]]
        by_layer = [self.series(i) for i in methods.spread(there, MOST["layers"])]
        tried = [one for of in by_layer for one in of]
        rises = [
            self.lm.sweep(place.prompt, [[place.adding(one)] for one in tried], targets=[token], progress=False)
            for place in self.progress(methods.spread(places, MOST["prompts"]), "layers")
        ]
        reached = np.mean([one.target_log_probs[:, 0] for one in rises], axis=0).reshape(len(by_layer), -1)
        return [by_layer[int(at)][k] for k, at in enumerate(reached.argmax(axis=0))]

    def steered(self, name, places, directions, times, judged, next_too=False):
        """Metrics: share of prompts whose answer passes `judged` with the direction added, and with each control.

        next_too: also with the direction added at the place and at the token after it.
        """
        rows = []
        for one in self.progress(places, name):
            variants = [[one.adding(direction, times)] for direction in directions]
            if next_too:
                after = replace(one, at=one.at + 1)
                variants.append([one.adding(directions[0], times), after.adding(directions[0], times)])
            sweep = self.lm.sweep(one.prompt, variants, max_tokens=MAX_TOKENS, progress=False)
            rows.append([float(judged(made.text)) for made in sweep.continuations])
        own, *others = np.array(rows).T.tolist()
        drawn = {"random": others[: self.draws], "shuffled": others[self.draws : 2 * self.draws]}
        metrics = {name: Metric.share(own, tol=0.11, control=f"{name}_random")}
        for control, draws in drawn.items():
            metrics[f"{name}_{control}"] = Metric.mean(np.mean(draws, axis=0).tolist(), bounds=(0, 1), tol=0.11)
            metrics[f"{name}_less_{control}"] = Metric.difference(own, draws, tol=0.11)
        if next_too:
            metrics[f"{name}_at_both"] = Metric.share(others[-1], tol=0.11)
        return metrics

    def answered(self, places, judged):
        """The prompts whose unedited answer passes `judged`."""
        said = self.lm.generate([one.prompt for one in places], max_tokens=MAX_TOKENS) if places else []
        return [one for one, answer in zip(places, said, strict=True) if judged(answer.text)]

    def first_token(self, place):
        """The first token of the model's answer."""
        return self.lm.generate(place.prompt, max_tokens=1).tokens[0]


def separated(vector, layer, kinds, **options):
    """The area under the curve of two kinds of states [N, L, E] along a direction [E] of a layer."""
    area = methods.auroc(*(methods.project_onto(states[:, layer], vector) for states in kinds))
    return Metric.auroc(area, *map(len, kinds), tol=0.05, **options)


def as_read(kinds):
    """Both kinds of states as one set, of which the first kind is "true"."""
    both = np.concatenate(kinds)
    return Read(both, np.arange(len(both)) < len(kinds[0]), list(range(len(both))))


def divided_at_random(kinds, rng):
    """The states of both kinds, as many in each as before, drawn without regard to their kind."""
    both = np.concatenate(kinds)
    order = rng.permutation(len(both))
    return [both[order[: len(kinds[0])]], both[order[len(kinds[0]) :]]]


@pytest.fixture(scope="session")
def own_questions(lm, tier, progress, null_world):
    """The model's own answers to questions about facts, right or wrong; the number is of questions of each relation."""
    return own_answers_to_questions(lm, tier.choose(smoke=6, quick=24, full=80), progress, null_world)
