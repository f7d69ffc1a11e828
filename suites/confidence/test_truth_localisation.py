"""Where truth is: states of a true statement, patched into its false twin (Marks and Tegmark 2023, CONF-2b).

A question whether a statement is true is run for a false statement, with resid_post of one layer taken from the run of its true
twin: at the end of the statement (its last token and the period, or whichever token holds both), or at the last token of the
question. The last token of a statement is that of its object, in which the twins differ: at layer 0 the patch exchanges little
more than the word itself. The effect is the rise of P("True") against "False". The paper patches single tokens of few-shot
prompts in a base model and looks at the difference of two logits (a paper-variant). Tokens before the end are the same in both
twins, or belong to answers of different lengths, and are not patched.

The layer of each place is chosen on validation twins. The control is the state of another false statement instead of the true
twin's, at the same place and layer; differences are taken prompt by prompt, on twins of a held-out relation. Where both places
are compared, it is by their rises less those of the control. In the null world all donors are false statements.
"""

import numpy as np
from kinds_of_truth import twins_of

import assay
from assay import methods
from assay.forward.positions import resolve, text
from assay.plugin import Metric, above, experiment, finding, not_eligible

NONE = "no difference"
WORTH = 0.1  # of half a difference: the usual 0.2 of the whole
PLACES = ("end", "last")
N_LAYERS = 12  # at most so many layers, evenly spread


@experiment
def truth_patched(lm, late, tier, progress, null_world):
    """CONF-2b: P("True") of false statements with states of their true twins, and of other false statements."""
    n = tier.choose(smoke={"valid": 2, "test": 4}, quick={"valid": 4, "test": 16}, full={"valid": 30, "test": 100})
    twins = {split: twins_of(split, late, count) for split, count in n.items()}
    layers = methods.spread(range(lm.n_layers), N_LAYERS)
    own, control, before, of_true = {}, {}, {}, {}
    for split, some in twins.items():
        rows = [patched(lm, some, i, layers, null_world) for i in progress(range(len(some)), f"patched, {split}")]
        own[split], control[split], before[split], of_true[split] = (np.array(part) for part in zip(*rows, strict=True))
    p_true, p_false = of_true["test"], before["test"]
    verdicts = {
        "called_true_if_true": Metric.mean(p_true.tolist(), bounds=(0, 1), tol=0.1, control="called_true_if_false"),
        "called_true_if_false": Metric.mean(p_false.tolist(), bounds=(0, 1), tol=0.1),
        "true_less_false": Metric.mean((p_true - p_false).tolist(), bounds=(-1, 1), tol=0.1),
    }
    if above(verdicts["true_less_false"], 0, source=NONE).verdict != "yes":
        return not_eligible("the model calls true statements true no more than their false twins", **verdicts)
    best = (own["valid"] - control["valid"]).mean(axis=0).argmax(axis=-1)  # of each place
    metrics = {**verdicts, "layers": list(layers)}
    for place, name in enumerate(PLACES):
        at = best[place]
        rises = {"": own["test"][:, place, at], "_false_donor": control["test"][:, place, at]}
        metrics[f"{name}_layer"] = layers[at]
        metrics[f"{name}_by_layer"] = Metric(own["test"][:, place].mean(axis=0).tolist(), n=len(p_true), tol=0.1)
        metrics[f"{name}_by_layer_false_donor"] = Metric(
            control["test"][:, place].mean(axis=0).tolist(), n=len(p_true), tol=0.1
        )
        for suffix, rise in rises.items():
            of = {} if suffix else {"control": f"{name}_rise_false_donor"}
            metrics[f"{name}_rise{suffix}"] = Metric.mean(rise.tolist(), bounds=(-1, 1), tol=0.1, **of)
        metrics[f"{name}_less_false_donor"] = difference(rises[""] - rises["_false_donor"])
    there = (own["test"] - control["test"])[:, :, best[0]]
    halved = (there[:, 0] - there[:, 1]) / 2  # of two differences of probabilities: halves lie between -1 and 1
    metrics["end_less_last_beyond_false_donor_halved"] = difference(halved)
    return metrics


def patched(lm, twins, i, layers, null_world):
    """Rises of P("True") of the i-th false statement, by its twin and by another [places, layers]; P("True") of both."""
    true, false = twins[i]
    others = [twins[(i + away) % len(twins)][1] for away in (1, 2)]
    prompt, targets = methods.where_answers_part(lm, false.question, ("True", "False"))
    taken = {
        "own": donated(lm, others[1] if null_world else true, layers),
        "control": donated(lm, others[0], layers),
    }
    ends = places(lm, false)
    variants = [[]]
    for states in taken.values():
        for place in PLACES:
            for k, layer in enumerate(layers):
                variants.append([
                    assay.replace("resid_post", states[place][j][k], layer=layer, position=at)
                    for j, at in enumerate(ends[place])
                ])  # fmt: skip
    p = np.exp(methods.log_probs(lm.sweep(prompt, variants, targets=list(targets), progress=False).target_log_probs))[
        :, 0
    ]
    rises = (p[1:] - p[0]).reshape(2, len(PLACES), len(layers))
    of_true = methods.answer_preference(lm, [true.question], ("True", "False"))[0]
    return rises[0], rises[1], p[0], of_true


def places(lm, statement):
    """Positions in the question: the statement's last token and its period, which may be one token, and the last token."""
    prompt, _ = methods.where_answers_part(lm, statement.question, ("True", "False"))
    asked = lm.chat(statement.question)
    ends = [resolve(text(part), asked).prompt[0] for part in (statement.text.removesuffix("."), statement.text)]
    return {"end": ends, "last": [len(prompt) - 1]}


def donated(lm, statement, layers):
    """resid_post of a statement's question at the same places: {place: [positions, layers, E]}."""
    prompt, _ = methods.where_answers_part(lm, statement.question, ("True", "False"))
    run, at = lm.run(prompt, keep=[("resid_post", layer) for layer in layers]), places(lm, statement)
    return {
        place: [[run["resid_post", layer][0, position] for layer in layers] for position in some]
        for place, some in at.items()
    }


def difference(rises):
    """The mean difference of two rises of one prompt, which is that of two probabilities."""
    return Metric.mean(rises.tolist(), bounds=(-1, 1), tol=0.1)


def test_metrics(truth_patched, metrics):
    assert metrics == truth_patched


@finding("the state at the end of a true statement turns the verdict on its false twin", id="CONF-2", tier="quick")
def test_end(truth_patched):
    assert above(truth_patched.end_less_false_donor, 0, source=NONE)


@finding("where a statement's end decides the verdict, the last token does not yet", id="CONF-2", tier="quick")
def test_not_last(truth_patched):
    assert above(truth_patched.end_less_last_beyond_false_donor_halved, 0, worth=WORTH, source=NONE)
