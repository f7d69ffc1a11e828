"""Function vectors in a chat: the query is a user's turn, and the vector comes from plain "Q: ... A: ..." prompts.

The paper's models are base models. A chat model is asked through its template, so a vector that is of use there has to work
behind one. Vector, heads and layer are those of the plain form (test_injection.py), and nothing is chosen anew. Two forms:

    begun    the user's turn is "Q: hot", and the model's turn begins with "A:", so that the vector is added at the token that it
             was read at, behind the template
    turn     the user's turn is "hot", and the vector is added at the template's last token, where the model's turn begins

Queries are those that the model gets right in the same form with ten examples: in "begun" in front of the query, in the user's
turn; in "turn" as ten turns of the user and of the model. In "begun" an answer is right by its first token, and as a whole; in
"turn" as a whole alone, since without a space before it its first token is often that of another word.

Controls are three draws of random heads and another task's vector. First tokens are compared with each control at the layer that
is best for it on the very queries reported, whole answers at the vector's own layer. No system prompt is written.
"""

from dataclasses import replace

import numpy as np
import pytest
from accuracy_by_layer import accuracies

from assay import methods
from assay.plugin import Metric, above, experiment, finding, not_eligible

NONE = "no difference"


@pytest.fixture(scope="session")
def system_prompt(no_system_prompt):
    """Recorded with every experiment of this module."""
    return no_system_prompt


@pytest.fixture(scope="session")
def asked_in_chat(lm, study, no_system_prompt):
    """asked_in_chat("begun", right) -> {task: its test queries that are right with ten examples}, and whether each query was.

    Raises NoChatTemplate for a base model.
    """

    def ask(form, right):
        lm.chat("Q: hot", no_system_prompt)  # a base model is not eligible before anything is measured
        known, done = {}, []
        for name in [] if study.unable else study.track(study.main_able, f"queries in a chat ({form})"):
            shown, bare = (
                [in_chat(lm, one, form, no_system_prompt) for one in study.asked_trials(name, shots)]
                for shots in (study.sizes.shots, 0)
            )
            flags = right(lm, shown)
            done += flags.tolist()
            known[name] = [one for one, flag in zip(bare, flags, strict=True) if flag]
        return known, done

    return ask


def in_chat(lm, one, form, system):
    """A trial whose examples are turns; or one in the user's turn, whose last line begins the model's turn."""
    if form == "turn":
        shown = [text for pair in one.context.shots for text in pair]
        prompt, answer = lm.chat([*shown, one.context.query[0]], system), one.context.query[1]
    else:
        before, _, prefix = one.context.text.rpartition("\n")
        prompt, answer = lm.chat(before, system, answer=prefix), one.context.answer
    return replace(one, prompt=prompt, token=lm.token(answer, after=prompt))


@experiment
def fv_chat_form(lm, study, asked_in_chat, less):
    """FV-5 in a chat, the model's turn begun: accuracy without examples, with the function vector and with its controls."""
    known, done = asked_in_chat("begun", lambda lm, trials: methods.answer_trials(lm, trials).right)
    if why := missing(study, known, done):
        return not_eligible(why, **gate(study, done))
    trials = [one for some in known.values() for one in some]
    rows = [
        methods.inject_at_every_layer(lm, one, {kind: study.vectors[kind][one.task] for kind in kinds()})
        for one in study.track(trials, "adding vectors in a chat")
    ]
    metrics = {**gate(study, done), **accuracies(rows, kinds(), study.layer, less), **whole(lm, study, known, less)}
    plain = {
        one.asked: row.ranks["function"][study.layer] == 0
        for one, row in zip(study.known_trials(), study.zero_shot, strict=True)
    }
    both = [
        (row.ranks["function"][study.layer] == 0, plain[one.asked])
        for one, row in zip(trials, rows, strict=True)
        if one.asked in plain
    ]
    if both:
        here, there = zip(*both, strict=True)
        metrics["function_in_plain_form"] = Metric.share(there, tol=0.06)
        metrics["function_less_plain_form"] = less(here, there)
    return metrics


@experiment
def fv_chat_turn(lm, study, asked_in_chat, less):
    """FV-5 in a chat, the vector where the model's turn begins: whole answers, with the function vector and with its controls."""
    known, done = asked_in_chat("turn", methods.writes_answers)
    if why := missing(study, known, done):
        return not_eligible(why, **gate(study, done))
    return {**gate(study, done), "layer": study.layer, **whole(lm, study, known, less)}


def kinds():
    """What is added: the function vector and its controls."""
    return ("function", *methods.RANDOM_KINDS, "other_task")


def missing(study, known, done):
    """Why there is nothing to ask; None if there is something."""
    if study.unable:
        return study.unable
    return None if any(known.values()) else f"none of {len(done)} queries is right in a chat with ten examples"


def gate(study, done):
    """Metrics: how many tasks are done in the plain form, and how many queries in this one, with ten examples."""
    return {"n_able": len(study.able)} | ({"ten_shot": Metric.share(done, tol=0.06)} if done else {})


def whole(lm, study, known, less):
    """Metrics of whole answers at the layer chosen before."""
    exact = {kind: [] for kind in ("plain", *kinds())}
    for name, trials in known.items():
        for kind, of in exact.items():
            edits = [] if kind == "plain" else methods.inject_vector(study.vectors[kind][name], study.layer)
            of += methods.writes_answers(lm, trials, edits).tolist() if trials else []
    random = [exact[kind] for kind in methods.RANDOM_KINDS]
    return {
        "exact": Metric.share(exact["plain"], tol=0.06),
        "exact_function": Metric.share(exact["function"], tol=0.06, control="exact_random_heads"),
        "exact_random_heads": Metric.mean(np.mean(random, axis=0).tolist(), (0, 1), tol=0.06),
        "exact_other_task": Metric.share(exact["other_task"], tol=0.06),
        "exact_less_plain": less(exact["function"], exact["plain"]),
        "exact_less_random_heads": less(exact["function"], *random),
        "exact_less_other_task": less(exact["function"], exact["other_task"]),
    }


def test_chat_form_metrics(fv_chat_form, metrics):
    assert metrics == fv_chat_form


def test_chat_turn_metrics(fv_chat_turn, metrics):
    assert metrics == fv_chat_turn


@finding(
    "a task's function vector does the task in a chat without examples, where the model's turn begins like an answer; one of "
    "random heads of the same layers does not",
    id="FV-5",
    tier="quick",
)
def test_chat_form(fv_chat_form):
    r = fv_chat_form
    assert above(r.lift, 0, source=NONE) & above(r.function_less_random_heads, 0, source=NONE)


@finding("another task's function vector does not do the task in a chat", id="FV-5", tier="quick")
def test_other_task_in_chat(fv_chat_form):
    assert above(fv_chat_form.function_less_other_task, 0, source=NONE)


@finding(
    "a task's function vector makes whole answers right where the model's turn begins in a chat; one of random heads does not",
    id="FV-5",
    tier="quick",
)
def test_chat_turn(fv_chat_turn):
    r = fv_chat_turn
    assert above(r.exact_less_plain, 0, source=NONE) & above(r.exact_less_random_heads, 0, source=NONE)
