"""The fixture of the experiments on function vectors: one study of the model, each step of it measured once.

The corrupted prompts of a real model have shuffled labels, as in the paper. A built-in model recognises a task by its labels in
any order, so its labels are mixed across tasks (testbed.json). Both are measured and reported.
"""

import pytest

from assay import methods
from assay.data.tasks import tasks
from assay.testbed.planted import planted_truth


@pytest.fixture(scope="session")
def study(lm, model_spec, tier, progress, datasets):
    """The steps from the heads to the function vector, measured when first asked for (`task_study.py`)."""
    sizes = tier.choose(
        smoke=methods.StudySizes(record=3, effects=2, choose=2, test=3),
        quick=methods.StudySizes(record=8, effects=6, choose=5, test=8),
        full=methods.StudySizes(),
    )
    corrupted = "shuffled" if planted_truth(model_spec) is None else "mixed"
    given = [datasets.get(task.name, task) for task in tasks()]
    return methods.TaskStudy(lm, given, corrupted=corrupted, sizes=sizes, track=progress)
