"""What the experiments of Hopping Too Late share, measured once per model: the evaluated queries, and what is read from each.

An experiment studies two groups of queries that are known hop by hop and take no shortcut: those that the model composes
("right") and those that it fails ("wrong").
"""

import pytest

MEASURED = {}
"""(model, method, query, options) -> what it returned; JSON values only, so nothing holds on to a model."""


FAILURES = 30
"""HTL-7 takes 36 at tier quick. A model that fails fewer than these of the first queries, since it knows few, is asked more."""


@pytest.fixture(scope="session")
def asked(lm, tier, progress):
    """(evaluated, dropped): queries evaluated in five ways (HTL-1), and those without all their parts in this tokenizer.

    The plan's four standard queries and others, balanced over families and bridges; at tier quick, in steps, until
    `FAILURES` are known hop by hop and not composed, or none is left.
    """
    from assay.data.two_hop import standard, two_hop
    from assay.methods.parts import locate
    from assay.methods.two_hop import evaluate, failures

    first = two_hop(limit=tier.choose(smoke=4, quick=120, full=None), per_bridge=tier.choose(2, 4, None))
    steps = [[*standard(), *first], *((two_hop(limit=n) for n in (300, 600, None)) if tier == "quick" else ())]
    evaluated, dropped, seen = [], [], set()
    for step in steps:
        queries, without = locate(lm, [query for query in dict.fromkeys(step) if query.id not in seen])
        seen |= {query.id for query in [*queries, *without]}
        evaluated += evaluate(lm, queries, track=lambda batches: progress(batches, "five-way evaluation"))
        dropped += without
        if len(failures(evaluated)) >= FAILURES:
            break
    return evaluated, dropped


@pytest.fixture(scope="session")
def evaluated(asked):
    """The queries that were asked, evaluated in five ways."""
    return asked[0]


@pytest.fixture(scope="session")
def groups(evaluated, tier):
    """{"right": queries, "wrong": queries}, evenly over the families."""
    from assay.methods.spread import spread
    from assay.methods.two_hop import failures, successes

    n = tier.choose(smoke=3, quick=16, full=500)
    return {"right": spread(successes(evaluated), n), "wrong": spread(failures(evaluated), n)}


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
    from assay.data.two_hop import split
    from assay.methods.description import choose_scope
    from assay.methods.patchscopes import SCOPES
    from assay.methods.spread import spread

    known = [e.query for e in evaluated if e.right["second_hop"]]
    n = tier.choose(smoke=2, quick=8, full=100)
    layers = range(0, lm.n_layers, tier.choose(4, 2, 1) * max(1, lm.n_layers // 8))
    halves = [[q for q in known if split(q) == half] for half in ("select", "report")]
    queries = [query for half in halves for query in spread(half, n)]
    return choose_scope(lm, queries, SCOPES, layers, donors=[e.query for e in evaluated])


@pytest.fixture(scope="session")
def description(lm, scope, tier):
    """(target prompt, target layers, seeds) of Patchscopes: all layers and three samples at tier full, else four and greedy."""
    from assay.methods.patchscopes import SCOPES

    step = 1 if tier == "full" else max(1, lm.n_layers // 4)
    return SCOPES[scope.name], tuple(range(0, lm.n_layers, step)), tier.choose((), (), (0, 1, 2))


@pytest.fixture(scope="session")
def blocked():
    """The pairs of attention knockout that all queries are tried with: t2 from t1, from its whole phrase, and the control."""
    from assay.methods.knockout import MAIN, NOTHING, WHOLE

    return MAIN, WHOLE, NOTHING
