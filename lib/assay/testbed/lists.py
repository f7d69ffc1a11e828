"""In-context tasks: lists of questions and answers, with the heads that carry the task planted.

    Q: dog\nA: dogs\n\nQ: tree\nA: trees\n\nQ: house\nA: houses

The same words are asked about in several tasks, so only the labels say which one it is, and a list's first answer is a
guess. All pairs of a task are learned, since a dictionary cannot be guessed; only lists are held out.

Left to itself a small model knows the task from the *set* of labels and spreads the work over many heads. So:

1. some lists take their labels from all tasks, whatever the question, so that the set of labels does not give the task;
2. the tokens of an item cannot look at earlier items, except that the last token before a label (the ":" of "A:") can look
   at earlier labels, in one layer and through a few heads;
3. the logit lens should read the task's name at the labels before that layer, and at the ":" after it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from assay.data.in_context import DEFAULT, InContext, Role, build
from assay.data.tasks import Pair, Task, tasks
from assay.testbed.documents import END, Behaviour, Document, Lens, Rule, Span

SHOTS = (5, 10)
"""How many items stand before the last one; every shorter list is the beginning of one."""
MIXED_SHARE = 0.2
LENS_WEIGHT = 0.5


@dataclass(frozen=True)
class Carriers:
    """Who carries the task from the labels to the next answer. See `assay.testbed.configs.Planted`."""

    layer: int
    heads: tuple[int, ...]
    label_lens: int
    """After this layer, below the carriers, a label says its task."""
    task_lens: int
    """After this one the token before an answer says it."""


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
    """A list as a document; without a task there is nothing for the lens to read."""
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
    """The stretches of one role in a prompt."""
    return [(start, end) for of, start, end in shown.spans if of == role]


def task_word(task: Task) -> str:
    """What the lens should read: the last word of the task's name."""
    return f" {task.name.rpartition('-')[2]}"


def words() -> list[str]:
    """Every question and every answer as it stands in a list, and the names of the tasks."""
    out = [f" {word}" for task in tasks() for pair in task.pairs for word in pair]
    return out + [task_word(task) for task in tasks()]
