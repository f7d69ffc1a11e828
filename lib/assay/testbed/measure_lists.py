"""Accuracy of a built-in model on in-context tasks, without and with ablation of the planted heads.

    >>> [antonym] = tasks(["antonym"])
    >>> right(lm, [(antonym, sample(antonym, 10, random.Random(0)))])
    [True]

Queries come from the test split, shots from the training split of `assay.data.tasks`. An answer is right when its first token
is the likeliest.
"""

import random
from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from assay.data.in_context import InContext, sample
from assay.data.tasks import Task, tasks
from assay.forward.edits import Edit, mean_ablate
from assay.forward.lm import LM
from assay.methods.portions import batches
from assay.testbed.configs import Planted
from assay.testbed.measure import rate

BATCH = 64  # prompts per forward pass
SHOTS = 10


def measure_lists(lm: LM, planted: Planted, per_task: int = 16) -> dict[str, Any]:
    """First-token accuracies over all tasks, `per_task` lists of each; heads are mean-ablated at the last position.

    The mean is that of the head's z over lists of all tasks.
    """
    rng = random.Random(0)
    every = tasks()

    def lists(shots: int, labels: Any = "own") -> list[tuple[Task, InContext]]:
        return [(task, sample(task, shots, rng, labels=labels)) for task in every for _ in range(per_task)]

    own = lists(SHOTS)
    mean = lm.run([prompt.text for _, prompt in own[:: max(1, per_task // 8)]], keep=[("z", planted.task_layer)])
    others = [head for head in range(lm.n_heads) if head not in planted.task_heads][: len(planted.task_heads)]

    def ablated(heads: Sequence[int]) -> list[Edit]:
        where: dict[str, Any] = {"layer": planted.task_layer, "position": -1, "over": -1}
        return [mean_ablate("z", mean, head=head, **where) for head in heads]

    ten = right(lm, own)
    return {
        "n": len(own),
        "ten shots": rate(ten),
        "ten shots, by task": {
            task.name: rate([ok for (of, _), ok in zip(own, ten, strict=True) if of == task]) for task in every
        },
        "one shot": rate(right(lm, lists(1))),
        "ten shots, labels shuffled": rate(right(lm, lists(SHOTS, "shuffled"))),
        "ten shots, labels of all tasks": rate(right(lm, lists(SHOTS, "mixed"))),
        "no shots": rate(right(lm, lists(0))),
        "chance without shots": rate([chance(prompt) for _, prompt in own]),
        "ten shots, planted heads ablated": rate(right(lm, own, ablated(planted.task_heads))),
        "ten shots, other heads of the layer ablated": rate(right(lm, own, ablated(others))),
        "other heads": others,
    }


def right(lm: LM, prompts: Sequence[tuple[Task, InContext]], edits: Sequence[Edit] = ()) -> list[bool]:
    """Whether the most likely token is the answer's first one, for each prompt."""
    out: list[bool] = []
    for batch in batches([prompt for _, prompt in prompts], BATCH):
        best = mx.argmax(lm.run([prompt.text for prompt in batch], edits=edits).logits, axis=-1).tolist()
        answers = [lm.token(prompt.answer, after=prompt.text) for prompt in batch]
        out += [token == answer for token, answer in zip(best, answers, strict=True)]  # type: ignore[arg-type]
    return out


def chance(prompt: InContext) -> float:
    """The accuracy of a guess: one over the number of tasks with this question."""
    return 1 / sum(prompt.query[0] in dict(task.pairs) for task in tasks())
