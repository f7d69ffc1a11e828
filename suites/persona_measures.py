"""What the two suites of persona vectors measure and claim: instructions, self-judgement, extraction, steering, monitoring.

    found = steering(study)                                        # of a PersonaStudy (`persona_study.py`)
    assert raised(found, "prompt_last")

Each measure returns metrics; what a name means is said at the function. "response" and "prompt_last", before a name, are the two
kinds of vectors. The paper is Chen et al. 2025.
"""

from dataclasses import replace

import numpy as np
from persona_study import LEAST

from assay import methods
from assay.plugin import Metric, above, not_eligible

NONE = "no difference"
KINDS = {"response": "response", "prompt last": "prompt_last"}
CONTROLS = 99
"""Directions, or exchanges of labels, of which `..._95` is what one in twenty reaches."""


def instructions(study):
    """What the instructions change, by the phrase judge.

    `shown_positive`, `shown_negative`: share of responses that show the trait; `shown_positive_less_negative`: by pair. `kept`:
    number of kept pairs. `phrases_right`: share of labelled answers that the phrase judge is right about.
    """
    pairs, it = study.pairs, study.trait.quality
    out = {
        "phrases_right": Metric.share(
            [i < it.hits + it.n_other - it.false for i in range(it.n_own + it.n_other)], tol=0.0
        ),
        "coherent": study.of_pairs([pair.sound for pair in pairs], (0, 1), tol=0.1),
        "kept": sum(pair.sound and pair.shows == (True, False) for pair in pairs),
    }
    for i, (name, control) in enumerate((("shown_positive", "shown_negative"), ("shown_negative", None))):
        out[name] = study.of_pairs([pair.shows[i] for pair in pairs], (0, 1), tol=0.1, control=control)
    less = study.exchanged(study.less_negative())
    return out | {"shown_positive_less_negative": study.of_pairs(less, (-1, 1), tol=0.1)}


def self_judgement(study):
    """What the instructions change by the model's own scores, P("Yes"), and how often the two judges agree about a response."""
    if not study.labelled.low > 0.5:
        why = "the model's own yes or no does not part labelled answers that show the trait"
        return not_eligible(why, labelled_auroc=study.labelled)
    responses = [(pair.question, one.text) for pair in study.pairs for one in (pair.positive, pair.negative)]
    scores = methods.self_scores(study.lm, study.trait, responses, track=study.track("self-judgement")).reshape(-1, 2)
    agree = (scores > 0.5) == np.array([pair.shows for pair in study.pairs])
    positive, negative = scores.T.tolist()
    less = study.exchanged((scores[:, 0] - scores[:, 1]).tolist())
    return {
        "labelled_auroc": study.labelled,
        "judges_agree": study.of_pairs(agree.mean(axis=1).tolist(), (0, 1), tol=0.1),
        "score_positive": study.of_pairs(positive, (0, 1), tol=0.05, control="score_negative"),
        "score_negative": study.of_pairs(negative, (0, 1), tol=0.05),
        "score_positive_less_negative": study.of_pairs(less, (-1, 1), tol=0.05),
    }


def extraction(study):
    """The vectors by layer, and how alike those of two halves of the responses are.

    `strength_by_layer`: as they are. `half_cosine`: cosine of those of two halves that share no question and no instruction (no
    name), in the mean over layers; `half_cosine_permuted_95`: what one in twenty exchanges of the labels reaches.
    """
    return _of_kinds(study, _extraction, contrast=study.contrast and study.contrast.form)


def steering(study):
    """What the vectors do to the prompts for testing, at the place chosen on others.

    `raised`: share of responses that show the trait with the vector added, and did not without; `lowered`: that no longer do with
    it subtracted. `..._random`: by random vectors as strong; `..._shuffled`: by vectors from shuffled labels; each draw at the
    layer and strength that it chose itself. `..._at_all_positions`: by the vector in the whole prompt, too. `..._less_...`: the
    difference, by prompt. `by_layer`: the mean of both shares at each of `layers`; `changed_less_mean_layer`: at the chosen one,
    less their mean; `changed_less_random`: there, less by random vectors. `coefficient`: the number of times that the vector as
    it is was added.
    """
    return _of_kinds(study, _steering)


