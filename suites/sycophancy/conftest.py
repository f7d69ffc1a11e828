"""Fixtures of contrastive activation addition: behaviours with readable preferences, their vectors, and what controls do.

A vector is found on train questions (their letters balanced, see `contrasts.py`); layer, strength and sign are chosen by
cross-validation over train topics; what is reported is measured on test questions, at the token from which the letter is
predicted. Controls are random vectors, vectors of shuffled labels without their component along the vector (both several draws),
and another behaviour's vector. Each draw has its own layer, strength and sign, chosen as those of the vector, among the same
layers and strengths and on the same train questions. Questions about one topic are one cluster.

A preference is readable where the two letters get most of the probability, and the same option is chosen when the two change
places. A behaviour without one is left out: whatever is added, its letters do not tell what the model would do.

In the null world the vector that steers is one more draw of shuffled labels: what it does is told by those while it is chosen.
Where a vector is read and not added, it is that of matching letters permuted among the train questions.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from known_questions import known_questions

from assay import methods
from assay.data.behaviours import names, questions
from assay.data.given import given
from assay.data.opinions import opinions
from assay.plugin import Metric

OPINIONS = "opinions"
"""The set of short questions of taste (`assay.data.opinions`), beside the behaviours."""
MOST = 0.8  # least share of the probability on the two letters
SAME = 0.8  # least share of questions in which the same option is chosen in both orders
STRENGTHS = (0.25, 0.75)
DRAWS = 4
CONTROLS = {"random": DRAWS, "shuffled": DRAWS, "other": 1}
FEW = 12  # questions of a vector that is a control alone


@pytest.fixture(scope="session")
def behaviour():
    """The behaviour of single-behaviour experiments: that of `--dataset behaviour=FILE`, or sycophancy."""
    own = given("behaviour")
    return own[0].behaviour if own else "sycophancy"


@pytest.fixture(scope="session")
def asked(lm, tier, no_system_prompt):
    """Questions with a right and a wrong answer that the model knows, for dialogues (`known_questions.py`)."""
    return known_questions(lm, tier, no_system_prompt)


@pytest.fixture(scope="session")
def readable(lm, tier, no_system_prompt):
    """readable("survival") -> how the model answers its test questions, in both orders of the options; can that be read?"""
    known = {}

    def read(name):
        if name not in known:
            asked = methods.balanced(of_set(name)[1], tier.choose(smoke=8, quick=12, full=None), letter)
            both = [*asked, *map(Exchanged, asked)]
            mass, a = methods.letters_answered(lm, both, system=no_system_prompt)
            known[name] = Readable(mass, a[: len(asked)], a[: len(asked)] != a[len(asked) :])
        return known[name]

    return read


@dataclass(frozen=True, eq=False)
class Readable:
    """Test answers of one behaviour."""

    mass: np.ndarray
    """[N] probability of the two letters."""
    a: np.ndarray
    """[N] bool: is A the likelier letter?"""
    same: np.ndarray
    """[N] bool: is the likelier letter the other one when the options change places?"""

    @property
    def ok(self):
        return float(self.mass.mean()) >= MOST and float(self.same.mean()) >= SAME

    def metrics(self, name):
        return {
            f"{name}_letters": Metric.mean(self.mass.clip(0, 1).tolist(), (0, 1), tol=0.05),
            f"{name}_by_a": Metric.share(self.a, tol=0.11),
            f"{name}_same_option": Metric.share(self.same, tol=0.11),
        }


class Exchanged:
    """A question with its two options in the other order."""

    def __init__(self, item):
        start, _, options = item.prompt.rpartition("(A)")
        a, between, b = (part for part in options.partition("(B)"))
        gap = a[len(a.rstrip()) :]
        self.prompt = f"{start}(A) {b.strip()}{gap}{between} {a.strip()}"
        self.matches = "B" if item.matches == "A" else "A"


@pytest.fixture(scope="session")
def behaviours_read(readable):
    """The behaviours whose preference can be read."""
    return [name for name in names() if readable(name).ok]


@pytest.fixture(scope="session")
def held_out(tier):
    """held_out("survival") -> questions that nothing is found or chosen on, and what each is about."""

    def ask(name):
        asked = methods.balanced(of_set(name)[1], tier.choose(smoke=8, quick=40, full=None), letter)
        return asked, [one.topic for one in asked]

    return ask


@pytest.fixture(scope="session")
def contrasts_of(lm, readable, tier, no_system_prompt):
    """contrasts_of("survival") -> its train questions and their contrasts; few questions where only a control is made of them."""
    known = {}

    def find(name):
        if name not in known:
            n = tier.choose(smoke=8, quick=40, full=None) if readable(name).ok else FEW
            items = methods.balanced(of_set(name)[0], n, letter)
            topics = [one.topic for one in items]
            known[name] = items, methods.letter_contrasts(lm, items, topics, system=no_system_prompt)
        return known[name]

    return find


@pytest.fixture(scope="session")
def found(contrasts_of, null_world):
    """found("survival") -> the contrasts whose vectors are read."""

    def find(name):
        contrasts = contrasts_of(name)[1]
        return contrasts.shuffled(np.random.default_rng(1)) if null_world else contrasts

    return find


@pytest.fixture(scope="session")
def steering(lm, contrasts_of, held_out, behaviours_read, tier, progress, no_system_prompt, null_world):
    """steering("survival") -> its vector where it acts most, with controls, and test questions."""
    known = {}

    def steer(name):
        if name not in known:
            items, contrasts = contrasts_of(name)
            fold_of = methods.topic_folds(contrasts.topics, min(tier.choose(2, 4, 5), len(set(contrasts.topics))))
            another = next(one for one in (*behaviours_read, *names()) if one != name)
            series = own_and_controls(contrasts, fold_of, contrasts_of(another)[1].vectors(), null_world)
            chosen = methods.cross_validated(
                lm, items, series, fold_of, STRENGTHS,
                layers=methods.spread(range(1, lm.n_layers), tier.choose(2, 5, 12)), system=no_system_prompt,
                track=lambda loop: progress(loop, f"layer of {name}"),
            )  # fmt: skip
            known[name] = Steering(lm, series[0].found(None), chosen, *held_out(name), no_system_prompt)
        return known[name]

    return steer


def own_and_controls(contrasts, fold_of, another, null_world):
    """The own series, and then those of `CONTROLS` in their order; another: vectors [L, E] of another behaviour."""
    rng = np.random.default_rng(0)
    random = [contrasts.at_random(rng) for _ in range(DRAWS)]
    *shuffled, one_more = (contrasts.of_shuffled(rng, fold_of) for _ in range(DRAWS + 1))
    return [one_more if null_world else contrasts.own(), *random, *shuffled, contrasts.another(another)]


class Steering:
    """One behaviour's vector at its layer, strength and sign, that of each control at its own, and effects on test questions.

    directions: the own vectors of all layers. chosen: a `methods.LayerChoice` for each series of `own_and_controls`.
    """

    def __init__(self, lm, directions, chosen, asked, topics, system):
        self.lm, self.directions, self.asked, self.topics, self.system = lm, directions, asked, topics, system
        self.choice, *others = chosen
        rest = iter(others)
        self.controls = {kind: [next(rest) for _ in range(draws)] for kind, draws in CONTROLS.items()}
        self.known = {}

    def edits(self, times, position=-1):
        """{"own": [edit], "random": [one for each draw], ...}: what is added in each variant, towards the behaviour above 0."""
        every = {"own": [self.choice], **self.controls}
        return {kind: [one.addition(times, position=position) for one in some] for kind, some in every.items()}

    def shifts(self, times, asked=None, system=None):
        """For each of `times`: what adding the vector does to the preference of the matching letter, (own [N], {kind: [D, N]}).

        Also the preference without any edit [N], as the last element.
        """
        if asked is None and system is None and times in self.known:
            return self.known[times]
        edits = [self.edits(t) for t in times]
        flat = [[], *([edit] for some in edits for kind in some.values() for edit in kind)]
        system = self.system if system is None else system
        p = methods.swept_letter_preference(self.lm, asked or self.asked, flat, system=system).T
        found = (*unflattened(edits, iter(p[1:] - p[0])), p[0])
        if asked is None and system == self.system:
            self.known[times] = found
        return found

    def ranges(self):
        """Half of the change from subtracting to adding the vector, for each test question: own [N], {kind: [D, N]}."""
        (raised, ups), (lowered, downs), _ = self.shifts((1.0, -1.0))
        return (raised - lowered) / 2, {kind: (ups[kind] - downs[kind]) / 2 for kind in ups}

    def metrics(self):
        """Where the vector acts."""
        return {
            "layer": self.choice.layer,
            "sign": self.choice.sign,
            "strength": self.choice.strength,
            **{f"{kind}_layers": sorted(one.layer for one in some) for kind, some in self.controls.items()},
            "strength_as_found": Metric(self.choice.direction.strength, unit="mean length of the stream", tol=0.05),
            "train_effect_by_strength_layer": Metric(
                [[None if np.isnan(x) else float(x) for x in row] for row in self.choice.effects], tol=0.1
            ),
        }


@pytest.fixture(scope="session")
def compared():
    """compared("raised", own, controls, topics) -> the metrics of an effect, of its controls, and of the differences."""
    return effect_and_controls


def unflattened(edits, values):
    """For each element of `edits` (variants by kind): the values of the own variant, and those of each control [D, N]."""
    parts = [{kind: np.array([next(values) for _ in some]) for kind, some in one.items()} for one in edits]
    return [(part.pop("own")[0], part) for part in parts]


def effect_and_controls(name, own, controls, topics, bounds=(-1, 1), **options):
    """own: [N], one for each prompt; controls: {kind: [draws, N]}.

    bounds: of a shift, and so of the difference of two shifts of one preference; None for numbers without bounds.
    """
    options = {"tol": 0.1, **options}
    metrics = {name: Metric.mean(own.tolist(), bounds, topics, control=f"{name}_{next(iter(controls))}", **options)}
    for kind, draws in controls.items():
        metrics[f"{name}_{kind}"] = Metric.mean(draws.mean(axis=0).tolist(), bounds, topics, **options)
        if len(draws) == 1 and bounds:  # float32 probabilities may differ by a rounding more than the bounds
            less = Metric.mean(np.clip(own - draws[0], *bounds).tolist(), bounds, topics, **options)
        else:
            less = Metric.difference(own.tolist(), draws.tolist(), bounds, topics, **options)
        metrics[f"{name}_less_{kind}"] = less
    return metrics


def of_set(name):
    """The train questions of a behaviour or of the opinions, and those that nothing is found or chosen on."""
    every = opinions() if name == OPINIONS else questions(name)
    return [one for one in every if one.split == "train"], [one for one in every if one.split != "train"]


def letter(item):
    """The letter that matches."""
    return item.matches
