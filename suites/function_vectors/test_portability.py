"""Function vectors elsewhere (Todd et al. 2024, section 3.1 and appendix): other templates, and natural text.

Vectors are made from "Q: ... A: ..." prompts. They are added, after the same layer, to prompts in other templates, and while
sentences are continued. Templates in which the model does not do the tasks even with ten examples say nothing about vectors.
"""

import random

import numpy as np

from assay import methods
from assay.data.in_context import TEMPLATES
from assay.plugin import Metric, experiment, finding, not_eligible, not_replicated

WORDS = (
    'The word "{}", means',
    'When I think of the word "{}", it usually means',
    'When I think of "{}", I usually',
    'While reading a book, I came across the word "{}". I looked it up in a dictionary and it turns out that it means',
    'The word "{}" can be understood as a synonym for',
)
PLACES = (
    "A couple years ago I visited {}, and",
    "If you ever travel to {}, you have to visit",
    "When you think of {},",
)
SENTENCES = {"antonym": (WORDS, 5), "country-capital": (PLACES, 10)}
"""The task whose vector is added, the sentences, and how many tokens are written."""


@experiment
def fv_templates(lm, study, tier):
    """FV-8: zero-shot accuracy in other templates, with the vector and without."""
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    templates = random.Random(42).sample(TEMPLATES, tier.choose(smoke=2, quick=4, full=20))
    names = study.main_able[: tier.choose(smoke=1, quick=3, full=None)]
    n_gate, n = tier.choose(smoke=1, quick=2, full=10), study.sizes.test

    def trials(name, template, shots, limit):
        return methods.draw_trials(
            lm, study.tasks[name], n_shots=shots, limit=limit, others=study.tasks.values(), template=template
        )

    kinds = {"plain": [], "function": [], "random_heads": []}
    gate, done = [], 0
    for template in study.track(templates, "templates"):
        ten = {name: methods.answer_trials(lm, trials(name, template, 10, n_gate)).right for name in names}
        gate.append(float(np.mean(np.concatenate(list(ten.values())))))
        if gate[-1] < 0.5:
            continue
        done += 1
        for name in names:
            for kind, scores in kinds.items():
                edits = [] if kind == "plain" else methods.inject_vector(study.vectors[kind][name], study.layer)
                scores.append(methods.answer_trials(lm, trials(name, template, 0, n), edits))
    gates = {"n_templates": len(templates), "ten_shot_by_template": Metric(gate, tol=0.2), "n_done": done}
    if not done:
        return not_eligible(f"0 of {len(templates)} other templates work with ten examples", **gates)
    shares = {kind: Metric.share(methods.TrialScores.join(scores).right, tol=0.1) for kind, scores in kinds.items()}
    return {**gates, **shares}


@experiment
def fv_natural_text(lm, study, tier):
    """FV-9: sentences continued with the vector added at every token; is the task's answer written?"""
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    kinds = ("plain", "function", "random_heads")
    found, n = {}, tier.choose(smoke=2, quick=6, full=None)
    for name in study.track([name for name in SENTENCES if name in study.main_able], "natural text"):
        sentences, max_tokens = SENTENCES[name]
        pairs = [one.context.query for one in study.known(name)][:n]
        for kind in kinds:
            vector = None if kind == "plain" else study.vectors[kind][name]
            found.setdefault(kind, {})[name] = [
                methods.continuations_name_answers(lm, sentence, pairs, vector, study.layer, max_tokens)
                for sentence in sentences
            ]
    if not found.get("plain"):
        return not_eligible(f"none of {', '.join(SENTENCES)} is done at ten shots", n_able=len(study.able))
    metrics = {}
    for kind, by_task in found.items():
        control = "random_heads" if kind == "function" else None
        metrics[kind] = Metric.share(
            np.concatenate([np.ravel(rows) for rows in by_task.values()]), tol=0.06, control=control
        )
        for name, rows in by_task.items():
            by_sentence = {s: float(np.mean(row)) for s, row in zip(SENTENCES[name][0], rows, strict=True)}
            metrics[f"{name}_{kind}"] = Metric(by_sentence, n=len(rows[0]), tol=0.2)
    return metrics


def test_templates_metrics(fv_templates, metrics):
    assert metrics == fv_templates


def test_natural_text_metrics(fv_natural_text, metrics):
    assert metrics == fv_natural_text


@finding("its function vector does the task in other templates", id="FV-8", tier="quick")
@not_replicated("smollm135m", tier="quick", reason="0.17 [0.11, 0.25] against 0.12 [0.07, 0.21] without it, n 96")
@not_replicated("qwencoder05b", tier="quick", reason="0.18 [0.11, 0.27] against 0.08 [0.04, 0.16] without it, n 96")
def test_other_templates(fv_templates):
    assert fv_templates.function.low > fv_templates.plain.high
    assert fv_templates.function.low > fv_templates.random_heads.high


@finding("and in natural text", id="FV-9", tier="quick")
@not_replicated("tiny", reason="built-in models have read no such sentences")
@not_replicated("gemma270m", tier="quick", reason="0.50 [0.29, 0.71] against 0.11 [0.03, 0.33] without it, n 18")
@not_replicated("smollm135m", tier="quick", reason="0.22 [0.11, 0.37] against 0.03 [0.00, 0.14] without it, n 37")
@not_replicated("qwencoder05b", tier="quick", reason="0.21 [0.12, 0.34] against 0.04 [0.01, 0.14] without it, n 48")
def test_natural_text(fv_natural_text):
    assert fv_natural_text.function.low > fv_natural_text.plain.high
    assert fv_natural_text.function.low > fv_natural_text.random_heads.high
