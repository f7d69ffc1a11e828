"""The main result (Todd et al. 2024, section 3.1): one vector, added at the last token, makes a prompt do the task.

The function vector of the chosen heads is added after each layer of the model, at the last token of test queries that the
model gets right with ten examples: without any example (zero-shot), and after ten with corrupted labels. The number of heads
and the layer were chosen on valid queries. Controls have the same length: other heads of the same layers, the same heads over
corrupted prompts, another task's vector. The layer-average baseline adds the mean stream itself. Every control is given the
layer that is best for it on the very queries reported; the function vector keeps the layer chosen before.
"""

import numpy as np

from assay import methods
from assay.plugin import Metric, experiment, finding, not_eligible, not_replicated

MIXED_WINS = "the planted heads go on writing what the labels say, and a vector as long as theirs does not outweigh it"
SET_OF_LABELS = "a built-in model knows the task from the set of labels: shuffled ones leave nothing to restore"


@experiment
def fv_zero_shot(lm, study, tier):
    """FV-5, FV-6, FV-7, FV-20 without examples."""
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    exact, nll = {"plain": [], "function": []}, {"plain": [], "function": [], "random_heads": []}
    for name in study.track(study.main_able, "whole answers"):
        trials = study.known(name)
        for kind, of in exact.items():
            edits = [] if kind == "plain" else methods.inject_vector(study.vectors[kind][name], study.layer)
            of += methods.writes_answers(lm, trials, edits).tolist()
        for one in trials:
            last = len(one.prompt) - 1
            given = [
                methods.inject_vector(study.vectors[kind][name], study.layer, position=last) for kind in list(nll)[1:]
            ]
            for of, tokens in zip(nll.values(), methods.answer_log_probs(lm, one, [[], *given]), strict=True):
                of.append(-float(np.mean(tokens)))
    nll = {kind: np.array(of) for kind, of in nll.items()}
    return {
        **accuracies(study.zero_shot, methods.VECTOR_KINDS, study.layer),
        "exact": Metric.share(exact["plain"], tol=0.06),
        "exact_function": Metric.share(exact["function"], tol=0.06, control="exact"),
        **{f"nats_per_token_{k}": Metric.mean(of.tolist(), tol=0.2, unit="nats") for k, of in nll.items()},
        "nats_saved": Metric.mean((nll["plain"] - nll["function"]).tolist(), tol=0.2, unit="nats"),
        "nats_saved_random_heads": Metric.mean((nll["plain"] - nll["random_heads"]).tolist(), tol=0.2, unit="nats"),
    }


@experiment
def fv_shuffled(study, tier):
    """FV-5 after ten examples with shuffled labels."""
    return corrupted(study, tier, "shuffled")


@experiment
def fv_mixed(study, tier):
    """FV-5 after ten examples with labels of all tasks."""
    return corrupted(study, tier, "mixed")


def corrupted(study, tier, labels):
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    kinds = ("function", "random_heads", "layer_mean")
    rows = study.injected(kinds, shots=10, labels=labels, limit=tier.choose(smoke=1, quick=4, full=None))
    return accuracies(rows, kinds, study.layer)


def accuracies(rows, kinds, layer):
    """Metrics of accuracy with each kind of vector, by layer; at the chosen layer, or for a control at its best layer."""
    n = len(rows)
    plain = np.array([row.plain_rank == 0 for row in rows])
    right = {kind: np.array([row.ranks[kind] == 0 for row in rows]) for kind in kinds}
    function = right["function"]
    n_layers = function.shape[1]
    late = int(0.85 * n_layers)
    metrics = {
        "layer": layer,
        "plain": Metric.share(plain, tol=0.06),
        "function": Metric.share(function[:, layer], tol=0.06, control="random_heads"),
        "lift": Metric.mean((function[:, layer].astype(float) - plain).tolist(), tol=0.06),
        "late_function": Metric.share(function[:, late], tol=0.06),
        "last_layer_function": Metric.share(function[:, -1], tol=0.06),
    }
    for kind in kinds:
        control = "random_heads_by_layer" if kind == "function" else None
        metrics[f"{kind}_by_layer"] = Metric(right[kind].mean(axis=0), n=n, tol=0.06, control=control)
        if kind != "function":
            best = int(right[kind].mean(axis=0).argmax())
            metrics[kind] = Metric.share(right[kind][:, best], tol=0.06)
            metrics[f"{kind}_best_layer"] = Metric(best, tol=n_layers)
    return metrics


def test_zero_shot_metrics(fv_zero_shot, metrics):
    assert metrics == fv_zero_shot


def test_shuffled_metrics(fv_shuffled, metrics):
    assert metrics == fv_shuffled


def test_mixed_metrics(fv_mixed, metrics):
    assert metrics == fv_mixed


@finding("its function vector makes a prompt without examples do the task", id="FV-5", tier="quick")
@not_replicated(
    "gemma270m",
    tier="quick",
    reason="0.36 [0.22, 0.52] of 36 against none without it, and the lift's interval begins at 0.22, not 0.25",
)
@not_replicated(
    "qwencoder05b",
    tier="quick",
    reason="0.35 [0.22, 0.50] of 40 against none without it, and the lift's interval begins at 0.20, not 0.25",
)
def test_zero_shot(fv_zero_shot):
    assert fv_zero_shot.function.low > fv_zero_shot.plain.high
    assert fv_zero_shot.lift.low > 0.25


