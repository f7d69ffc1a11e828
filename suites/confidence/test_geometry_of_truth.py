"""A direction between true and false statements, and its effect on verdicts (Marks and Tegmark 2023, CONF-2c and d).

The direction is the difference in means (the paper's mass-mean) at the end of a statement that the model is asked to judge. It
is found on some relations and tested on a held-out one, where a direction that encodes answers instead of truth fails. Added
to false statements and subtracted from true ones, it should reverse the verdicts. The paper reads bare statements and a few-shot
prompt, and adds at the period and at the token before; here a statement is part of a question to a chat model, and the direction
is read and added at the token before the period (a paper-variant; `..._at_both` adds at both). A fact and its false twin are
about one entity, and each kind of test statements has an entity once: n counts entities.

The paper's measure of an effect is the natural indirect effect: the directions of a block of layers are added at both tokens of
false statements, or subtracted from true ones, and the change of P("True") is given as a share of the difference between true and
false statements. The block is chosen on statements of the old relations, and each draw of a control chooses its own.

In a built-in model statements about late entities are left out (`testbed.json`).
"""

from dataclasses import replace

import numpy as np
import pytest
from kinds_of_truth import first_of_two, statements_of

from assay import methods
from assay.data.knowledge import called
from assay.plugin import Metric, above, experiment, finding, not_eligible, not_replicated

NONE = "no difference"
WAYS = {"true_to_false": -1.0, "false_to_true": 1.0}
"""How the directions are added to true statements, and to false ones."""
AT_LEAST = 4  # least number of rightly judged statements of each kind; with fewer, steering has nothing to change


@pytest.fixture(scope="session")
def directions(lm, late, two_kinds, tier):
    """The directions from false to true statements of the old relations, with test statements of those and of the new one."""
    sizes = tier.choose(
        smoke={"train": 8, "valid": 4, "test": 6},
        quick={"train": 48, "valid": 16, "test": 24},
        full={"train": 400, "valid": 100, "test": 100},
    )

    def places(split, true, new):
        every, held_out = statements_of("facts", split)
        kept = [item for item in every if item.true == true and item.entity not in late]
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


@experiment
def truth_effect(lm, directions, progress):
    """CONF-2d: P("True") with the directions of a block of layers added to false statements, subtracted from true ones."""
    n = lm.n_layers - 1  # behind the last layer no later token can read what is added
    ends = sorted({0, n // 3, 2 * n // 3, n})
    blocks = [(low, high) for low in ends for high in ends if low < high]
    series = list(zip(*(directions.series(layer) for layer in range(n)), strict=True))  # of each: directions by layer
    tried = [one[low:high] for one in series for low, high in blocks]
    valid = [methods.spread(kind, 4) for kind in directions.places["valid"]]
    _, on_valid = verdicts_moved(lm, valid, tried, progress)
    best = on_valid.mean(axis=(0, 1)).reshape(len(series), -1).argmax(axis=1)
    chosen = [tried[k * len(blocks) + int(at)] for k, at in enumerate(best)]
    before, moved = verdicts_moved(lm, directions.places["new relation"], chosen, progress)
    total = before[0] - before[1]
    metrics = {"true_less_false": Metric.mean(total.tolist(), bounds=(-1, 1), tol=0.1), "block": list(blocks[best[0]])}
    if above(metrics["true_less_false"], 0, source=NONE).verdict != "yes":
        return not_eligible("the model calls true statements true no more than false ones", **metrics)
    for way, change in zip(WAYS, moved, strict=True):
        own, *others = change.T
        for name, one in (("", own), ("_random", np.mean(others[: directions.draws], axis=0))):
            metrics[f"{way}{name}"] = share_of(one, total, **({} if name else {"control": f"{way}_random"}))
    own, *others = np.concatenate(moved).T.tolist()
    about = [*range(len(total))] * 2  # both statements about an entity
    for name, draws in (("random", others[: directions.draws]), ("shuffled", others[directions.draws :])):
        metrics[f"moved_less_{name}"] = Metric.difference(own, draws, clusters=about, tol=0.1)
    return metrics


def verdicts_moved(lm, kinds, variants, progress):
    """P("True") of true and of false statements [2, N], and how far each list of directions moves it [2, N, variants]."""
    before, moved = [], []
    for kind, times in zip(kinds, WAYS.values(), strict=True):
        rows = []
        for one in progress(kind, "indirect effect"):
            both = one, replace(one, at=one.at + 1)
            edits = [[place.adding(direction, times) for direction in of for place in both] for of in variants]
            swept = lm.sweep(one.prompt, [[], *edits], targets=["True", "False"], progress=False)
            rows.append(first_of_two(swept.target_log_probs))
        p = np.array(rows)
        before.append(p[:, 0])
        moved.append(times * (p[:, 1:] - p[:, :1]))
    return np.array(before), np.array(moved)


def share_of(parts, total, **options):
    """The mean of `parts` as a share of the mean total; the interval is that of the residuals (the ratio of two means)."""
    share = parts.mean() / total.mean()
    return Metric.mean((share + (parts - share * total) / total.mean()).tolist(), tol=0.1, **options)


def calls_it(true):
    """A function of an answer: does the answer call the statement true (or, for False, false)?"""
    return lambda text: called(text, true)


def test_separation_metrics(truth_separation, metrics):
    assert metrics == truth_separation


def test_effect_metrics(truth_effect, metrics):
    assert metrics == truth_effect


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
    reason="almost any direction parts these states: areas of 0.98 or more; one in twenty of the permuted labels gives as much",
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


@finding(
    "the truth directions of a block of layers move the verdicts on statements of a new relation; other vectors do not",
    id="CONF-2",
    tier="quick",
)
def test_moves_verdicts(truth_effect):
    assert above(truth_effect.moved_less_random, 0, source=NONE) & above(
        truth_effect.moved_less_shuffled, 0, source=NONE
    )
