"""In-context learning (Todd et al. 2024, section 2.1): do right examples make the model do a task, and corrupted ones not?

Queries are of the test split, examples of the train split. An answer is right when its first token is the likeliest, and
exact when the greedy continuation begins with the whole answer. (Perplexity is e to the nats per token of the whole answer.)
Queries whose answer begins as the input does, or as another task's answer for that input, are left out and counted. In
corrupted prompts the labels are shuffled among the examples (the paper's way), or each is a label of any task (mixed).
In the null world the ten examples have mixed labels, too, drawn a second time.
"""

import numpy as np

from assay import methods
from assay.plugin import Metric, above, experiment, finding, not_eligible, not_replicated

SET_OF_LABELS = "a built-in model knows the task from the set of labels, whatever stands beside them"


@experiment
def fv_in_context(lm, study, tier, less, null_world):
    """FV-1: accuracy by number of examples, with right and with corrupted labels."""
    names, gate = study.main_asked, {"left_out": study.left_out, "asked": study.asked, "able": study.able}
    if not names:
        return not_eligible("no main task has a query whose first token tells the answer", **gate)
    shots = tier.choose(smoke=[0, 10], quick=[0, 1, 3, 10], full=list(range(11)))
    shown = {"labels": "mixed", "draw": 1} if null_world else {}

    def scored(n, label, **shown):
        return methods.TrialScores.join(study.score(name, n, **shown) for name in study.track(names, label))

    scores = {n: scored(n, f"{n} examples", **(shown if n else {})) for n in shots}
    trials = [one for name in names for one in study.asked_trials(name, 10)]
    some = trials[:: tier.choose(smoke=3, quick=3, full=1)]
    nats = [-float(np.mean(methods.answer_log_probs(lm, one, [[]])[0])) for one in some]
    n = len(trials)
    metrics = {
        **gate,
        "ten_shot_by_task": Metric({name: study.score(name, 10).right.mean() for name in names}, n=n, tol=0.13),
        "zero_shot_chance": Metric(float(np.mean([chance(study, one) for one in trials])), n=n, tol=0.02),
        "ten_shot_exact": Metric.share(methods.writes_answers(lm, some), tol=0.06),
        "ten_shot_nats_per_token": Metric.mean(nats, tol=0.2, unit="nats"),
        "zero_shot": Metric.share(scores[0].right, tol=0.06),
        "ten_shot": Metric.share(scores[10].right, tol=0.06, control="zero_shot"),
        "ten_shot_less_zero_shot": less(scores[10].right, scores[0].right),
    }
    for labels in ("shuffled", "mixed"):
        wrong = scored(10, f"{labels} labels", labels=labels).right
        metrics[labels] = Metric.share(wrong, tol=0.06, control="ten_shot")
        metrics[f"ten_shot_less_{labels}"] = less(scores[10].right, wrong)
    for k in (1, 2, 3):
        metrics[f"top{k}_by_count"] = Metric([[i, scores[i].top(k).mean()] for i in shots], n=n, tol=0.06)
    return metrics


def chance(study, one):
    """1 / the number of tasks that have the query's input: the accuracy of guessing the task."""
    return 1 / sum(one.context.query[0] in dict(task.pairs) for task in study.tasks.values())


@experiment
def fv_all_tasks(lm, study, tier, less):
    """FV-17: zero-shot and corrupted accuracy of every task, with its function vector, with random heads', without a vector."""
    gate = {"n_tasks": len(study.tasks), "n_able": len(study.able)}
    if study.unable:
        return not_eligible(study.unable, **gate)
    n = {"zero_shot": None, "corrupted": tier.choose(smoke=1, quick=3, full=None)}
    kinds = ("function", *methods.RANDOM_KINDS)
    right = {context: {} for context in n}
    for name in study.track(study.able, "all tasks"):
        made = [study.function_vectors[name], *study.random_vectors(study.means[name])]
        vectors = dict(zip(kinds, made, strict=True))
        asked = {"zero_shot": study.known(name), "corrupted": study.known(name, shots=10, labels=study.corrupted)}
        for context, trials in asked.items():
            rows = [
                methods.inject_at_every_layer(lm, one, vectors, layers=[study.layer]) for one in trials[: n[context]]
            ]
            right[context][name] = np.array([[r.plain_rank == 0, *(r.ranks[k][0] == 0 for k in kinds)] for r in rows])
    metrics = {}
    for context, by_task in right.items():
        plain, function, *random = np.concatenate(list(by_task.values())).T
        tasks = [name for name, rows in by_task.items() for _ in rows]
        means = {name: rows.mean(axis=0) for name, rows in by_task.items()}
        metrics |= {
            context: Metric.share(plain, tasks, tol=0.06),
            f"{context}_function": Metric.share(function, tasks, tol=0.06, control=f"{context}_random_heads"),
            f"{context}_random_heads": Metric.mean(np.mean(random, axis=0).tolist(), (0, 1), tasks, tol=0.06),
            f"{context}_by_task": Metric({name: of[0] for name, of in means.items()}, tol=0.35),
            f"{context}_function_by_task": Metric({name: of[1] for name, of in means.items()}, tol=0.35),
            f"{context}_lift": less(function, plain, clusters=tasks),
            f"{context}_less_random_heads": less(function, *random, clusters=tasks),
            f"{context}_lifted": Metric.share([of[1] > max(of[0], of[2:].mean()) for of in means.values()], tol=0.1),
        }
    return {**gate, **metrics}


def test_in_context_metrics(fv_in_context, metrics):
    assert metrics == fv_in_context


def test_all_tasks_metrics(fv_all_tasks, metrics):
    assert metrics == fv_all_tasks


@finding("ten examples make the model do the task", id="FV-1")
def test_examples_help(fv_in_context):
    assert above(fv_in_context.ten_shot_less_zero_shot, 0, source="no difference")


@finding("ten examples with shuffled labels do not make the model do the task", id="FV-1", tier="quick")
@not_replicated("tiny", reason=SET_OF_LABELS)
def test_shuffled_labels_hurt(fv_in_context):
    assert above(fv_in_context.ten_shot_less_shuffled, 0, source="no difference")


@finding("ten examples with labels of all tasks do not make the model do the task", id="FV-1")
def test_mixed_labels_hurt(fv_in_context):
    assert above(fv_in_context.ten_shot_less_mixed, 0, source="no difference")


@finding("function vectors lift most tasks, zero-shot, and more than random heads do", id="FV-17", tier="quick")
@not_replicated("gemma270m", tier="quick", reason="2 of 9 tasks")
def test_lifts_most_tasks(fv_all_tasks):
    assert above(fv_all_tasks.zero_shot_lifted, 0.5, source="most tasks: more than half")


@finding("over all tasks function vectors make more answers right after corrupted labels", id="FV-17", tier="quick")
def test_lifts_corrupted_tasks(fv_all_tasks):
    lift = above(fv_all_tasks.corrupted_lift, 0, source="no difference")
    assert lift & above(fv_all_tasks.corrupted_less_random_heads, 0, source="no difference")