@finding("random heads of the same layers do not", id="FV-5", tier="quick")
def test_random_heads_do_not(fv_zero_shot):
    assert fv_zero_shot.function.low > fv_zero_shot.random_heads.high


@finding("the same heads over corrupted prompts do not", id="FV-5", tier="quick")
@not_replicated(
    "gemma270m",
    tier="quick",
    reason="0.36 [0.22, 0.52] against 0.28 [0.16, 0.44] of 36: the heads carry the task from shuffled examples too",
)
@not_replicated(
    "qwencoder05b",
    tier="quick",
    reason="0.35 [0.22, 0.50] against 0.18 [0.09, 0.32] of 40: the heads carry the task from shuffled examples too",
)
def test_corrupted_labels_do_not(fv_zero_shot):
    assert fv_zero_shot.function.low > fv_zero_shot.corrupted_labels.high


@finding("another task's vector does not", id="FV-5", tier="quick")
def test_other_task_does_not(fv_zero_shot):
    assert fv_zero_shot.function.low > fv_zero_shot.other_task.high


@finding("it makes whole answers right, not only first tokens", id="FV-5", tier="quick")
def test_whole_answers(fv_zero_shot):
    assert fv_zero_shot.exact_function.low > fv_zero_shot.exact.high


@finding("it does the task after shuffled labels", id="FV-5", tier="quick")
@not_replicated("tiny", reason=SET_OF_LABELS)
@not_replicated(
    "gemma270m",
    tier="quick",
    reason="0.95 [0.76, 0.99] against 0.60 [0.39, 0.78] by random heads at their best layer, n 20",
)
@not_replicated(
    "smollm135m",
    tier="quick",
    reason="0.70 [0.48, 0.85] against 0.30 [0.15, 0.52] by random heads at their best layer, n 20",
)
def test_after_shuffled_labels(fv_shuffled):
    assert fv_shuffled.lift.low > 0
    assert fv_shuffled.function.low > fv_shuffled.random_heads.high


@finding("it does the task after labels of all tasks", id="FV-5", tier="quick")
@not_replicated("llama_tiny", "qwen_tiny", reason=MIXED_WINS)
@not_replicated(
    "gemma270m",
    tier="quick",
    reason="0.20 [0.08, 0.42] against 0.05 [0.01, 0.24] by random heads at their best layer, n 20",
)
@not_replicated(
    "smollm135m",
    tier="quick",
    reason="0.35 [0.18, 0.57] against 0.10 [0.03, 0.30] by random heads at their best layer, n 20",
)
@not_replicated(
    "qwencoder05b",
    tier="quick",
    reason="0.26 [0.13, 0.46] against 0.04 [0.01, 0.21] by random heads at their best layer, n 23",
)
def test_after_mixed_labels(fv_mixed):
    assert fv_mixed.lift.low > 0
    assert fv_mixed.function.low > fv_mixed.random_heads.high


@finding("it beats the layer average", id="FV-6", tier="quick")
@not_replicated(
    "tiny", reason="planted: above the heads' layer the stream at the last token holds the task and little else"
)
@not_replicated(
    "gemma270m",
    tier="quick",
    reason="0.36 [0.22, 0.52] against 0.31 [0.18, 0.47] by the layer mean at its best layer, n 36",
)
@not_replicated(
    "smollm135m",
    tier="quick",
    reason="0.58 [0.41, 0.73] against 0.39 [0.25, 0.56] by the layer mean at its best layer, n 33",
)
@not_replicated(
    "qwencoder05b",
    tier="quick",
    reason="0.35 [0.22, 0.50] against 0.50 [0.35, 0.65] by the layer mean at its best layer, n 40: the mean does more",
)
def test_beats_the_layer_average(fv_zero_shot):
    assert fv_zero_shot.function.low > fv_zero_shot.layer_mean.high


@finding("it works in early and middle layers, and not late", id="FV-7", tier="quick")
@not_replicated(
    "tiny", reason="all layers above the planted heads of a built-in model still turn a task into its answer"
)
@not_replicated(
    "gemma270m",
    tier="quick",
    reason="0.36 [0.22, 0.52] against 0 [0, 0.10] late: right in direction, but not by 0.15 between the intervals, n 36",
)
@not_replicated(
    "qwencoder05b",
    tier="quick",
    reason="0.35 [0.22, 0.50] against 0.03 [0.00, 0.13] late: right in direction, but not by 0.15 between the intervals, n 40",
)
def test_falls_off_late(fv_zero_shot):
    assert fv_zero_shot.function.low > fv_zero_shot.late_function.high + 0.15


@finding("it makes the right answer less surprising, random heads do not", id="FV-20", tier="quick")
def test_less_surprising(fv_zero_shot):
    assert fv_zero_shot.nats_saved.low > 0
    assert fv_zero_shot.nats_saved.low > fv_zero_shot.nats_saved_random_heads.high
