"""The study of one trait on one model: what its measures share (Chen et al. 2025).

    >>> from assay.data.personas import trait
    >>> sizes = PersonaSizes(questions=2, evaluated=4, layers=3, strengths=(0.5,), max_tokens=12)
    >>> study = PersonaStudy(lm, trait("hallucinating"), sizes, or_names=True)
    >>> study.contrast.form                                        # this model does not follow the instructions
    'known and made-up names'
    >>> study.vectors["prompt last"].vectors.shape, study.layers
    ((1, 8, 128), [1, 4, 7])

Each part is made when it is first asked for. `persona_measures.py` measures with them. In the null world (`null=True`) the
vectors are random ones of the same lengths, the responses of a pair are exchanged at random, and the scores that projections
should predict are permuted.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from assay.data.personas import Trait
from assay.errors import PromptError
from assay.forward.lm import LM
from assay.methods.directions import Directions
from assay.methods.persona.contrasts import (
    InstructedPair,
    PersonaContrast,
    instructed_pairs,
    instruction_contrast,
    names_contrast,
)
from assay.methods.persona.monitoring import Estimate, estimated_mean
from assay.methods.persona.persona_scores import labelled_area
from assay.methods.persona.persona_steering import SteeringPlace, choose_place
from assay.methods.persona.persona_vectors import Kind, persona_vectors, shuffled_labels
from assay.methods.persona.responses import ResponseStates, response_states
from assay.methods.portions import Track
from assay.stats import auroc_interval

LEAST_RESPONSES = 5
"""The least number of kept pairs, or of responses of either kind, that a vector is found with."""
ProgressOf = Callable[[Iterable[Any], str], Iterable[Any]]


@dataclass(frozen=True)
class PersonaSizes:
    """How much is measured."""

    questions: int = 20
    """Extraction questions, each asked under five pairs of instructions."""
    evaluated: int = 20
    """Evaluation questions, or names of either kind."""
    layers: int = 100
    """Layers at which steering is tried, evenly spread, at most."""
    strengths: tuple[float, ...] = (0.25, 0.5, 1.0)
    samples: int = 1
    temperature: float = 0.0
    draws: int = 3
    """Of each control."""
    max_tokens: int = 32


class PersonaStudy:
    """One trait on one model. Its parts share what was generated."""

    def __init__(
        self,
        lm: LM,
        trait: Trait,
        sizes: PersonaSizes,
        *,
        or_names: bool = False,
        null: bool = False,
        progress: ProgressOf = lambda loop, label: loop,
    ):
        """or_names: use the contrast of names where instructions change nothing."""
        self.lm, self.trait, self.sizes, self.null, self.or_names = lm, trait, sizes, null, or_names
        self.progress = progress
        self._places: dict[Kind, SteeringPlace] = {}

    @cached_property
    def pairs(self) -> list[InstructedPair]:
        """The responses to extraction questions under both instructions of each pair."""
        asked, sizes = self.trait.extraction[: self.sizes.questions], self.sizes
        options = {"samples": sizes.samples, "temperature": sizes.temperature, "max_tokens": sizes.max_tokens}
        return instructed_pairs(self.lm, self.trait, asked, **options, track=self.track("instructions"))

    @cached_property
    def labelled(self) -> Estimate:
        """How well the model's own scores part labelled answers: an area under the ROC curve."""
        area, *n = labelled_area(self.lm, self.trait)
        return Estimate(area, sum(n), auroc_interval(area, *n), tol=0.05)

    @cached_property
    def contrast(self) -> PersonaContrast | None:
        """The contrast of instructions if they change what is shown and pairs are kept; else of names, if wanted; or None."""
        less = estimated_mean(self.less_negative(), (-1, 1), [pair.question for pair in self.pairs])
        if less.ci is not None and less.ci[0] > 0:
            size = {"questions": self.sizes.evaluated, "max_tokens": self.sizes.max_tokens}
            found = instruction_contrast(self.lm, self.trait, self.pairs, **size)
            if len(found.positive) >= LEAST_RESPONSES:
                return found
        if not self.or_names:
            return None
        found = names_contrast(self.lm, testing=self.sizes.evaluated)
        return found if min(len(found.positive), len(found.negative)) >= LEAST_RESPONSES else None

    @cached_property
    def states(self) -> tuple[ResponseStates, ResponseStates]:
        """Of the positive and of the negative responses."""
        found = self.there()
        return response_states(self.lm, found.positive), response_states(self.lm, found.negative)

    @cached_property
    def vectors(self) -> dict[Kind, Directions]:
        """The persona vectors; in the null world random ones of their lengths."""
        found = persona_vectors(*self.states)
        rng = np.random.default_rng(1)
        return {k: v.replaced(rng.standard_normal(v.vectors.shape)) if self.null else v for k, v in found.items()}

    @property
    def layers(self) -> list[int]:
        """The layers at which steering is tried, from the second to the last."""
        most = min(self.sizes.layers, self.lm.n_layers)
        return sorted({round(at) for at in np.linspace(min(1, self.lm.n_layers - 1), self.lm.n_layers - 1, most)})

    def place(self, kind: Kind) -> SteeringPlace:
        """Where the vectors act best on the prompts for choosing."""
        if kind not in self._places:
            self._places[kind] = choose_place(
                self.lm,
                self.vectors[kind],
                *self.there().choosing,
                layers=self.layers,
                strengths=self.sizes.strengths,
                max_tokens=self.there().max_tokens,
                track=self.track(f"layers ({kind})"),
            )
        return self._places[kind]

    def controls(self, kind: Kind) -> dict[str, list[Directions]]:
        """Vectors as long as the trait's, `draws` of each: random ones, and from shuffled labels."""
        rng, vectors, draws = np.random.default_rng(0), self.vectors[kind], range(self.sizes.draws)
        return {
            "random": [vectors.replaced(rng.standard_normal(vectors.vectors.shape)) for _ in draws],
            "shuffled": [vectors.replaced(shuffled_labels(*self.states, kind, rng)) for _ in draws],
        }

    def counts(self) -> dict[str, int]:
        """Numbers of responses and prompts that the contrast has; zeros without one."""
        it = self.contrast
        sets: dict[str, Sequence[Any]] = dict.fromkeys(("positive", "negative", "choosing", "to_raise", "to_lower"), ())
        if it is not None:
            choosing = [*it.choosing[0], *it.choosing[1]]
            sets = dict(zip(sets, (it.positive, it.negative, choosing, *it.testing), strict=True))
        return {f"n_{name}": len(some) for name, some in sets.items()}

    def there(self) -> PersonaContrast:
        """The contrast. Raises PromptError without one."""
        if self.contrast is None:
            raise PromptError(
                f"{self.lm.name} has too few responses that show the trait {self.trait.name!r}, or that do not"
            )
        return self.contrast

    def track(self, label: str) -> Track:
        """Shows the progress of a loop under this label."""
        return lambda loop: self.progress(loop, label)

    def less_negative(self) -> list[float]:
        """Shown by the positive response less shown by the negative one, for each pair."""
        return [float(pair.shows[0]) - pair.shows[1] for pair in self.pairs]

    def exchanged(self, less: Sequence[float] | np.ndarray) -> np.ndarray:
        """Differences of pairs; in the null world each question's responses are exchanged at random."""
        less = np.asarray(less, float)
        if not self.null:
            return less
        questions, rng = [pair.question for pair in self.pairs], np.random.default_rng(3)
        sign = {question: rng.choice((-1.0, 1.0)) for question in dict.fromkeys(questions)}
        return less * [sign[question] for question in questions]
