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
indirect effects on corrupted prompts, rank the heads over all main tasks, choose the number of heads and the layer, and then
answer test queries. All steps up to the choice use the valid split; reported numbers use the test split.
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
from assay.methods.function_vectors.function_vector import (
    Injected,
    as_long_as,
    function_vector,
    inject_at_every_layer,
    nested_function_vectors,
)
from assay.methods.function_vectors.head_means import HeadMeans, RecordedHeads, record_heads
from assay.methods.function_vectors.in_context import Trial, TrialScores, answer_trials, draw_trials, usable_queries
from assay.methods.function_vectors.mediation import head_effects
from assay.methods.heads import Head, other_heads, ranked_heads

MAIN_TASKS = ("antonym", "capitalize", "country-capital", "english-french", "present-past", "singular-plural")
"""The paper's six main tasks."""
VECTOR_KINDS = ("function", "random_heads", "corrupted_labels", "other_task", "layer_mean")
"""The function vector and its controls (see `TaskStudy.vectors`)."""


@dataclass(frozen=True)
class StudySizes:
    """Numbers of prompts for each task; the defaults are the paper's."""

    record: int = 100  # ten-shot prompts that the heads are recorded on
    effects: int = 25  # corrupted prompts that the heads are replaced in
    choose: int = 20  # zero-shot prompts that the number of heads and the layer are chosen on
    test: int | None = None  # queries that are reported; None: the whole test split
    shots: int = 10