def monitoring(study):
    """Rank correlation of the projection of a prompt's last token with what the response shows.

    The layer is the one at which projections part the responses that the vectors were found with. `correlation_random_95`,
    `correlation_permuted_95`: what one in twenty random directions, or directions from exchanged labels, reaches or passes,
    whichever way it points, each at the layer that it chose in the same way.
    """
    if study.missing:
        return not_eligible(study.missing, **study.counts())
    states, scores, about = study.monitored
    found = {"n_shown": int(scores.sum()), "n_not_shown": int((1 - scores).sum())}
    if min(found.values()) < LEAST:
        return not_eligible("nearly all responses show the trait, or nearly none: there is nothing to predict", **found)
    found |= {"n_questions_or_names": len({one[0] for one in about}), "n_instructions": len({one[1:] for one in about})}
    return found | _of_kinds(study, lambda study, kind: _monitoring(study, kind, states, scores, about))


def _of_kinds(study, measure, **first):
    """The metrics of both kinds of vectors: "response_raised", "prompt_last_raised"."""
    if study.missing:
        return not_eligible(study.missing, **study.counts())
    found = first | study.counts()
    for kind, prefix in KINDS.items():
        for name, it in measure(study, kind).items():
            control = getattr(it, "control", None)
            found[f"{prefix}_{name}"] = replace(it, control=f"{prefix}_{control}") if control else it
    return found


def _extraction(study, kind):
    vectors, states, about = study.vectors[kind], study.of_kind(kind), study.contrast.about
    states, labels, rng = states[:, ~vectors.empty[-1]], study.positive, np.random.default_rng(0)
    half = methods.disjoint_halves(about, labels, rng)
    exchanged = [methods.exchanged_labels(about, labels, rng) for _ in range(CONTROLS)]
    drawn = [methods.half_cosine(states, one, half) for one in exchanged]
    used = [one for one, at in zip(about, half, strict=True) if at >= 0]
    return {
        "strength_by_layer": Metric((vectors.norms[-1] / vectors.stream_norms[-1]).tolist(), n=len(states), tol=0.05),
        "half_cosine": Metric(
            methods.half_cosine(states, labels, half),
            n=len(used),
            ci=methods.half_cosine_interval(states, labels, about, half),
            clusters=fewest(used),
            control="half_cosine_permuted_95",
            tol=0.1,
        ),
        "half_cosine_permuted_95": reached_by_one_in_twenty(drawn),
    }


def _steering(study, kind):
    own, *controls = study.steered(kind)
    draws, layers = study.sizes.draws, [at for at in study.layers if not own.vectors.empty[-1, at]]
    others = [at for at in layers if at != own.place.layer]
    out = {
        "layer": own.place.layer,
        "strength": own.place.strength,
        "coefficient": Metric(own.place.strength / own.vectors.at(-1, own.place.layer).strength, n=1, tol=0.1),
        "layers": layers,
    }
    tables, about = [], []
    for name, sign, asked in zip(("raised", "lowered"), (1, -1), study.contrast.testing, strict=True):
        variants = [one.edits(sign) for one in (own, *controls)]
        variants += [own.edits(sign, positions="all"), *(own.edits(sign, layer) for layer in others)]
        rows = [
            methods.changes_response(study.lm, one, variants, sign > 0, max_tokens=study.contrast.max_tokens)
            for one in study.progress(asked, f"{name} ({kind})")
        ]
        tables.append(np.array(rows, float).reshape(len(rows), len(variants)))
        out |= _shares(name, tables[-1], draws)
        about += [one.about[0] for one in asked]
    every = np.concatenate(tables)
    chosen, elsewhere = every[:, 0], dict(zip(others, every[:, 2 * draws + 2 :].T, strict=True))
    changed = np.array([elsewhere.get(layer, chosen) for layer in layers])  # layers, prompts
    return out | {
        "by_layer": Metric(changed.mean(axis=1).tolist(), n=len(about), tol=0.15),
        "changed_less_mean_layer": Metric.mean((chosen - changed.mean(axis=0)).tolist(), (-1, 1), about, tol=0.1),
        "changed_less_random": Metric.difference(
            chosen.tolist(), every[:, 1 : 1 + draws].T.tolist(), clusters=about, tol=0.1
        ),
    }


