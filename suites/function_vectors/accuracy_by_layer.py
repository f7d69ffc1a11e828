"""Metrics of accuracy with each kind of vector, layer by layer: for test_injection.py and test_chat_form.py."""

import numpy as np

from assay import methods
from assay.plugin import Metric


def accuracies(rows, kinds, layer, less):
    """Metrics of accuracy with each kind of vector, by layer; at the chosen layer, or for a control at its best layer."""
    plain = np.array([row.plain_rank == 0 for row in rows])
    right = {kind: np.array([row.ranks[kind] == 0 for row in rows]) for kind in kinds}
    n_layers = right["function"].shape[1]
    function, late = right["function"][:, layer], right["function"][:, int(0.85 * n_layers)]
    metrics = {
        "layer": layer,
        "plain": Metric.share(plain, tol=0.06),
        "function": Metric.share(function, tol=0.06, control="random_heads"),
        "lift": less(function, plain),
        "late_function": Metric.share(late, tol=0.06),
        "function_less_late": less(function, late),
        "last_layer_function": Metric.share(right["function"][:, -1], tol=0.06),
        "function_by_layer": Metric(
            right["function"].mean(axis=0), n=len(rows), tol=0.06, control="random_heads_by_layer"
        ),
    }
    controls = {"random_heads": [right[kind] for kind in methods.RANDOM_KINDS]}
    controls |= {kind: [of] for kind, of in right.items() if kind not in ("function", *methods.RANDOM_KINDS)}
    for kind, draws in controls.items():
        best = [int(of.mean(axis=0).argmax()) for of in draws]
        at_best = [of[:, i] for of, i in zip(draws, best, strict=True)]
        metrics[f"{kind}_by_layer"] = Metric(np.mean(draws, axis=(0, 1)), n=len(rows), tol=0.06)
        metrics[f"{kind}_best_layer"] = Metric(best if len(best) > 1 else best[0], tol=n_layers)
        metrics[kind] = Metric.mean(np.mean(at_best, axis=0).tolist(), (0, 1), tol=0.06)
        metrics[f"function_less_{kind}"] = less(function, *at_best)
    return metrics
