"""Fixtures of the experiments of Hopping Too Late: the evaluated queries, and measurements of a query that are made once.

An experiment studies two groups of queries that are known hop by hop and take no shortcut: those that the model composes
("right") and those that it fails ("wrong"). In the prompts of the landmark families t1 is "located", no token of the entity: they
are in neither group, and in no experiment that patches at t1.

The null world (`--null`): queries are dealt to the groups at random, and the names, states and tokens that count as a query's own
are those of a second control (`named`, `donated`).
"""

import numpy as np
import pytest

from assay import methods
from assay.data.two_hop import half_of, standard, two_hop

MEASURED = {}
"""(model, method, query, options) -> the returned JSON value, which keeps no model in memory."""


FAILURES = 30
"""Failing queries that HTL-7 needs at tier quick (it takes 36). A model that fails fewer of the first queries is asked more."""
NAMES = 3
"""Other queries whose names are looked for where the query's own are: draws of the control."""


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
    """(queries whose t1 is the entity's, known hop by hop and not composed, how many queries were asked to find these).

    They come from `evaluated`; at tier quick, if they are fewer than `FAILURES`, further queries of the file are asked.
    """
    found, asked = at_entity(methods.failed_queries(evaluated)), list(located[0])
    for limit, per_bridge in ((300, 4), (None, 4), (None, None)) if tier == "quick" else ():
        if len(found) >= FAILURES:
            break
        more = at_entity(query for query in two_hop(limit=limit, per_bridge=per_bridge) if query not in asked)
        others, _ = methods.locate_queries(lm, more)
        found += methods.find_failed_queries(lm, others, track=lambda batches: progress(batches, "more queries"))
        asked += others
    return found, len(asked)


@pytest.fixture(scope="session")
def groups(evaluated, tier, null_world):
    """{"right": queries, "wrong": queries}, evenly over the families."""
    n = tier.choose(smoke=3, quick=16, full=500)
    right = methods.spread(at_entity(methods.composed_queries(evaluated)), n)
    wrong = methods.spread(at_entity(methods.failed_queries(evaluated)), n)
    if null_world:
        both = [*right, *wrong]
        dealt = [both[i] for i in np.random.default_rng(0).permutation(len(both))]
        right, wrong = dealt[: len(right)], dealt[len(right) :]
    return {"right": right, "wrong": wrong}


def at_entity(queries):
    """Those whose t1 is a token of the entity."""
    return [query for query in queries if methods.ends_in_entity(query)]


@pytest.fixture(scope="session")
def named(evaluated, null_world):
    """{id: (the query whose names count as its own, the queries whose names are the control)} of the evaluated queries."""
    everything, found = [e.query for e in evaluated], {}
    for query in everything:
        drawn = methods.other_queries(query, everything, NAMES + null_world)
        found[query.id] = (drawn[-1], drawn[:-1] or drawn) if null_world else (query, drawn)
    return found


@pytest.fixture(scope="session")
def donated(evaluated, null_world):
    """{id: the query whose states count as its own}: empty, but in the null world a second donor for each query."""
    everything = [e.query for e in evaluated]
    those = two_hop() if null_world else ()
    return {query.id: methods.draw_donor(query, everything, methods.query_rng(query, seed=1)) for query in those}


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
    """The pairs of attention knockout for all queries: t2 from t1, t2 from the whole phrase of e1, and the controls."""
    return methods.LAST_FROM_E1, methods.LAST_FROM_PHRASE, *methods.FILLER_PAIRS["prompt"]
