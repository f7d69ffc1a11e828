"""Fixtures of the experiments on confidence: a direction between two kinds of prompts, and its effects.

The kinds are given as {split: (positive, negative)}, each a list of places (`place_direction.py`). A direction is the difference
in means over the training split; its layer is chosen on the validation split, and its effects are measured on all others.
Controls: random directions of the same length at that layer, and a difference in means under shuffled labels.
"""

import numpy as np
import pytest

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
def two_kinds(lm, progress):
    """two_kinds({"train": ..., "valid": ..., "test": ...}) -> the directions between two kinds of prompts, by layer."""
    return lambda places: TwoKinds(lm, progress, places)


class TwoKinds:
    """Directions from the second kind to the first, one for each layer, and their effects on other prompts."""

    def __init__(self, lm, progress, places):
        self.lm, self.progress, self.places = lm, progress, places
        ends = ([one.until_there for one in kind] for kind in places["train"])
        self.candidates = methods.difference_in_means(lm, *ends, n_positions=1, site="resid_post")
        self.states = {split: [methods.states_at_places(lm, kind) for kind in kinds] for split, kinds in places.items()}

    def at(self, layer, n_random):
        """The direction of a layer, `n_random` random directions, and the direction under shuffled labels."""
        rng, direction = np.random.default_rng(0), self.candidates.at(-1, layer)
        at_layer = [states[:, layer] for states in self.states["train"]]
        return (
            direction,
            [methods.random_control(direction, rng) for _ in range(n_random)],
            methods.shuffled_control(direction, *at_layer, rng),
        )

    def separation(self, split="test", prefix=""):
        """Metrics: how well the directions, of each layer and of the chosen one, separate the prompts of a split."""
        vectors, test = self.candidates.vectors[0], self.states[split]
        layer = methods.separating_layer(vectors, *self.states["valid"])
        direction, (random,), shuffled = self.at(layer, 1)
        by_layer = Metric(methods.auroc_by_layer(vectors, *test), n=sum(map(len, test)), tol=0.05)
        metrics = {f"{prefix}layer": layer, f"{prefix}auroc_by_layer": by_layer}
        for name, one in (("auroc_random", random), ("auroc_shuffled", shuffled), ("auroc", direction)):
            far, near = (methods.project_onto(states[:, layer], one.vector) for states in test)
            shares = methods.pairwise_above(far, near).mean(axis=1)  # per prompt: the share of the other kind below it
            control = {"control": f"{prefix}auroc_shuffled"} if name == "auroc" else {}
            metrics[f"{prefix}{name}"] = Metric.mean(shares.tolist(), tol=0.05, **control)
        return metrics

    def acting(self, places, token):
        """The direction of the layer where adding it makes `token` likeliest as first token, and its controls."""
        judged = [kind for split, kinds in self.places.items() if split not in ("train", "valid") for kind in kinds]
        n_random = max(map(len, judged))
        return self.at(methods.acting_layer(self.lm, self.candidates, places, token), n_random)

    def steered(self, name, places, directions, times, judged):
        """Metrics: share of prompts whose answer passes `judged` with the direction added, and with each control."""
        direction, random, shuffled = directions
        rows = []
        for i, one in enumerate(self.progress(places, name)):
            variants = [[one.adding(d, times)] for d in (direction, random[i], shuffled)]
            sweep = self.lm.sweep(one.prompt, variants, max_tokens=MAX_TOKENS, progress=False)
            rows.append([judged(answer.text) for answer in sweep.continuations])
        return {
            f"{name}{suffix}": Metric.share(flags, tol=0.11, **({} if suffix else {"control": f"{name}_random"}))
            for suffix, flags in zip(("", "_random", "_shuffled"), zip(*rows, strict=True), strict=True)
        }

    def answered(self, places, judged):
        """The prompts whose unedited answer passes `judged`."""
        said = self.lm.generate([one.prompt for one in places], max_tokens=MAX_TOKENS) if places else []
        return [one for one, answer in zip(places, said, strict=True) if judged(answer.text)]

    def first_token(self, place):
        """The first token of the model's answer."""
        return self.lm.generate(place.prompt, max_tokens=1).tokens[0]
