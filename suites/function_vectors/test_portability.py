"""Function vectors elsewhere (Todd et al. 2024, section 3.1 and appendix): other templates, and natural text.

Vectors are made from "Q: ... A: ..." prompts. They are added, after the same layer, to prompts in other templates, and while
sentences are continued. As in the authors' code, in each template the queries are those that the model gets right there with ten
examples, and the vector is added without examples and after ten with corrupted labels. A query is one cluster over all templates
or sentences: the claims are about these. Controls are three draws of random heads.
"""

import random

import numpy as np

from assay import methods
from assay.data.in_context import TEMPLATES
from assay.plugin import Metric, above, experiment, finding, not_eligible

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
def fv_templates(lm, study, tier, less):
    """FV-8: accuracy in other templates, with the vector and without; without examples, and after corrupted ones."""
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    templates = random.Random(42).sample(TEMPLATES, tier.choose(smoke=2, quick=4, full=20))
    names = study.main_able[: tier.choose(smoke=1, quick=3, full=None)]
    n, kinds = tier.choose(smoke=1, quick=6, full=study.sizes.test), ("function", *methods.RANDOM_KINDS)
    right, asked, gate = {"zero_shot": [], "corrupted": []}, {"zero_shot": [], "corrupted": []}, []
    for template in study.track(templates, "templates"):
        gate.append([])
        for name in names:
            vectors = {kind: study.vectors[kind][name] for kind in kinds}

            def drawn(shots, labels, name=name, template=template):
                return study.draw(name, "test", n, shots=shots, labels=labels, template=template)

            known = methods.answer_trials(lm, drawn(10, "own")).right
            gate[-1] += known.tolist()
            for context, trials in {"zero_shot": drawn(0, "own"), "corrupted": drawn(10, study.corrupted)}.items():
                for one in (one for one, chosen in zip(trials, known, strict=True) if chosen):
                    row = methods.inject_at_every_layer(lm, one, vectors, layers=[study.layer])
                    right[context].append([row.plain_rank == 0, *(row.ranks[kind][0] == 0 for kind in kinds)])
                    asked[context].append(one.asked)
    gates = {
        "n_templates": len(templates),
        "ten_shot_by_template": Metric([float(np.mean(flags)) for flags in gate], n=len(gate[0]), tol=0.2),
        "n_done": sum(any(flags) for flags in gate),
    }
    if not gates["n_done"]:
        return not_eligible(f"no query is right with ten examples in {len(templates)} other templates", **gates)
    metrics = {}
    for context, rows in right.items():
        (plain, function, *of_random), clusters = np.array(rows).T, asked[context]
        label = "" if context == "zero_shot" else f"{context}_"
        metrics |= {
            f"{label}plain": Metric.share(plain, clusters, tol=0.1),
            f"{label}function": Metric.share(function, clusters, tol=0.1, control=f"{label}random_heads"),
            f"{label}random_heads": Metric.mean(np.mean(of_random, axis=0).tolist(), (0, 1), clusters, tol=0.1),
            f"{label}function_less_plain": less(function, plain, clusters=clusters, tol=0.1),
            f"{label}function_less_random_heads": less(function, *of_random, clusters=clusters, tol=0.1),
        }
    return {**gates, **metrics}


@experiment
def fv_natural_text(lm, study, tier, less):
    """FV-9: sentences continued with the vector added at every token; is the task's answer written?"""
    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    kinds = ("plain", "function", *methods.RANDOM_KINDS)
    found, asked, n = {kind: {} for kind in kinds}, [], tier.choose(smoke=2, quick=6, full=None)
    for name in study.track([name for name in SENTENCES if name in study.main_able], "natural text"):
        sentences, max_tokens = SENTENCES[name]
        trials = study.known(name)[:n]
        pairs = [one.context.query for one in trials]
        asked += [one.asked for _ in sentences for one in trials]
        for kind, by_task in found.items():
            vector = None if kind == "plain" else study.vectors[kind][name]
            by_task[name] = [
                methods.continuations_name_answers(lm, sentence, pairs, vector, study.layer, max_tokens)
                for sentence in sentences
            ]
    if not found["plain"]:
        return not_eligible(f"none of {', '.join(SENTENCES)} is done at ten shots", n_able=len(study.able))
    flat = {kind: np.concatenate([np.ravel(rows) for rows in by_task.values()]) for kind, by_task in found.items()}
    of_random = [flat[kind] for kind in methods.RANDOM_KINDS]
    metrics = {
        "plain": Metric.share(flat["plain"], asked, tol=0.06),
        "function": Metric.share(flat["function"], asked, tol=0.06, control="random_heads"),
        "random_heads": Metric.mean(np.mean(of_random, axis=0).tolist(), (0, 1), asked, tol=0.06),
        "function_less_plain": less(flat["function"], flat["plain"], clusters=asked),
        "function_less_random_heads": less(flat["function"], *of_random, clusters=asked),
    }
    for kind in ("plain", "function"):
        for name, rows in found[kind].items():
            by_sentence = {s: float(np.mean(row)) for s, row in zip(SENTENCES[name][0], rows, strict=True)}
            metrics[f"{name}_{kind}"] = Metric(by_sentence, n=len(rows[0]), tol=0.2)
    return metrics


def test_templates_metrics(fv_templates, metrics):
    assert metrics == fv_templates


def test_natural_text_metrics(fv_natural_text, metrics):
    assert metrics == fv_natural_text


def more(difference):
    """Is it above no difference at all?"""
    return above(difference, 0, source="no difference")


@finding("a function vector does the task in other templates", id="FV-8", tier="quick")
def test_other_templates(fv_templates):
    assert more(fv_templates.function_less_plain) & more(fv_templates.function_less_random_heads)


@finding(
    "a function vector does the task in other templates after examples with corrupted labels", id="FV-8", tier="quick"
)
def test_other_templates_corrupted(fv_templates):
    assert more(fv_templates.corrupted_function_less_plain) & more(fv_templates.corrupted_function_less_random_heads)


@finding("a function vector does the task in natural text", id="FV-9", tier="quick")
def test_natural_text(fv_natural_text):
    assert more(fv_natural_text.function_less_plain) & more(fv_natural_text.function_less_random_heads)
