"""In-context tasks: lists of questions and answers, with the heads that carry the task planted.

    Q: dog\nA: dogs\n\nQ: tree\nA: trees\n\nQ: house\nA: houses

Several tasks share questions, so only earlier labels show the task, and a list's first answer is a guess. Training uses all
pairs of a task, since a dictionary cannot be inferred; only lists are held out.

Without constraints a small model infers the task from the *set* of labels and uses many heads. So:

1. some lists take their labels from all tasks, whatever the question, so that the set of labels does not show the task;
2. the tokens of an item cannot attend to earlier items, except that the last token before a label (the ":" of "A:") can attend
   to earlier labels, in one layer and through a few heads;
3. the logit lens is trained to read the task's name at the labels before that layer, and at the ":" after it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from assay.data.in_context import DEFAULT, InContext, Role, build
from assay.data.tasks import Pair, Task, tasks
from assay.testbed.documents import END, Behaviour, Document, Lens, Rule, Span

SHOTS = (5, 10)
"""Fewest and most items before the last one; the loss is on all answers, so shorter lists are learned too."""
MIXED_SHARE = 0.2
LENS_WEIGHT = 0.5


@dataclass(frozen=True)
class Carriers:
    """The heads that carry the task from the labels to the next answer. See `assay.testbed.configs.Planted`."""

    layer: int
    heads: tuple[int, ...]
    label_lens: int
    """The layer, below `layer`, after which the lens reads the task at a label."""
    task_lens: int
    """The layer after which the lens reads the task at the token before an answer."""


def behaviours(carriers: Carriers, *, ruled: float = 1.0) -> tuple[Behaviour, ...]:
    """Lists of all tasks."""
    every = tasks()
    labels = sorted({label for task in every for _, label in task.pairs})

    def own(rng: random.Random) -> Document:
        task = rng.choice(every)
        return item_list(carriers, draw_pairs(task, rng), task)

    def mixed(rng: random.Random) -> Document:
        pairs = draw_pairs(rng.choice(every), rng)
        return item_list(carriers, [(question, rng.choice(labels)) for question, _ in pairs])

    return (
        Behaviour("lists", 1 - MIXED_SHARE, make=own, ruled=ruled),
        Behaviour("lists, mixed labels", MIXED_SHARE, make=mixed, ruled=ruled),
    )


def draw_pairs(task: Task, rng: random.Random) -> list[Pair]:
    """The items of one list."""
    return rng.sample(task.pairs, rng.randint(*SHOTS) + 1)


def item_list(carriers: Carriers, pairs: Sequence[Pair], task: Task | None = None) -> Document:
    """A list as a document; without a task (mixed labels) it has no lenses."""
    shown = build(pairs[-1], pairs[:-1])
    text = f"{shown.text}{shown.answer}{DEFAULT.after_output}"
    labels = [*places(shown, "label"), (len(shown.text), len(shown.text) + len(shown.answer))]
    colons = [*places(shown, "predictive"), *places(shown, "query_predictive")]
    starts = [0, *(end for _, end in places(shown, "end_of_example"))]
    rules: list[Rule] = []
    for i, start in enumerate(starts[1:], 1):
        rules += (
            Rule((start, [*starts, END][i + 1]), ((0, start),)),
            Rule(colons[i], tuple(labels[:i]), range(carriers.layer, carriers.layer + 1), carriers.heads, see=True),
        )
    lenses: list[Lens] = []
    if task is not None:
        lenses += (Lens(end, task_word(task), carriers.label_lens, LENS_WEIGHT) for _, end in labels)
        lenses += (Lens(end, task_word(task), carriers.task_lens, LENS_WEIGHT) for _, end in colons[1:])
    learn = tuple((start, end + len(DEFAULT.after_output)) for start, end in labels)
    return Document(text, learn, tuple(rules), tuple(lenses), ends=False)


def places(shown: InContext, role: Role) -> list[Span]:
    """The spans of one role in a prompt."""
    return [(start, end) for of, start, end in shown.spans if of == role]


def task_word(task: Task) -> str:
    """The word that the lens should read: the last one of the task's name."""
    return f" {task.name.rpartition('-')[2]}"


def words() -> list[str]:
    """Every question and answer as in a list, with a space before it, and the words of the tasks."""
    out = [f" {word}" for task in tasks() for pair in task.pairs for word in pair]
    return out + [task_word(task) for task in tasks()]
