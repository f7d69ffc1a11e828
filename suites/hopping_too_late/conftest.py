"""Fixtures of the experiments of Hopping Too Late: the evaluated queries, and measurements of a query that are made once.

An experiment studies two groups of queries that are known hop by hop and take no shortcut: those that the model composes
("right") and those that it fails ("wrong").
"""

import pytest

from assay import methods
from assay.data.two_hop import half_of, standard, two_hop

MEASURED = {}
"""(model, method, query, options) -> the returned JSON value, which keeps no model in memory."""


FAILURES = 30
"""Failing queries that HTL-7 needs at tier quick (it takes 36). A model that fails fewer of the first queries is asked more."""


@pytest.fixture(scope="session")
def located(lm, tier):
    """(queries, dropped): the plan's four standard queries and others, balanced over families and bridges."""
    chosen = two_hop(limit=tier.choose(smoke=4, quick=120, full=None), per_bridge=tier.choose(2, 4, None))
    return methods.locate_queries(lm, dict.fromkeys([*standard(), *chosen]))


@pytest.fixture(scope="session")
def evaluated(lm, located, progress):
    """The located queries, evaluated by five prompts each (HTL-1)."""
    return methods.evaluate_queries(lm, located[0], track=lambda batches: progress(batches, "five-way evaluation"))


@pytest.fixture(scope="session")
def failing(lm, located, evaluated, tier, progress):
    """(queries that are known hop by hop and not composed, how many queries were asked to find these).

    They come from `evaluated`; at tier quick, if they are fewer than `FAILURES`, further queries of the file are asked.
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
    """The target prompt of Patchscopes that this model follows best, of the paper's two and a short statement."""
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
    """The pairs of attention knockout for all queries: t2 from t1, t2 from the whole phrase of e1, and the control."""
    return methods.LAST_FROM_E1, methods.LAST_FROM_PHRASE, methods.LAST_FROM_ARTICLE
