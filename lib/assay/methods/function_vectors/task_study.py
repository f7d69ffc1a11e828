"""A study of function vectors on one model: each step is measured when it is first used, and its result is cached.

    >>> from assay.data.tasks import tasks
    >>> sizes = StudySizes(record=2, effects=1, choose=1, test=1, shots=5)
    >>> study = TaskStudy(lm, tasks(["antonym", "country-capital"]), corrupted="mixed", sizes=sizes)
    >>> study.able                                                 # the tasks that the model does
    ['antonym', 'country-capital']
    >>> study.effects["antonym"].shape                             # trials, layers, heads
    (1, 8, 8)
    >>> study.vectors["function"]["antonym"].shape
    (128,)

The order is the paper's (Todd et al. 2024, section 2): record the heads on prompts that the model answers right, measure
indirect effects on corrupted prompts of the queries that it answers right, rank the heads over all main tasks, choose the
number of heads and the layer, and then answer test queries. All steps up to the choice use the valid split; reported numbers
use the test split.

With `null`, random heads of the same layers, at the same length, take the place of the heads with the largest effects: whatever
is then found for "the function vector" is found for random heads.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mlx.core as mx
import numpy as np

from assay.data.in_context import Labels
from assay.data.tasks import Task
from assay.forward.lm import LM
from assay.methods.function_vectors.function_vector import Injected, as_long_as, function_vector, inject_at_every_layer
from assay.methods.function_vectors.head_choice import HeadChoice, choose_heads, head_counts
from assay.methods.function_vectors.head_means import HeadMeans, RecordedHeads, record_heads
from assay.methods.function_vectors.in_context import Trial, TrialScores, answer_trials, draw_trials, usable_queries
from assay.methods.function_vectors.mediation import head_effects
from assay.methods.heads import Head, other_heads, ranked_heads

MAIN_TASKS = ("antonym", "capitalize", "country-capital", "english-french", "present-past", "singular-plural")
"""The paper's six main tasks."""
RANDOM_KINDS = ("random_heads", "random_heads_2", "random_heads_3")
"""Draws of random heads: a control with randomness is drawn several times."""
VECTOR_KINDS = ("function", *RANDOM_KINDS, "corrupted_labels", "other_task", "layer_mean")
"""The function vector and its controls (see `TaskStudy.vectors`)."""


@dataclass(frozen=True)
class StudySizes:
    """Numbers of prompts for each task; the defaults are the paper's."""

    record: int = 100  # ten-shot prompts that the heads are recorded on
    effects: int = 25  # corrupted prompts that the heads are replaced in
    choose: int = 20  # zero-shot prompts that the number of heads and the layer are chosen on
    test: int | None = None  # queries that are reported; None: the whole test split
    shots: int = 10


