"""The main result (Todd et al. 2024, section 3.1): one vector, added at the last token, makes a prompt do the task.

The function vector of the chosen heads is added after each layer of the model, at the last token of test queries that the
model gets right with ten examples: without any example (zero-shot), and after ten with corrupted labels. The number of heads
and the layer were chosen on valid queries. Controls have the same length: other heads of the same layers (three draws), the
same heads over corrupted prompts, another task's vector. The layer-average baseline adds the mean stream itself. Every control
is given the layer that is best for it on the very queries reported; the function vector keeps the layer chosen before.
"""

import numpy as np
from accuracy_by_layer import accuracies

from assay import methods
from assay.plugin import Metric, above, experiment, finding, not_eligible, not_replicated

SET_OF_LABELS = "a built-in model knows the task from the set of labels: shuffled ones leave nothing to restore"


@experiment
def fv_zero_shot(lm, study, less):
    """FV-5, FV-6, FV-7, FV-20: zero-shot accuracy with the function vector and with its controls."""
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    kinds = ("function", *methods.RANDOM_KINDS)
    exact, nll = {kind: [] for kind in ("plain", *kinds)}, []
    for name in study.track(study.main_able, "whole answers"):
        trials, vectors = study.known(name), {kind: study.vectors[kind][name] for kind in kinds}
        for kind, of in exact.items():
            edits = [] if kind == "plain" else methods.inject_vector(vectors[kind], study.layer)
            of += methods.writes_answers(lm, trials, edits).tolist()
        for one in trials:
            last = len(one.prompt) - 1
            edits = [[], *(methods.inject_vector(v, study.layer, position=last) for v in vectors.values())]
            nll.append([-float(np.mean(tokens)) for tokens in methods.answer_log_probs(lm, one, edits)])
    plain, function, *random = np.array(nll).T
    exact_of_random = [exact[kind] for kind in methods.RANDOM_KINDS]
    return {
        **accuracies(study.zero_shot, methods.VECTOR_KINDS, study.layer, less),
        "exact": Metric.share(exact["plain"], tol=0.06),
        "exact_function": Metric.share(exact["function"], tol=0.06, control="exact"),
        "exact_less_plain": less(exact["function"], exact["plain"]),
        "exact_less_random_heads": less(exact["function"], *exact_of_random),
        "nats_per_token_plain": Metric.mean(plain.tolist(), tol=0.2, unit="nats"),
        "nats_per_token_function": Metric.mean(function.tolist(), tol=0.2, unit="nats"),
        "nats_per_token_random_heads": Metric.mean(np.mean(random, axis=0).tolist(), tol=0.2, unit="nats"),
        "nats_saved": less(plain, function, bounds=None, tol=0.2, unit="nats"),
        "nats_saved_random_heads": less(-np.mean(random, axis=0), -plain, bounds=None, tol=0.2, unit="nats"),
        "nats_saved_less_random_heads": less(-function, *(-of for of in random), bounds=None, tol=0.2, unit="nats"),
    }


@experiment
def fv_shuffled(study, tier, less):
    """FV-5: accuracy after ten examples with shuffled labels, with the function vector and with its controls."""
    return corrupted(study, tier, "shuffled", less)


@experiment
def fv_mixed(study, tier, less):
    """FV-5: accuracy after ten examples with labels of all tasks, with the function vector and with its controls."""
    return corrupted(study, tier, "mixed", less)


def corrupted(study, tier, labels, less):
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    kinds = ("function", *methods.RANDOM_KINDS, "layer_mean")
    rows = study.injected(kinds, shots=10, labels=labels, limit=tier.choose(smoke=1, quick=4, full=None))
    return accuracies(rows, kinds, study.layer, less)


def test_zero_shot_metrics(fv_zero_shot, metrics):
    assert metrics == fv_zero_shot


def test_shuffled_metrics(fv_shuffled, metrics):
    assert metrics == fv_shuffled


def test_mixed_metrics(fv_mixed, metrics):
    assert metrics == fv_mixed


def more(difference, **options):
    """Is it above no difference at all?"""
    return above(difference, 0, source="no difference", **options)


@finding(
    "a task's function vector makes a prompt without examples do the task; one of random heads of the same layers does not",
    id="FV-5",
    tier="quick",
)
def test_zero_shot(fv_zero_shot):
    assert more(fv_zero_shot.lift) & more(fv_zero_shot.function_less_random_heads)


@finding(
    "the same heads' outputs over corrupted prompts do not make a prompt without examples do the task",
    id="FV-5",
    tier="quick",
)
def test_corrupted_labels_do_not(fv_zero_shot):
    assert more(fv_zero_shot.function_less_corrupted_labels)


@finding("another task's function vector does not make a prompt without examples do the task", id="FV-5", tier="quick")
def test_other_task_does_not(fv_zero_shot):
    assert more(fv_zero_shot.function_less_other_task)


@finding("a function vector makes whole answers right, not only first tokens", id="FV-5", tier="quick")
def test_whole_answers(fv_zero_shot):
    assert more(fv_zero_shot.exact_less_plain) & more(fv_zero_shot.exact_less_random_heads)


@finding("a function vector does the task after examples with shuffled labels", id="FV-5", tier="quick")
@not_replicated("tiny", reason=SET_OF_LABELS)
def test_after_shuffled_labels(fv_shuffled):
    assert more(fv_shuffled.lift) & more(fv_shuffled.function_less_random_heads)


@finding("a function vector does the task after examples with labels of all tasks", id="FV-5", tier="quick")
def test_after_mixed_labels(fv_mixed):
    assert more(fv_mixed.lift) & more(fv_mixed.function_less_random_heads)


@finding("a function vector does more than the layer's average state", id="FV-6", tier="quick")
@not_replicated(
    "tiny", reason="planted: above the heads' layer the stream at the last token holds the task and little else"
)
@not_replicated("smollm135m", tier="quick", reason="0 more [-0.12, 0.12] than the layer's average state, n 33")
def test_beats_the_layer_average(fv_zero_shot):
    assert more(fv_zero_shot.function_less_layer_mean)


@finding("a function vector works in early and middle layers, and not in late ones", id="FV-7", tier="quick")
@not_replicated(
    "tiny", reason="all layers above the planted heads of a built-in model still turn a task into its answer"
)
def test_falls_off_late(fv_zero_shot):
    assert more(fv_zero_shot.lift) & more(fv_zero_shot.function_less_late)


@finding(
    "a function vector makes the right answer less surprising, a vector of random heads does not",
    id="FV-20",
    tier="quick",
)
def test_less_surprising(fv_zero_shot):
    # Half a nat: the right answer becomes more than one and a half times as likely.
    saved, beyond = fv_zero_shot.nats_saved, fv_zero_shot.nats_saved_less_random_heads
    assert more(saved, worth=0.5) & more(beyond, worth=0.5)
