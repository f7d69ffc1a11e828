"""What the experiments of Hopping Too Late share: the evaluated queries of the model, measured once."""

import pytest

from assay.data.two_hop import two_hop


@pytest.fixture(scope="module")
def evaluated(lm, tier, progress):
    """Queries, balanced over families and bridges, with the five-way evaluation of HTL-1."""
    from assay.methods.two_hop import evaluate

    queries = two_hop(limit=tier.choose(smoke=60, quick=240, full=None), per_bridge=tier.choose(2, 4, None))
    return evaluate(lm, queries, track=lambda batches: progress(batches, "five-way evaluation"))
