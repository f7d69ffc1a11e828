"""The fixtures of the experiments on function vectors: one study of the model, each step of it measured once, and differences.

The corrupted prompts of a real model have shuffled labels, as in the paper. A built-in model recognises a task by its labels in
any order, so its labels are mixed across tasks (testbed.json). Both are measured and reported.

What an observation is, everywhere here: claims are about these tasks, as the paper's averages over its six tasks are, and a query
of a task is one observation; where a query is asked several times (in templates, in sentences, with other examples), its answers
are one cluster. Only claims that go from tasks to other tasks (FV-10, FV-17, FV-19, and what attribution patching finds) have one
value, or one cluster, for each task. Results with and without a vector are compared query by query.

With `--null` the study has random heads (`TaskStudy`), and an experiment that compares something else says what it replaces.
"""

import numpy as np
import pytest

from assay import methods
from assay.data.tasks import tasks
from assay.plugin import Metric
from assay.testbed.planted import planted_truth


@pytest.fixture(scope="session")
def study(lm, model_spec, tier, progress, datasets, null_world):
    """The steps from the heads to the function vector, measured when first asked for (`task_study.py`)."""
    sizes = tier.choose(
        smoke=methods.StudySizes(record=3, effects=2, choose=2, test=3),
        quick=methods.StudySizes(record=8, effects=6, choose=5, test=8),
        full=methods.StudySizes(),
    )
    corrupted = "shuffled" if planted_truth(model_spec) is None else "mixed"
    given = [datasets.get(task.name, task) for task in tasks()]
    return methods.TaskStudy(lm, given, corrupted=corrupted, sizes=sizes, null=null_world, track=progress)


@pytest.fixture(scope="session")
def less():
    """`less(own, *draws)`: how much more `own` has than a control, query by query: a Metric.

    own: one number for each query; draws: as many for each draw of the control, whose variance is then in the interval.
    bounds: of a difference; None for numbers without bounds. clusters: as in `Metric.mean`, left out where no label repeats.
    """

    def difference(own, *draws, bounds=(-1, 1), clusters=None, tol=0.06, **options):
        own, draws = np.asarray(own, float), np.asarray(draws, float)
        clusters = clusters if clusters is not None and len(set(clusters)) < len(clusters) else None
        return Metric.difference(own.tolist(), draws.tolist(), bounds, clusters, tol=tol, **options)

    return difference
