"""States of true and false statements of several kinds, for probes of truth (Marks and Tegmark 2023).

A *set* is the statements of one kind of `assay.data.truth_kinds` in one split; "facts" and "negated_facts" leave out one
relation, whose statements are the sets "new_facts" and "negated_new_facts". Statements are read in the question whether they
are true, at the token before the period. A *medley* is the sets that a probe is found on.
"""

from dataclasses import dataclass

import numpy as np

from assay import methods
from assay.data.truth_kinds import held_out_relation, of_kind
from assay.errors import DataError, NotEligible, PromptError
from assay.plugin import Metric

MEDLEYS = {
    "facts": ["facts"],
    "facts_and_negations": ["facts", "negated_facts"],
    "larger": ["larger_than"],
    "larger_and_smaller": ["larger_than", "smaller_than"],
    "translations": ["translations"],
}
DRAWS = 99
"""Directions of a control."""


@dataclass(frozen=True, eq=False)
class Read:
    """States of a set's statements; `first` and `second` are those of pairs of which one is true."""

    states: np.ndarray  # [N, L, E] float32
    true: np.ndarray  # [N] bool
    about: list  # what each is about: equal for a statement, its twin and their negations (`about`)

    def at(self, layer):
        """The states of a layer, centred: [N, E] float64."""
        return methods.centred(self.states[:, layer])

    def kinds(self):
        """The true states and the false ones, each [N, L, E], centred together."""
        both = methods.centred(self.states)
        return both[self.true], both[~self.true]


class KindsOfTruth:
    """The states of each set, read when first asked for."""

    def __init__(self, lm, late, sizes, progress, null_world):
        self.lm, self.late, self.sizes, self.progress, self.null_world = lm, late, sizes, progress, null_world
        self.known = {}

    def read(self, name, split, at_period=False):
        """The set `name` of a split; in the null world with labels permuted, which are drawn for each set by itself."""
        key = name, split, at_period
        if key not in self.known:
            items = self.items(name, split)
            ends = [item.text if at_period else item.text.removesuffix(".") for item in items]
            places = [
                methods.place_at_end_of(self.lm, item.question, end)
                for item, end in zip(self.progress(items, f"{name}, {split}"), ends, strict=True)
            ]
            true = np.array([item.true for item in items])
            if self.null_world:
                seed = [len(name), *map(ord, name), *map(ord, split)]
                true = np.random.default_rng(seed).permutation(true)
            self.known[key] = Read(
                methods.states_at_places(self.lm, places), true, [about(name, item) for item in items]
            )
        return self.known[key]

    def medley(self, medley, layer):
        """The training states of a medley at a layer [N, E], each set centred by itself, and which are true [N]."""
        sets = [self.read(name, "train") for name in MEDLEYS[medley]]
        return np.concatenate([one.at(layer) for one in sets]), np.concatenate([one.true for one in sets])

    def layer(self, medley):
        """The layer whose difference in means parts the medley's validation statements best."""
        return best_layer(*([self.read(name, split) for name in MEDLEYS[medley]] for split in ("train", "valid")))

    def right(self, probe, layer, sets):
        """For each of the test sets, which statements the probe calls what they are: [N] bool."""
        tests = {name: self.read(name, "test") for name in sets}
        return {name: (probe.scores(one.at(layer)) > 0) == one.true for name, one in tests.items()}

    def permuted_95(self, medley, sets):
        """The share of test statements that one in twenty differences in means under permuted labels calls rightly."""
        train, valid = (merged([self.read(name, split) for name in MEDLEYS[medley]]) for split in ("train", "valid"))
        return reached_by(permuted_directions(train), valid, merged([self.read(name, "test") for name in sets]))

    def about(self, sets):
        """What the test statements of several sets are about, one after the other."""
        return [one for name in sets for one in self.read(name, "test").about]

    def own_verdicts(self, sets):
        """Metrics: how well the model's own verdicts part the true test statements of each set from the false ones."""
        areas = {}
        for name in sets:
            items = self.items(name, "test")
            p = methods.answer_preference(
                self.lm,
                [item.question for item in items],
                ("True", "False"),
                track=lambda loop, name=name: self.progress(loop, f"own verdicts, {name}"),
            )
            true = np.array([item.true for item in items])
            area = methods.auroc(p[true], p[~true])
            areas[f"own_verdicts_{name}"] = Metric.auroc(area, int(true.sum()), int((~true).sum()), tol=0.05)
        return areas

    def items(self, name, split):
        """The statements of a set: twins side by side, evenly spread over what they are about."""
        kind, new = name.replace("new_", ""), "new_" in name
        every, held_out = statements_of(kind, split)
        if kind.endswith("facts"):
            every = [one for one in every if one.entity not in self.late and (one.relation == held_out) == new]
        twins = {}
        for one in every:
            twins.setdefault((one.relation, one.entity), []).append(one)
        return [one for some in methods.spread(list(twins.values()), self.sizes[split]) for one in some]


