"""The study of one trait on one model: what the experiments of the two suites of persona vectors share (Chen et al. 2025).

    study = PersonaStudy(lm, trait("hallucinating"), sizes(tier), why="...", or_names=True)
    study.contrast.form                                            # "instructions", or "known and made-up names"
    study.vectors["prompt last"].vectors.shape                     # 1, layers, width

Each part is made when it is first asked for. Whatever the vectors choose, a layer and a strength, every draw of a control chooses
for itself in the same way, on the same prompts, and what is reported is measured on others.

In the null world the vectors are one more draw of the random ones, the labels of responses about the same thing are exchanged at
random, and the scores that projections should predict are those under other instructions (or of other names).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from assay import methods
from assay.errors import PromptError
from assay.plugin import Metric

LEAST = 5
"""The least number of kept pairs, or of responses of either kind, that a vector is found with."""


@dataclass(frozen=True)
class PersonaSizes:
    """How much is measured."""

    questions: int = 20
    """Extraction questions, each asked under five pairs of instructions."""
    evaluated: int = 20
    """Evaluation questions, or names of either kind."""
    placed: int = 10
    """Prompts to raise, and to lower, that layers and strengths are chosen on, at most."""
    layers: int = 16
    """Layers at which steering is tried, evenly spread, at most."""
    strengths: tuple[float, ...] = (1.0, 0.5, 2.0)
    """In lengths of the stream; layers are compared at the first."""
    samples: int = 1
    temperature: float = 0.0
    draws: int = 8
    """Of each control."""
    max_tokens: int = 32


def sizes(tier):
    """What both suites measure at a tier."""
    return tier.choose(
        smoke=PersonaSizes(
            questions=3, evaluated=4, placed=2, layers=2, strengths=(1.0,), draws=2, max_tokens=16
        ),
        quick=PersonaSizes(
            questions=6, evaluated=10, placed=5, layers=5, strengths=(0.7, 1.0), draws=8, max_tokens=20
        ),
        full=PersonaSizes(samples=10, temperature=1.0, max_tokens=256),
    )  # fmt: skip


class Steered(NamedTuple):
    """Vectors, at the place that they chose."""

    vectors: object
    place: object

    def edits(self, sign, layer=None, **options):
        """What adds them at their place (sign 1) or subtracts them there (-1), or at another layer."""
        one = self.vectors.at(-1, self.place.layer if layer is None else layer)
        return methods.persona_edits(one, sign * self.place.strength, **options)


class PersonaStudy:
    """One trait on one model. Its parts share what was generated."""

    def __init__(self, lm, trait, sizes, *, why, or_names=False, null=False, progress=lambda loop, label: loop):
        """why: what is said where there is no contrast. or_names: use that of names where instructions change nothing."""
        self.lm, self.trait, self.sizes, self.why, self.or_names = lm, trait, sizes, why, or_names
        self.null, self.progress, self._steered = null, progress, {}

    @cached_property
    def pairs(self):
        """The responses to extraction questions under both instructions of each pair."""
        size = self.sizes
        options = {"samples": size.samples, "temperature": size.temperature, "max_tokens": size.max_tokens}
        asked = self.trait.extraction[: size.questions]
        return methods.instructed_pairs(self.lm, self.trait, asked, **options, track=self.track("instructions"))

    @cached_property
    def labelled(self):
        """How well the model's own scores part labelled answers: an area under the ROC curve."""
        return Metric.auroc(*methods.labelled_area(self.lm, self.trait), tol=0.05)

    @cached_property
    def contrast(self):
        """The contrast of instructions if they change what is shown and pairs are kept; else of names, if wanted; or None."""
        size = self.sizes
        if self.of_pairs(self.less_negative(), (-1, 1)).low > 0:
            options = {"questions": size.evaluated, "choosing": size.placed, "max_tokens": size.max_tokens}
            found = methods.instruction_contrast(self.lm, self.trait, self.pairs, **options)
            if len(found.positive) >= LEAST:
                return found
        if not self.or_names:
            return None
        found = methods.names_contrast(self.lm, choosing=size.placed, testing=size.evaluated)
        return found if min(len(found.positive), len(found.negative)) >= LEAST else None

    @property
    def missing(self):
        """Why no vector can be found, placed and tested; None if it can."""
        n = self.counts()
        if self.contrast is None:
            return self.why
        if not n["n_choosing"] or n["n_to_raise"] + n["n_to_lower"] < LEAST:
            return "too few prompts have a coherent response without steering to choose a layer on, or to test it on"
        return None

    @cached_property
    def states(self):
        """Of the positive and of the negative responses."""
        if self.contrast is None:
            raise PromptError(
                f"{self.lm.name} has too few responses that show the trait {self.trait.name!r}, or do not"
            )
        return tuple(
            methods.response_states(self.lm, some) for some in (self.contrast.positive, self.contrast.negative)
        )

    def of_kind(self, kind):
        """The states of one kind of the positive responses, then of the negative ones: [N, L, E]."""
        return np.concatenate([methods.states_of_kind(states, kind)[0] for states in self.states])

    @cached_property
    def positive(self):
        """Which of them are positive: [N] bool. In the null world as by chance."""
        found = np.arange(len(self.contrast.about)) < len(self.contrast.positive)
        rng = np.random.default_rng(4)
        return methods.exchanged_labels(self.contrast.about, found, rng) if self.null else found

    @cached_property
    def vectors(self):
        """The persona vectors; in the null world random ones of their lengths."""
        found = methods.persona_vectors(*self.states)
        rng = np.random.default_rng(1)
        return {k: v.replaced(rng.standard_normal(v.vectors.shape)) if self.null else v for k, v in found.items()}

    @property
    def layers(self):
        """The layers at which steering is tried, from the second to the last."""
        last = self.lm.n_layers - 1
        return sorted({round(at) for at in np.linspace(min(1, last), last, min(self.sizes.layers, self.lm.n_layers))})

    def steered(self, kind):
        """The vectors, then `draws` random ones as long as they are, then as many from shuffled labels, each at its own place."""
        if kind not in self._steered:
            rng, own, draws = np.random.default_rng(0), self.vectors[kind], range(self.sizes.draws)
            random = [own.replaced(rng.standard_normal(own.vectors.shape)) for _ in draws]
            shuffled = [own.replaced(methods.shuffled_labels(*self.states, kind, rng)) for _ in draws]
            every = [own, *random, *shuffled]
            places = methods.choose_places(
                self.lm,
                every,
                *self.contrast.choosing,
                layers=self.layers,
                strengths=self.sizes.strengths,
                max_tokens=self.contrast.max_tokens,
                track=self.track(f"layers and strengths ({kind})"),
            )
            self._steered[kind] = [Steered(*one) for one in zip(every, places, strict=True)]
        return self._steered[kind]

    @cached_property
    def monitored(self):
        """The states at the last tokens of monitored prompts [N, L, E], what their responses show [N], what they are about."""
        asked = self.contrast.monitored
        said = methods.respond(self.lm, [one.prompt for one in asked], max_tokens=self.contrast.max_tokens)
        pairs = [(one, made) for one, made in zip(asked, said, strict=True) if made.tokens]
        states = methods.response_states(self.lm, [made for _, made in pairs]).prompt_last
        shows = {one.about: one.shows(made.text) for one, made in pairs}
        if self.null:  # those under another instruction, or of another name
            last = list(dict.fromkeys(about[-1] for about in shows))
            other = dict(zip(last, np.random.default_rng(2).permutation(last).tolist(), strict=True))
            shows = {about: shows.get((*about[:-1], other[about[-1]]), shown) for about, shown in shows.items()}
        return states, np.array(list(shows.values()), float), list(shows)

    def counts(self):
        """Numbers of responses and prompts that the contrast has; zeros without one."""
        it = self.contrast
        sets = dict.fromkeys(("positive", "negative", "choosing", "to_raise", "to_lower"), ())
        if it is not None:
            choosing = [*it.choosing[0], *it.choosing[1]]
            sets = dict(zip(sets, (it.positive, it.negative, choosing, *it.testing), strict=True))
        return {f"n_{name}": len(some) for name, some in sets.items()}

    def track(self, label):
        """Shows the progress of a loop under this label."""
        return lambda loop: self.progress(loop, label)

    def less_negative(self):
        """Shown by the positive response less shown by the negative one, for each pair."""
        return [float(pair.shows[0]) - pair.shows[1] for pair in self.pairs]

    def exchanged(self, less):
        """Differences of pairs; in the null world each question's responses are exchanged at random."""
        if not self.null:
            return list(less)
        questions, rng = [pair.question for pair in self.pairs], np.random.default_rng(3)
        sign = {question: rng.choice((-1.0, 1.0)) for question in dict.fromkeys(questions)}
        return [value * sign[question] for value, question in zip(less, questions, strict=True)]

    def of_pairs(self, values, bounds, **options):
        """The mean over pairs, with the wider of its two intervals: over questions, and over the pairs of instructions."""
        factors = zip(*((pair.question, pair.instructions) for pair in self.pairs), strict=True)
        found = [Metric.mean(list(values), bounds, labels, **options) for labels in factors]
        ends = min(one.low for one in found), max(one.high for one in found)
        return replace(min(found, key=lambda one: one.clusters), ci=ends)