def _shares(name, table, draws):
    """Metrics of a table [prompts, variants]: the vector, random ones, shuffled ones, the vector at all positions..."""
    own, drawn = (
        table[:, 0].tolist(),
        {"random": table[:, 1 : 1 + draws], "shuffled": table[:, 1 + draws : 1 + 2 * draws]},
    )
    out = {
        name: Metric.mean(own, (0, 1), tol=0.1, control=f"{name}_random"),
        f"{name}_at_all_positions": Metric.mean(table[:, 1 + 2 * draws].tolist(), (0, 1), tol=0.1),
    }
    for control, rows in drawn.items():
        out[f"{name}_{control}"] = Metric.mean(rows.mean(axis=1).tolist(), (0, 1), tol=0.1)
        out[f"{name}_less_{control}"] = Metric.difference(own, rows.T.tolist(), tol=0.1)
    return out


def _monitoring(study, kind, states, scores, about):
    rng, found = np.random.default_rng(2), study.of_kind(kind).astype(np.float64)
    labels = [methods.exchanged_labels(study.contrast.about, study.positive, rng) for _ in range(CONTROLS)]
    drawn = {
        "own": study.vectors[kind].vectors[-1:],
        "random": rng.standard_normal((CONTROLS, *states.shape[1:])),
        "permuted": np.array([found[one].mean(axis=0) - found[~one].mean(axis=0) for one in labels]),
    }
    seen = study.of_kind("prompt last")
    reached = {}
    for name, directions in drawn.items():
        layers = methods.monitor_layers(seen, study.positive, directions)
        along = [methods.project_onto(states[:, i], one[i]) for one, i in zip(directions, layers, strict=True)]
        reached[name] = layers, along, [methods.spearman(one, scores) for one in along]
    layers, along, values = reached["own"]
    return {
        "monitor_layer": int(layers[0]),
        "correlation": Metric(
            values[0],
            n=len(scores),
            ci=methods.rank_correlation_interval(along[0], scores, about),
            clusters=fewest(about),
            control="correlation_random_95",
            tol=0.1,
        ),
        "correlation_random_95": reached_by_one_in_twenty(np.abs(reached["random"][2])),
        "correlation_permuted_95": reached_by_one_in_twenty(np.abs(reached["permuted"][2])),
    }


def fewest(about):
    """The number of labels of the factor that has the fewest."""
    return min(len(set(labels)) for labels in zip(*about, strict=True))


def reached_by_one_in_twenty(drawn):
    """The metric of what one in twenty of the draws reaches or passes."""
    finite = [value for value in drawn if np.isfinite(value)]
    return Metric(float(np.quantile(finite, 0.95)) if finite else float("nan"), n=len(finite), tol=0.1)


# --- claims


def stable(r, kind):
    """Are the vectors of two halves more alike than those of exchanged labels?"""
    permuted = getattr(r, f"{kind}_half_cosine_permuted_95")
    return above(getattr(r, f"{kind}_half_cosine"), permuted, source="95 % of exchanged labels")


def raised(r, kind, name="raised"):
    """Does adding the vector raise more responses than adding each control does?"""
    random, shuffled = (getattr(r, f"{kind}_{name}_less_{control}") for control in ("random", "shuffled"))
    return above(random, 0, source=NONE) & above(shuffled, 0, source=NONE)


def lowered(r, kind):
    """Does subtracting the vector lower more responses than subtracting each control does?"""
    return raised(r, kind, "lowered")


def best_where_chosen(r, kind):
    """Does the vector change more responses at the chosen layer than at the average one, and than random vectors do?"""
    layer, random = (getattr(r, f"{kind}_changed_less_{control}") for control in ("mean_layer", "random"))
    return above(layer, 0, source=NONE) & above(random, 0, source=NONE)


def monitors(r, kind):
    """Does the projection predict what the response shows?"""
    return above(getattr(r, f"{kind}_correlation"), 0, source="no relation")


def monitors_better_than_random(r, kind):
    """Does it predict better than one in twenty random directions?"""
    random = getattr(r, f"{kind}_correlation_random_95")
    return above(getattr(r, f"{kind}_correlation"), random, source="95 % of random directions")