def about(name, item):
    """What a statement of the set `name` is about: a fact's relation and entity; a pair of numbers, or an English word, alone.

    Two numbers are the same in "larger than" and "smaller than", and a word is the same in its translations to three languages.
    """
    return (item.relation, item.entity) if name.endswith("facts") else item.entity


def statements_of(kind, split):
    """The statements of a kind, and the relation that no direction is found on; NotEligible where those given have none."""
    try:
        return of_kind(kind, split), held_out_relation()
    except DataError as error:
        raise NotEligible(str(error)) from error


def twins_of(split, late, n):
    """A true fact and its false twin, of the held-out relation in test and of the others elsewhere: [(true, false), ...]."""
    every, held_out = statements_of("facts", split)
    kept = {}
    for one in every:
        if one.entity not in late and (one.relation == held_out) == (split == "test"):
            kept.setdefault((one.relation, one.entity), {})[one.true] = one
    return methods.spread([(of[True], of[False]) for of in kept.values() if len(of) == 2], n)


def parted(lm, asked, right, wrong):
    """The prompt up to where two answers part, and their next tokens; None if these begin alike."""
    try:
        return methods.where_answers_part(lm, asked, (right, wrong))
    except PromptError:
        return None


def preferred(lm, cases):
    """Probability of the first of two next tokens, for each (prompt, tokens): [N]."""
    out = []
    for some in methods.batches(cases, 16):
        logits = np.array(lm.run([prompt for prompt, _ in some]).logits)
        out += first_of_two(np.take_along_axis(logits, np.array([tokens for _, tokens in some]), axis=-1)).tolist()
    return np.array(out)


def first_of_two(scores):
    """Probability of the first of two tokens, from their logits or log-probabilities [N, 2]: [N]."""
    return np.exp(methods.log_probs(scores))[:, 0]


def choices(read, rng):
    """Pairs of twins in a random order: the states of both sides [N, L, E], whether the first is true [N], what each is about."""
    swap = rng.random(len(read.true) // 2) < 0.5
    first = np.arange(len(swap)) * 2 + swap
    second = np.arange(len(swap)) * 2 + ~swap
    return read.states[first], read.states[second], read.true[first], [read.about[i] for i in first]


def negations(read, denied):
    """Statements and their negations, as `choices`."""
    return read.states, denied.states, read.true, read.about


def best_layer(train, valid):
    """The layer whose difference in means in `train` parts the states of `valid` best; both are lists of sets."""
    vectors = np.mean([np.subtract(*(side.mean(axis=0) for side in one.kinds())) for one in train], axis=0)
    sides = [one.kinds() for one in valid]
    return methods.separating_layer(vectors, *(np.concatenate([side[i] for side in sides]) for i in (0, 1)))


def merged(reads):
    """Several sets as one, each centred by itself."""
    states = np.concatenate([methods.centred(one.states).astype(np.float32) for one in reads])
    return Read(states, np.concatenate([one.true for one in reads]), [name for one in reads for name in one.about])


def random_directions(read):
    """Random directions for each layer of the states: a function of a layer to [draws, E]."""
    n_layers, width = read.states.shape[1:]
    drawn = np.random.default_rng(0).standard_normal((n_layers, DRAWS, width))
    return drawn.__getitem__


def permuted_directions(read):
    """Differences in means of the states under permuted labels: as `random_directions`; a draw permutes all layers alike."""
    kinds = read.kinds()
    found = [
        methods.permuted_differences(*(side[:, i] for side in kinds), np.random.default_rng(0), draws=DRAWS)
        for i in range(read.states.shape[1])
    ]
    return found.__getitem__


def chosen_by_draws(drawn, valid):
    """For each draw of a control, the layer in which its direction parts the states of `valid` best, by d', with its sign.

    So the control chooses as the direction does that it is compared with, which has its sign from labels. [(layer, [E])]
    """
    apart = np.array([d_primes(valid.at(i) @ drawn(i).T, valid.true) for i in range(valid.states.shape[1])])
    best = np.abs(apart).argmax(axis=0)
    return [(int(layer), drawn(layer)[k] * np.sign(apart[layer, k])) for k, layer in enumerate(best)]


def d_primes(scores, true):
    """d' of the scores of each direction [N, D]: [D]."""
    return [methods.d_prime(one[true], one[~true]) for one in scores.T]


def reached_by(drawn, valid, test):
    """What one in twenty draws of a control calls rightly in `test`, each at the layer that it chose in `valid`."""
    found = chosen_by_draws(drawn, valid)
    reached = [np.mean((test.at(layer) @ one > 0) == test.true) for layer, one in found]
    return Metric(float(np.quantile(reached, 0.95)), tol=0.1)
