"""Vector algebra (Todd et al. 2024, section 3.3), and tasks that no constant step can do.

"The antonym of the last item of a list" is predicted from three vectors of other tasks:
last-antonym = first-antonym + last-copy - first-copy. And the next item of a series is asked for at its end, where the series
begins again (Sunday, Monday): a vector that added one constant step would fail there. Both need a model that does these tasks
with ten examples. The controls are the first of the three vectors alone, and for series vectors of random heads, three draws.
Series are asked in both directions, at the ends that the model gets right with ten examples.
"""

import numpy as np

from assay import methods
from assay.data.derived_tasks import copy_task, list_task, series_task, wraps
from assay.plugin import Metric, above, experiment, finding, not_eligible

DONE_IN_LISTS = ("antonym", "capitalize", "english-french", "country-capital")


@experiment
def fv_composition(lm, study, tier, less):
    """FV-13: zero-shot accuracy with the task's own vector, the composed one, and its first term alone."""
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    n_record = tier.choose(2, 4, study.sizes.record)

    def ten_shot(task):
        trials = methods.draw_trials(lm, task, n_shots=10, split="valid", limit=n_record, copies=True)
        recorded = methods.record_heads(lm, trials)
        return recorded, float(recorded.score.right.mean())

    right, gate = {}, {}
    for name in study.track([name for name in DONE_IN_LISTS if name in study.main_able], "composition"):
        task, vectors = study.tasks[name], {}
        for made in (list_task(of, pick) for of in (copy_task(task), task) for pick in ("first", "last")):
            recorded, gate[f"{made.name} of {name}"] = ten_shot(made)
            if gate[f"{made.name} of {name}"] < 0.5:
                break
            vectors[made.name] = study.vector(recorded.means(recorded.score.right))
        else:
            first, last = vectors[f"first-{name}"], vectors[f"last-{name}"]
            composed = first + vectors["last-copy"] - vectors["first-copy"]
            trials = methods.draw_trials(
                lm, list_task(task, "last"), n_shots=0, limit=tier.choose(3, None, None), copies=True
            )
            for kind, vector in {"plain": None, "own": last, "composed": composed, "first": first}.items():
                edits = [] if vector is None else methods.inject_vector(vector, study.layer)
                right.setdefault(kind, {})[name] = methods.answer_trials(lm, trials, edits).right
    gates = {"ten_shot_by_task": Metric(gate, n=n_record, tol=0.3)}
    if not right:
        return not_eligible(f"0 of {len(DONE_IN_LISTS)} tasks are done on lists with ten examples", **gates)
    flat = {kind: np.concatenate(list(by_task.values())) for kind, by_task in right.items()}
    metrics = {kind: Metric.share(of, tol=0.06) for kind, of in flat.items()}
    metrics |= {
        f"{kind}_by_task": Metric({name: of.mean() for name, of in by_task.items()}, tol=0.2)
        for kind, by_task in right.items()
    }
    metrics |= {f"composed_less_{kind}": less(flat["composed"], flat[kind]) for kind in ("plain", "first")}
    return {**gates, **metrics}


@experiment
def fv_series(lm, study, tier, less):
    """FV-14: zero-shot accuracy on the next and the previous item, inside a series and where it begins again."""
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    kinds = ("plain", "function", *methods.RANDOM_KINDS)
    metrics, rows = {}, {"wrapping": [], "inside": []}
    for step in study.track(("next", "previous"), "series"):
        task = series_task(step)
        recorded = methods.record_heads(
            lm, methods.draw_trials(lm, task, n_shots=10, split="valid", limit=tier.choose(2, 6, study.sizes.record))
        )
        metrics[f"{step}_ten_shot"] = Metric.share(recorded.score.right, tol=0.1)
        if recorded.score.right.sum() < 2:  # a mean over prompts
            continue
        means = recorded.means(recorded.score.right)
        vectors = dict(zip(kinds[1:], (study.vector(means), *study.random_vectors(means)), strict=True))
        known = methods.answer_trials(lm, methods.draw_trials(lm, task, n_shots=10)).right
        trials = [one for one, right in zip(methods.draw_trials(lm, task, n_shots=0), known, strict=True) if right]
        for one in trials:
            row = methods.inject_at_every_layer(lm, one, vectors, layers=[study.layer])
            where = "wrapping" if one.context.query in wraps(task.pairs) else "inside"
            rows[where].append([row.plain_rank == 0, *(row.ranks[kind][0] == 0 for kind in vectors)])
    if not (rows["wrapping"] and rows["inside"]):
        return not_eligible(
            "the next item of a series is not found with ten examples, inside and at its end", **metrics
        )
    for where, of in rows.items():
        plain, function, *random = np.array(of).T
        metrics |= {
            f"{where}_plain": Metric.share(plain, tol=0.1),
            f"{where}_function": Metric.share(function, tol=0.1, control=f"{where}_random_heads"),
            f"{where}_random_heads": Metric.mean(np.mean(random, axis=0).tolist(), (0, 1), tol=0.1),
            f"{where}_less_plain": less(function, plain, tol=0.1),
            f"{where}_less_random_heads": less(function, *random, tol=0.1),
        }
    return metrics


def test_composition_metrics(fv_composition, metrics):
    assert metrics == fv_composition


def test_series_metrics(fv_series, metrics):
    assert metrics == fv_series


@finding("function vectors add up: a composed vector does the task", id="FV-13", tier="quick")
def test_composed_vectors(fv_composition):
    does = above(fv_composition.composed_less_plain, 0, source="no vector")
    assert does & above(fv_composition.composed_less_first, 0, source="its first term")


@finding("a function vector finds the next item also where the series begins again", id="FV-14", tier="quick")
def test_wraps_around(fv_series):
    does = above(fv_series.wrapping_less_plain, 0, source="no vector")
    assert does & above(fv_series.wrapping_less_random_heads, 0, source="random heads' vectors")