@dataclass(frozen=True, eq=False)
class HeadChoice:
    """The number of heads in the vector, and the layer whose resid_post it is added to, chosen by `accuracy` [counts, layers]."""

    count: int
    layer: int
    counts: tuple[int, ...]
    accuracy: np.ndarray


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
        track: Callable[[Iterable[Any], str], Iterable[Any]] = lambda items, label: items,
    ):
        """corrupted: how the labels of corrupted prompts are drawn. track(items, label) wraps the long loops, for progress."""
        self.lm, self.tasks, self.track = lm, {t.name: t for t in tasks}, track
        self.corrupted: Labels = corrupted
        self.main, self.sizes = tuple(main), sizes or StudySizes()
        self._scores: dict[tuple[str, int, str], TrialScores] = {}

    def draw(self, name: str, split: str, limit: int | None, *, shots: int, labels: Labels = "own") -> list[Trial]:
        """Trials of a task of the study; the queries are the same for any number of shots and any labels."""
        return draw_trials(
            self.lm,
            self.tasks[name],
            n_shots=shots,
            split=split,
            limit=limit,
            labels=labels,
            others=self.tasks.values(),
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
        return {
            name: record_heads(self.lm, self.draw(name, "valid", self.sizes.record, shots=self.sizes.shots))
            for name in self.track(self.asked, "recording heads")
        }

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

    def corrupted_trials(self, name: str, labels: Labels, limit: int) -> list[Trial]:
        """Prompts of a task with corrupted labels, on valid queries."""
        return self.draw(name, "valid", limit, shots=self.sizes.shots, labels=labels)

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
    def ranked(self) -> list[Head]:
        """All heads, the largest mean effect over trials and tasks first: the first of them are the paper's universal set."""
        mean = np.mean([effects.mean(axis=0) for effects in self.effects.values()], axis=0)
        return ranked_heads(mean)

    # ------------------------------------------------------------------ the choice

    @cached_property
    def choice(self) -> HeadChoice:
        """The number of heads and the layer whose vector answers zero-shot valid queries best.

        By accuracy, then by the log-probability of the right answers, then the fewest heads and the lowest layer.
        """
        counts = head_counts(self.lm)
        right, log_probs = [], []
        for name in self.track(self.main_able, "choosing heads and layer"):
            vectors = dict(
                zip(
                    map(str, counts),
                    nested_function_vectors(self.lm, self.means[name], self.ranked, counts),
                    strict=True,
                )
            )
            for one in self.draw(name, "valid", self.sizes.choose, shots=0):
                tried = inject_at_every_layer(self.lm, one, vectors)
                right.append(np.stack([tried.ranks[kind] == 0 for kind in vectors]))
                log_probs.append(np.stack([tried.log_probs[kind] for kind in vectors]))
        accuracy, likely = np.mean(right, axis=0), np.mean(log_probs, axis=0)
        best = np.lexsort((-likely.ravel(), -accuracy.ravel()))[0]
        count, layer = np.unravel_index(best, accuracy.shape)
        return HeadChoice(counts[count], int(layer), counts, accuracy)

    @property
    def heads(self) -> list[Head]:
        """The chosen heads."""
        return self.ranked[: self.choice.count]

    @property
    def layer(self) -> int:
        """The layer whose resid_post vectors are added to."""
        return self.choice.layer

    def random_order(self, name: str) -> list[Head]:
        """Other heads of the same layers in random order, drawn for each task: the control for every number of heads."""
        return other_heads(self.lm, self.ranked[: self.choice.counts[-1]], seed=list(self.tasks).index(name))

    # ------------------------------------------------------------------ vectors

    @cached_property
    def function_vectors(self) -> dict[str, mx.array]:
        """The function vector [E] of each task in `able` (FV-4)."""
        return {name: function_vector(self.lm, self.means[name], self.heads) for name in self.able}

    @cached_property
    def vectors(self) -> dict[str, dict[str, mx.array]]:
        """The vectors to add, {kind: {main task: [E], or [layers, E] for one that differs from layer to layer}}:

        function          the chosen heads' mean writes over the task's own prompts
        random_heads      mean writes of other heads of the same layers
        corrupted_labels  mean writes of the chosen heads over the task's corrupted prompts
        other_task        the function vector of the next task
        layer_mean        the mean residual stream of the task's own prompts, at the layer of the edit (FV-6)

        All but the last have the function vector's length.
        """
        function = self.function_vectors
        made: dict[str, dict[str, mx.array]] = {kind: {} for kind in VECTOR_KINDS}
        for i, name in enumerate(self.track(self.main_able, "vectors")):
            corrupted = record_heads(self.lm, self.corrupted_trials(name, self.corrupted, self.sizes.effects)).means()
            random_heads = self.random_order(name)[: self.choice.count]
            given = {
                "function": function[name],
                "random_heads": function_vector(self.lm, self.means[name], random_heads),
                "corrupted_labels": function_vector(self.lm, corrupted, self.heads),
                "other_task": function[self.main_able[(i + 1) % len(self.main_able)]],
            }
            for kind, vector in given.items():
                made[kind][name] = as_long_as(vector, function[name])
            made["layer_mean"][name] = self.means[name].stream
        return made

    # ------------------------------------------------------------------ reported numbers

    def score(self, name: str, shots: int, labels: Labels = "own") -> TrialScores:
        """Scores of the test queries of a task."""
        key = (name, shots, labels)
        if key not in self._scores:
            trials = self.draw(name, "test", self.sizes.test, shots=shots, labels=labels)
            self._scores[key] = answer_trials(self.lm, trials)
        return self._scores[key]

    def known(self, name: str, *, shots: int = 0, labels: Labels = "own") -> list[Trial]:
        """Trials of the test queries that the model answers right at ten shots: the paper evaluates these."""
        trials = self.draw(name, "test", self.sizes.test, shots=shots, labels=labels)
        return [one for one, right in zip(trials, self.score(name, self.sizes.shots).right, strict=True) if right]

    @cached_property
    def zero_shot(self) -> list[Injected]:
        """Scores of the known test queries without examples, with every kind of vector."""
        return self.injected(VECTOR_KINDS)

    def injected(
        self, kinds: Sequence[str], *, shots: int = 0, labels: Labels = "own", limit: int | None = None
    ) -> list[Injected]:
        """Scores of each known test query of the main tasks, with each kind of vector added after each layer (FV-5)."""
        jobs = [(name, one) for name in self.main_able for one in self.known(name, shots=shots, labels=labels)[:limit]]
        label = f"adding vectors, {shots} shots" + (f" with {labels} labels" if shots else "")
        return [
            inject_at_every_layer(self.lm, one, {kind: self.vectors[kind][name] for kind in kinds})
            for name, one in self.track(jobs, label)
        ]


def head_counts(lm: LM) -> tuple[int, ...]:
    """The numbers of heads to try: 1, 2, 4... up to an eighth of all heads (the paper chooses a fiftieth), at least 1 and 2."""
    most = max(2, lm.n_layers * lm.n_heads // 8)
    return tuple(2**i for i in range(most.bit_length()))