class TaskStudy:
    """The steps of the study, as cached properties: each runs the steps that it needs."""

    def __init__(
        self,
        lm: LM,
        tasks: Sequence[Task],
        *,
        main: Sequence[str] = MAIN_TASKS,
        corrupted: Labels = "shuffled",
        sizes: StudySizes | None = None,
        null: bool = False,
        track: Callable[[Iterable[Any], str], Iterable[Any]] = lambda items, label: items,
    ):
        """corrupted: how the labels of corrupted prompts are drawn. track(items, label) wraps the long loops, for progress."""
        self.lm, self.tasks, self.track = lm, {t.name: t for t in tasks}, track
        self.corrupted: Labels = corrupted
        self.main, self.sizes, self.null = tuple(main), sizes or StudySizes(), null
        self._scores: dict[tuple[str, int, str, int], TrialScores] = {}

    def draw(
        self, name: str, split: str, limit: int | None, *, shots: int, labels: Labels = "own", **options: Any
    ) -> list[Trial]:
        """Trials of a task of the study; the queries are the same for any number of shots and any labels."""
        return draw_trials(
            self.lm,
            self.tasks[name],
            n_shots=shots,
            split=split,
            limit=limit,
            labels=labels,
            others=self.tasks.values(),
            **options,
        )

    @cached_property
    def left_out(self) -> dict[str, int]:
        """Number of test queries left out, by task: the answer's first token would not tell it (`usable_queries`)."""
        return {
            name: usable_queries(self.lm, task, "test", self.tasks.values())[1] for name, task in self.tasks.items()
        }

    @cached_property
    def asked(self) -> list[str]:
        """The tasks with usable queries in the valid and the test split."""
        splits = ("valid", "test")
        return [
            name
            for name, task in self.tasks.items()
            if all(usable_queries(self.lm, task, split, self.tasks.values())[0] for split in splits)
        ]

    @property
    def main_asked(self) -> list[str]:
        """The main tasks among `asked`."""
        return [name for name in self.main if name in self.asked]

    # ------------------------------------------------------------------ heads

    @cached_property
    def recorded(self) -> dict[str, RecordedHeads]:
        """Heads and answers of the model on ten-shot prompts of each task (FV-2)."""
        names = self.track(self.asked, "recording heads")
        return {name: record_heads(self.lm, self.recorded_trials(name)) for name in names}

    def recorded_trials(self, name: str) -> list[Trial]:
        """The ten-shot prompts of `recorded`, on valid queries."""
        return self.draw(name, "valid", self.sizes.record, shots=self.sizes.shots)

    @cached_property
    def able(self) -> list[str]:
        """The tasks whose recorded prompts the model answers right at least half of the time."""
        return [name for name, recorded in self.recorded.items() if recorded.score.right.mean() >= 0.5]

    @property
    def main_able(self) -> list[str]:
        """The main tasks among `able`: heads and layer are chosen on them."""
        return [name for name in self.main if name in self.able]

    @property
    def unable(self) -> str | None:
        """Why the study is impossible for this model, or None. It compares vectors between tasks, so it needs two."""
        if len(self.main_able) >= 2:
            return None
        return f"{len(self.main_able)} of {len(self.main)} tasks are done at {self.sizes.shots} shots, and it takes 2"

    @cached_property
    def means(self) -> dict[str, HeadMeans]:
        """Mean activations over the prompts that were answered right, for each task in `able`."""
        return {name: self.recorded[name].means(self.recorded[name].score.right) for name in self.able}

    def done(self, name: str) -> set[str]:
        """The inputs of the valid queries whose first recorded prompt was answered right."""
        first: dict[str, bool] = {}
        for one, right in zip(self.recorded_trials(name), self.recorded[name].score.right, strict=True):
            first.setdefault(one.context.query[0], bool(right))
        return {given for given, right in first.items() if right}

    def corrupted_trials(self, name: str, labels: Labels, limit: int) -> list[Trial]:
        """Prompts of a task with corrupted labels, on the valid queries that are `done`, as in the authors' code."""
        return self.draw(name, "valid", limit, shots=self.sizes.shots, labels=labels, inputs=self.done(name))

    @cached_property
    def effects(self) -> dict[str, np.ndarray]:
        """Indirect effects of every head for each main task (FV-3): {task: [trials, layers, H]}."""
        return self.effects_with(self.corrupted, self.sizes.effects)

    def effects_with(self, labels: Labels, limit: int) -> dict[str, np.ndarray]:
        """`effects` on `limit` prompts of each task whose labels are corrupted as `labels` says."""
        jobs = [(name, t) for name in self.main_able for t in self.corrupted_trials(name, labels, limit)]
        rows: dict[str, list[np.ndarray]] = {}
        for name, one in self.track(jobs, f"head effects, {labels} labels"):
            rows.setdefault(name, []).append(head_effects(self.lm, one, self.means[name]))
        return {name: np.stack(of) for name, of in rows.items()}

    @cached_property
    def by_effect(self) -> list[Head]:
        """All heads, the largest mean effect over trials and tasks first: the first of them are the paper's universal set."""
        mean = np.mean([effects.mean(axis=0) for effects in self.effects.values()], axis=0)
        return ranked_heads(mean)

    @cached_property
    def ranked(self) -> list[Head]:
        """The heads in the order in which vectors take them: `by_effect`; with `null` a random order."""
        return self.random_order(len(RANDOM_KINDS)) if self.null else self.by_effect

    def random_order(self, draw: int) -> list[Head]:
        """Other heads of the same layers in random order, for each draw another: the control for every number of heads."""
        return other_heads(self.lm, self.by_effect[: head_counts(self.lm)[-1]], seed=draw)

    # ------------------------------------------------------------------ the choice

    @cached_property
    def choice(self) -> HeadChoice:
        """The number of heads and the layer whose vector answers zero-shot valid queries best (`choose_heads`)."""
        counts = head_counts(self.lm)
        vectors = {name: [self.vector(self.means[name], count) for count in counts] for name in self.main_able}
        jobs = [
            (one, vectors[name])
            for name in self.main_able
            for one in self.draw(name, "valid", self.sizes.choose, shots=0)
        ]
        return choose_heads(self.lm, self.track(jobs, "choosing heads and layer"), counts)

    @property
    def heads(self) -> list[Head]:
        """The chosen heads."""
        return self.ranked[: self.choice.count]

    @property
    def layer(self) -> int:
        """The layer whose resid_post vectors are added to."""
        return self.choice.layer

    # ------------------------------------------------------------------ vectors

    def vector(self, means: HeadMeans, count: int | None = None) -> mx.array:
        """The function vector [E] of the first `count` heads, by default the chosen number, over some prompts (FV-4)."""
        count = self.choice.count if count is None else count
        vector = function_vector(self.lm, means, self.ranked[:count])
        return as_long_as(vector, function_vector(self.lm, means, self.by_effect[:count])) if self.null else vector

    def random_vectors(self, means: HeadMeans, count: int | None = None) -> list[mx.array]:
        """The same of random heads, as long as `vector`: one for each of `RANDOM_KINDS`."""
        count, own = self.choice.count if count is None else count, self.vector(means, count)
        orders = map(self.random_order, range(len(RANDOM_KINDS)))
        return [as_long_as(function_vector(self.lm, means, order[:count]), own) for order in orders]

    @cached_property
    def function_vectors(self) -> dict[str, mx.array]:
        """`vector` of each task in `able`."""
        return {name: self.vector(self.means[name]) for name in self.able}

    @cached_property
    def vectors(self) -> dict[str, dict[str, mx.array]]:
        """The vectors to add, {kind: {main task: [E], or [layers, E] for one that differs from layer to layer}}:

        function          the chosen heads' mean writes over the task's own prompts
        random_heads      mean writes of other heads of the same layers, also random_heads_2, random_heads_3
        corrupted_labels  mean writes of the chosen heads over the task's corrupted prompts
        other_task        the function vector of the next task
        layer_mean        the mean residual stream of the task's own prompts, at the layer of the edit (FV-6)

        All but the last have the function vector's length.
        """
        function = self.function_vectors
        made: dict[str, dict[str, mx.array]] = {kind: {} for kind in VECTOR_KINDS}
        for i, name in enumerate(self.track(self.main_able, "vectors")):
            corrupted = record_heads(self.lm, self.corrupted_trials(name, self.corrupted, self.sizes.effects)).means()
            given = {
                "function": function[name],
                **dict(zip(RANDOM_KINDS, self.random_vectors(self.means[name]), strict=True)),
                "corrupted_labels": function_vector(self.lm, corrupted, self.heads),
                "other_task": function[self.main_able[(i + 1) % len(self.main_able)]],
            }
            for kind, vector in given.items():
                made[kind][name] = as_long_as(vector, function[name])
            made["layer_mean"][name] = self.means[name].stream
        return made

    # ------------------------------------------------------------------ reported numbers

    def score(self, name: str, shots: int, labels: Labels = "own", *, draw: int = 0) -> TrialScores:
        """Scores of the test queries of a task; another `draw` has other shots and labels."""
        key = (name, shots, labels, draw)
        if key not in self._scores:
            trials = self.asked_trials(name, shots, labels, draw=draw)
            self._scores[key] = answer_trials(self.lm, trials)
        return self._scores[key]

    def asked_trials(self, name: str, shots: int, labels: Labels = "own", *, draw: int = 0) -> list[Trial]:
        """The trials of `score`: test queries, in the same order for any number of shots, labels and draw."""
        return self.draw(name, "test", self.sizes.test, shots=shots, labels=labels, shown=draw)

    def known(self, name: str, *, shots: int = 0, labels: Labels = "own") -> list[Trial]:
        """Trials of the test queries that the model answers right at ten shots: the paper evaluates these."""
        trials = self.asked_trials(name, shots, labels)
        return [one for one, right in zip(trials, self.score(name, self.sizes.shots).right, strict=True) if right]

    def known_trials(self, *, shots: int = 0, labels: Labels = "own", limit: int | None = None) -> list[Trial]:
        """The first `limit` `known` trials of each main task that is able, one task after the other."""
        return [one for name in self.main_able for one in self.known(name, shots=shots, labels=labels)[:limit]]

    @cached_property
    def zero_shot(self) -> list[Injected]:
        """Scores of the known test queries without examples, with every kind of vector."""
        return self.injected(VECTOR_KINDS)

    def injected(
        self, kinds: Sequence[str], *, shots: int = 0, labels: Labels = "own", limit: int | None = None
    ) -> list[Injected]:
        """Scores of `known_trials`, with each kind of vector added after each layer (FV-5)."""
        jobs = [(one.task, one) for one in self.known_trials(shots=shots, labels=labels, limit=limit)]
        label = f"adding vectors, {shots} shots" + (f" with {labels} labels" if shots else "")
        return [
            inject_at_every_layer(self.lm, one, {kind: self.vectors[kind][name] for kind in kinds})
            for name, one in self.track(jobs, label)
        ]
