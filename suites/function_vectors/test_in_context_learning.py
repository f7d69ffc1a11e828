"""In-context learning (Todd et al. 2024, section 2.1): do right examples make the model do a task, and corrupted ones not?

Queries are of the test split, examples of the train split. An answer is right when its first token is the likeliest, and
exact when the greedy continuation begins with the whole answer. (Perplexity is e to the nats per token of the whole answer.)
Queries whose answer begins as the input does, or as another task's answer for that input, are left out and counted. In
corrupted prompts the labels are shuffled among the examples (the paper's way), or each is a label of any task (mixed).
"""

import numpy as np

from assay import methods
from assay.plugin import Metric, experiment, finding, not_eligible, not_replicated

MIXED_WINS = "the planted heads go on writing what the labels say, and a vector as long as theirs does not outweigh it"
SET_OF_LABELS = "a built-in model knows the task from the set of labels, whatever stands beside them"


@experiment
def fv_in_context(lm, study, tier):
    """FV-1: accuracy by number of examples, with right and with corrupted labels."""
    names, gate = study.main_asked, {"left_out": study.left_out, "asked": study.asked, "able": study.able}
    if not names:
        return not_eligible("no main task has a query whose first token tells the answer", **gate)
    shots = tier.choose(smoke=[0, 10], quick=[0, 1, 3, 10], full=list(range(11)))
    scores = {
        n: methods.TrialScores.join(study.score(name, n) for name in study.track(names, f"{n} examples")) for n in shots
    }
    trials = [one for name in names for one in study.draw(name, "test", study.sizes.test, shots=10)]
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
    }
    for labels in ("shuffled", "mixed"):
        wrong = methods.TrialScores.join(
            study.score(name, 10, labels) for name in study.track(names, f"{labels} labels")
        )
        metrics[labels] = Metric.share(wrong.right, tol=0.06, control="ten_shot")
    for k in (1, 2, 3):
        metrics[f"top{k}_by_count"] = Metric([[i, scores[i].top(k).mean()] for i in shots], n=n, tol=0.06)
    return metrics


def chance(study, one):
    """1 / the number of tasks that have the query's input: the accuracy of guessing the task."""
    return 1 / sum(one.context.query[0] in dict(task.pairs) for task in study.tasks.values())


@experiment
def fv_all_tasks(lm, study, tier):
    """FV-17: zero-shot and corrupted accuracy of every task, with its function vector and without."""
    gate = {"n_tasks": len(study.tasks), "n_able": len(study.able)}
    if study.unable:
        return not_eligible(study.unable, **gate)
    n = {"zero_shot": None, "corrupted": tier.choose(smoke=1, quick=3, full=None)}
    right = {}
    for name in study.track(study.able, "all tasks"):
        vector = {"function": study.function_vectors[name]}
        asked = {"zero_shot": study.known(name), "corrupted": study.known(name, shots=10, labels=study.corrupted)}
        for context, trials in asked.items():
            rows = [methods.inject_at_every_layer(lm, one, vector) for one in trials[: n[context]]]
            right.setdefault(context, {})[name] = [row.plain_rank == 0 for row in rows]
            right.setdefault(f"{context}_function", {})[name] = [
                row.ranks["function"][study.layer] == 0 for row in rows
            ]
    metrics = {}
    for what, by_task in right.items():
        metrics[what] = Metric.share(np.concatenate(list(by_task.values())), tol=0.06)
        metrics[f"{what}_by_task"] = Metric({name: np.mean(hits) for name, hits in by_task.items()}, tol=0.35)
    for context in n:
        lifted = [np.mean(right[f"{context}_function"][name]) > np.mean(right[context][name]) for name in study.able]
        metrics[f"{context}_lifted"] = Metric.share(lifted, tol=0.1)
    return {**gate, **metrics}


def test_in_context_metrics(fv_in_context, metrics):
    assert metrics == fv_in_context


def test_all_tasks_metrics(fv_all_tasks, metrics):
    assert metrics == fv_all_tasks


@finding("ten examples make the model do the task", id="FV-1")
def test_examples_help(fv_in_context):
    assert fv_in_context.ten_shot.low > fv_in_context.zero_shot.high


@finding("examples with shuffled labels do not", id="FV-1", tier="quick")
@not_replicated("tiny", reason=SET_OF_LABELS)
def test_shuffled_labels_hurt(fv_in_context):
    assert fv_in_context.shuffled.high < fv_in_context.ten_shot.low


@finding("examples with labels of all tasks do not", id="FV-1")
def test_mixed_labels_hurt(fv_in_context):
    assert fv_in_context.mixed.high < fv_in_context.ten_shot.low


@finding("its function vector lifts most tasks, zero-shot", id="FV-17", tier="quick")
@not_replicated("gemma270m", tier="quick", reason="2 of 9 tasks")
@not_replicated("smollm135m", tier="quick", reason="5 of 7 tasks: more than half, but not surely")
@not_replicated("qwencoder05b", tier="quick", reason="4 of 8 tasks")
def test_lifts_most_tasks(fv_all_tasks):
    assert fv_all_tasks.zero_shot_lifted.low > 0.5


@finding("and over all tasks more answers are right after corrupted labels", id="FV-17", tier="quick")
@not_replicated("llama_tiny", "qwen_tiny", reason=MIXED_WINS)
def test_lifts_corrupted_tasks(fv_all_tasks):
    assert fv_all_tasks.corrupted_function.low > fv_all_tasks.corrupted.high
