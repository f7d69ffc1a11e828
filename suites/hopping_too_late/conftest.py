"""What the experiments of Hopping Too Late share, measured once per model: the evaluated queries, and what is read from each.

An experiment studies two groups of queries that are known hop by hop and take no shortcut: those that the model composes
("right") and those that it fails ("wrong").
"""

import pytest

from assay import methods
from assay.data.two_hop import half_of, standard, two_hop

MEASURED = {}
"""(model, method, query, options) -> what it returned; JSON values only, so nothing holds on to a model."""


FAILURES = 30
"""HTL-7 takes 36 at tier quick. A model that fails fewer than these of the first queries, since it knows few, is asked more."""


@pytest.fixture(scope="session")
def located(lm, tier):
    """(queries, dropped): the plan's four standard queries and others, balanced over families and bridges."""
    chosen = two_hop(limit=tier.choose(smoke=4, quick=120, full=None), per_bridge=tier.choose(2, 4, None))
    return methods.locate_queries(lm, dict.fromkeys([*standard(), *chosen]))


@pytest.fixture(scope="session")
def evaluated(lm, located, progress):
    """The located queries, evaluated in five ways (HTL-1): the same for every model, but for its tokenizer."""
    return methods.evaluate_queries(lm, located[0], track=lambda batches: progress(batches, "five-way evaluation"))


@pytest.fixture(scope="session")
def failing(lm, located, evaluated, tier, progress):
    """(queries that are known hop by hop and not composed, how many were asked for them).

    Those among `evaluated`; at tier quick, where they are fewer than `FAILURES`, others of the file beside them, in steps.
    """
    found, asked = methods.failed_queries(evaluated), list(located[0])
    for limit, per_bridge in ((300, 4), (None, 4), (None, None)) if tier == "quick" else ():
        if len(found) >= FAILURES:
            break
        others, _ = methods.locate_queries(
            lm, [query for query in two_hop(limit=limit, per_bridge=per_bridge) if query not in asked]
        )
        found += methods.find_failed_queries(lm, others, track=lambda batches: progress(batches, "more queries"))
        asked += others
    return found, len(asked)


@pytest.fixture(scope="session")
def groups(evaluated, tier):
    """{"right": queries, "wrong": queries}, evenly over the families."""
    n = tier.choose(smoke=3, quick=16, full=500)
    return {
        "right": methods.spread(methods.composed_queries(evaluated), n),
        "wrong": methods.spread(methods.failed_queries(evaluated), n),
    }


@pytest.fixture(scope="session")
def once():
    """`once(lm, method, query, *options)`: `method(lm, query, *options)`, run once per session though several modules ask."""
    return measured_once


def measured_once(lm, method, query, *options):
    key = lm.name, method.__qualname__, query.id, repr(options)
    if key not in MEASURED:
        MEASURED[key] = method(lm, query, *options)
    return MEASURED[key]


@pytest.fixture(scope="session")
def scope(lm, evaluated, tier, progress):
    """The target prompt of Patchscopes that this model can follow, of the paper's two and one of short statements."""
    known = [e.query for e in evaluated if e.right["second_hop"]]
    n = tier.choose(smoke=2, quick=8, full=100)
    layers = range(0, lm.n_layers, tier.choose(4, 2, 1) * max(1, lm.n_layers // 8))
    halves = [[q for q in known if half_of(q) == half] for half in ("select", "report")]
    queries = [query for half in halves for query in methods.spread(half, n)]
    return methods.choose_scope(lm, queries, methods.SCOPES, layers, donors=[e.query for e in evaluated])


@pytest.fixture(scope="session")
def description(lm, scope, tier):
    """(target prompt, target layers, seeds) of Patchscopes: all layers and three samples at tier full, else four and greedy."""
    step = 1 if tier == "full" else max(1, lm.n_layers // 4)
    return methods.SCOPES[scope.name], tuple(range(0, lm.n_layers, step)), tier.choose((), (), (0, 1, 2))


@pytest.fixture(scope="session")
def blocked():
    """The pairs of attention knockout that all queries are tried with: t2 from t1, from its whole phrase, and the control."""
    return methods.LAST_FROM_E1, methods.LAST_FROM_PHRASE, methods.LAST_FROM_ARTICLE
