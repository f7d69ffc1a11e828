"""A direction between true and false statements, and its effect on verdicts (Marks and Tegmark 2023, CONF-2c and d).

The direction is the difference in means (the paper's mass-mean) at the end of a statement that the model is asked to judge. It
is found on some relations and tested on a held-out one, where a direction that encodes answers instead of truth fails. Added
to false statements and subtracted from true ones, it should reverse the verdicts. The paper reads bare statements and a few-shot
prompt, and adds at the period and at the token before; here a statement is part of a question to a chat model, and the direction
is read and added at the token before the period (a paper-variant; `..._at_both` adds at both). A fact and its false twin are
about one entity, and each kind of test statements has an entity once: n counts entities.

In a built-in model statements about late entities are left out (`testbed.json`).
"""

import pytest

from assay import methods
from assay.data.knowledge import called, statements
from assay.errors import NotEligible
from assay.plugin import Metric, above, experiment, finding, not_eligible, not_replicated

NONE = "no difference"
NEW_RELATION = "author_of_book"
AT_LEAST = 4  # least number of rightly judged statements of each kind; with fewer, steering has nothing to change


@pytest.fixture(scope="session")
def directions(lm, late, two_kinds, tier):
    """The directions from false to true statements of the old relations, with test statements of those and of the new one."""
    sizes = tier.choose(
        smoke={"train": 8, "valid": 4, "test": 6},
        quick={"train": 48, "valid": 16, "test": 24},
        full={"train": 400, "valid": 100, "test": 100},
    )

    held_out = new_relation()

    def places(split, true, new):
        kept = [item for item in statements(split) if item.true == true and item.entity not in late]
        some = [item for item in kept if (item.relation == held_out) == new]
        some = some[:: max(1, len(some) // sizes[split])][: sizes[split]]
        return [methods.place_at_end_of(lm, item.question, item.text.removesuffix(".")) for item in some]

    old = {split: [places(split, true, False) for true in (True, False)] for split in sizes}
    return two_kinds({**old, "new relation": [places("test", true, True) for true in (True, False)]})


@experiment
def truth_separation(directions):
    """How well the direction separates test statements of its own relations, and of the held-out one."""
    return {**directions.separation(), **directions.separation("new relation", "new_relation_")}


@experiment
def truth_steering(directions):
    """Verdicts on held-out false statements with the direction added, and on true ones with it subtracted."""
    true, false = (
        directions.answered(kind, calls_it(true))
        for kind, true in zip(directions.places["new relation"], (True, False), strict=True)
    )
    valid = directions.answered(directions.places["valid"][1], calls_it(False))
    counts = {"n_true": len(true), "n_false": len(false), "n_valid": len(valid)}
    if min(counts.values()) < AT_LEAST:
        return not_eligible(f"fewer than {AT_LEAST} statements of each kind are judged rightly", **counts)
    acting = directions.acting(valid, directions.first_token(true[0]))
    return {
        **counts,
        "layer": acting[0].layer,
        "strength": Metric(acting[0].strength, unit="mean length of the stream", tol=0.05),
        **directions.steered("false_called_true", false, acting, 1.0, calls_it(True), next_too=True),
        **directions.steered("true_called_false", true, acting, -1.0, calls_it(False), next_too=True),
    }


def new_relation():
    """The relation that no direction is found on: of statements of one's own the last one by name."""
    relations = sorted({item.relation for item in statements()})
    if len(relations) < 2:
        raise NotEligible(
            f"all statements are of one relation ({relations[0]}), and a direction is tested on a new one"
        )
    return NEW_RELATION if NEW_RELATION in relations else relations[-1]


def calls_it(true):
    """A function of an answer: does the answer call the statement true (or, for False, false)?"""
    return lambda text: called(text, true)


def test_separation_metrics(truth_separation, metrics):
    assert metrics == truth_separation


def test_steering_metrics(truth_steering, metrics):
    assert metrics == truth_steering


@finding("a direction at a statement's end parts new true statements from false ones", id="CONF-2", tier="quick")
def test_parts(truth_separation):
    assert above(truth_separation.auroc, 0.5, source="chance")


@finding(
    "a truth direction parts true from false statements of a relation that it was not found on",
    id="CONF-2",
    tier="quick",
)
def test_generalises(truth_separation):
    assert above(truth_separation.new_relation_auroc, 0.5, source="chance")


@finding(
    "the truth direction parts statements of a new relation better than directions from permuted labels",
    id="CONF-2",
    tier="quick",
)
@not_replicated(
    "llama_tiny",
    "gemma_tiny",
    "qwen_tiny",
    tier="quick",
    reason="almost any direction parts these states: areas of 0.98 or more; half of the permuted labels give 0.97 or more",
)
def test_better_than_permuted(truth_separation):
    # 0.05: a twentieth of all pairs of a true and a false statement
    assert above(
        truth_separation.new_relation_auroc,
        truth_separation.new_relation_auroc_permuted_95,
        worth=0.05,
        source="95 % of permuted labels",
    )


@finding(
    "added to false statements of a new relation, the truth direction makes the model call them true; others do not",
    id="CONF-2",
    tier="quick",
)
def test_makes_true(truth_steering):
    r = truth_steering
    assert above(r.false_called_true_less_random, 0, source=NONE) & above(
        r.false_called_true_less_shuffled, 0, source=NONE
    )


@finding(
    "subtracted from true statements of a new relation, the truth direction makes the model call them false; others do not",
    id="CONF-2",
    tier="quick",
)
def test_makes_false(truth_steering):
    r = truth_steering
    assert above(r.true_called_false_less_random, 0, source=NONE) & above(
        r.true_called_false_less_shuffled, 0, source=NONE
    )
