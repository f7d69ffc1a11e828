"""What the experiments of Hopping Too Late share: the evaluated queries of the model, measured once per module."""

import pytest

from assay.data.two_hop import standard, two_hop


@pytest.fixture(scope="module")
def evaluated(lm, tier, progress):
    """The plan's four standard queries and others, balanced over families and bridges, evaluated in five ways (HTL-1)."""
    from assay.methods.two_hop import evaluate

    chosen = two_hop(limit=tier.choose(smoke=4, quick=96, full=None), per_bridge=tier.choose(2, 4, None))
    queries = list(dict.fromkeys([*standard(), *chosen]))
    return evaluate(lm, queries, track=lambda batches: progress(batches, "five-way evaluation"))
