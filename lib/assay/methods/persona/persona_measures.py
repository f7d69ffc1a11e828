"""Measures of a persona study: instructions, self-judgement, extraction, steering, monitoring (Chen et al. 2025).

    >>> from assay.data.personas import trait
    >>> from assay.methods import PersonaSizes, PersonaStudy
    >>> sizes = PersonaSizes(questions=2, evaluated=3, layers=2, strengths=(0.5,), draws=2, max_tokens=12)
    >>> study = PersonaStudy(lm, trait("hallucinating"), sizes, or_names=True)
    >>> found = measured_steering(study, "prompt last")
    >>> found["layer"], found["raised"].n
    (7, 3)

Each returns {name: estimate}, or a plain value where the number is exact; what a name means is said at the function. The layer
and the strength are chosen on other prompts than those that an effect is reported on.
"""

from typing import Any

import numpy as np

from assay.methods.direction_controls import permuted_differences, split_half
from assay.methods.directions import Directions
from assay.methods.persona.monitoring import Estimate, estimated_mean, rank_correlation
from assay.methods.persona.persona_scores import self_scores
from assay.methods.persona.persona_steering import changes_response
from assay.methods.persona.persona_vectors import Kind, persona_edits, states_of_kind
from assay.methods.persona.responses import respond, response_states
from assay.methods.persona.study import LEAST_RESPONSES, PersonaStudy
from assay.methods.separation import project_onto, spearman

Values = dict[str, Any]


def measured_instructions(study: PersonaStudy) -> Values:
    """What the instructions change, by the phrase judge.

    `shown_positive`, `shown_negative`: share of responses that show the trait; `shown_positive_less_negative`: by pair. `kept`:
    number of kept pairs. `phrases_right`: share of labelled answers that the phrase judge is right about.
    """
    pairs, about = study.pairs, [pair.question for pair in study.pairs]
    it = study.trait.quality
    n, right = it.n_own + it.n_other, it.hits + it.n_other - it.false
    out: Values = {
        "phrases_right": estimated_mean([1.0] * right + [0.0] * (n - right), (0, 1), tol=0.0),
        "coherent": estimated_mean([pair.sound for pair in pairs], (0, 1), about, tol=0.1),
        "kept": sum(pair.sound and pair.shows == (True, False) for pair in pairs),
    }
    for i, name in enumerate(("shown_positive", "shown_negative")):
        control = None if i else "shown_negative"
        shown = [pair.shows[i] for pair in pairs]
        out[name] = estimated_mean(shown, (0, 1), about, tol=0.1, control=control)
    less = study.exchanged(study.less_negative())
    return out | {"shown_positive_less_negative": estimated_mean(less, (-1, 1), about, tol=0.1)}


def measured_self_judgement(study: PersonaStudy) -> Values:
    """What the instructions change by the model's own scores, P("Yes"), and how often the two judges agree about a response."""
    pairs, about = study.pairs, [pair.question for pair in study.pairs]
    responses = [(pair.question, one.text) for pair in pairs for one in (pair.positive, pair.negative)]
    scores = self_scores(study.lm, study.trait, responses, track=study.track("self-judgement"))
    agree = (scores > 0.5) == np.array([shown for pair in pairs for shown in pair.shows])
    less = study.exchanged(scores[::2] - scores[1::2])
    return {
        "labelled_auroc": study.labelled,
        "judges_agree": estimated_mean(agree, (0, 1), np.repeat(about, 2).tolist(), tol=0.1),
        "score_positive": estimated_mean(scores[::2], (0, 1), about, tol=0.05, control="score_negative"),
        "score_negative": estimated_mean(scores[1::2], (0, 1), about, tol=0.05),
        "score_positive_less_negative": estimated_mean(less, (-1, 1), about, tol=0.05),
    }


def measured_extraction(study: PersonaStudy, kind: Kind) -> Values:
    """Strengths of the vectors as they are, by layer, and the cosine of those of two random halves, in the mean over layers.

    The interval of the cosine is the spread over 100 divisions into halves.
    """
    vectors = study.vectors[kind]
    positive, negative = (states_of_kind(states, kind)[0] for states in study.states)
    strengths = (vectors.norms[-1] / vectors.stream_norms[-1]).tolist()
    out: Values = {"strength_by_layer": Estimate(strengths, len(positive) + len(negative), None, tol=0.05)}
    for name, shuffled, seed in (("", study.null, 0), ("_shuffled", True, 1)):
        draws = [
            # the same halves in every layer
            split_half(positive[:, i], negative[:, i], np.random.default_rng(seed), shuffled=shuffled)
            for i in np.flatnonzero(~vectors.empty[-1])
        ]
        of_draw = np.mean(draws, axis=0)
        ends = (float(np.quantile(of_draw, 0.025)), float(np.quantile(of_draw, 0.975)))
        control = None if shuffled else "half_cosine_shuffled"
        out[f"half_cosine{name}"] = Estimate(float(of_draw.mean()), len(of_draw), ends, tol=0.1, control=control)
    return out


def measured_steering(study: PersonaStudy, kind: Kind) -> Values:
    """What the vectors do to the prompts for testing, at the place chosen on others.

    `raised`, `lowered`: share of responses changed by the vector; `..._random`: by random vectors as strong, each at the layer
    where it does most to the same other prompts; `..._shuffled`: by vectors from shuffled labels, as strong, in the same layer;
    `..._at_all_positions`: by the vector in the whole prompt, too. `..._less_...`: the difference, by prompt. `by_layer`: the
    mean of both shares at each of `layers`; `changed_less_mean_layer`: at the chosen one, less their mean; `changed_less_random`:
    there, less by random vectors. `coefficient`: the number of times that the vector as it is was added.
    """
    place, vectors, draws = study.place(kind), study.vectors[kind], study.sizes.draws
    layers = [layer for layer in study.layers if not vectors.empty[-1, layer]]
    controls = study.controls(kind)
    own_layers = _best_layers(study, controls["random"], layers, place.strength)
    out: Values = {
        "layer": place.layer,
        "strength": place.strength,
        "coefficient": Estimate(place.strength / vectors.at(-1, place.layer).strength, 1, None, tol=0.1),
        "layers": layers,
    }
    of_layers, of_random, about = [], [], []
    for name, wanted, asked in zip(("raised", "lowered"), (True, False), study.there().testing, strict=True):
        strength = place.strength if wanted else -place.strength
        at = [(vectors, place.layer), *zip(controls["random"], own_layers, strict=True)]
        at += [(one, place.layer) for one in controls["shuffled"]]
        others = [(vectors, layer) for layer in layers if layer != place.layer]
        variants = [persona_edits(one.at(-1, layer), strength) for one, layer in [*at, *others]]
        variants.append(persona_edits(vectors.at(-1, place.layer), strength, positions="all"))
        rows = [
            changes_response(study.lm, one, variants, wanted, max_tokens=study.there().max_tokens)
            for one in study.progress(asked, f"{name} ({kind})")
        ]
        table = np.array(rows, float).reshape(len(rows), len(variants))
        out |= _shares(name, table, draws)
        elsewhere = dict(zip([layer for _, layer in others], table[:, 2 * draws + 1 : -1].T, strict=True))
        of_layers.append(np.stack([elsewhere.get(layer, table[:, 0]) for layer in layers]))
        of_random.append(table[:, 1 : 1 + draws].T)
        about += [one.about for one in asked]
    changed = np.concatenate(of_layers, axis=1)  # layers, prompts
    chosen, by_chance = changed[layers.index(place.layer)], np.concatenate(of_random, axis=1)
    mean = changed.mean(axis=1).tolist() if about else []
    return out | {
        "by_layer": Estimate(mean, len(about), None, tol=0.15),
        "changed_less_mean_layer": estimated_mean(chosen - changed.mean(axis=0), (-1, 1), about, tol=0.1),
        "changed_less_random": estimated_mean(chosen, (-1, 1), about, less=by_chance, tol=0.1),
    }


def measured_monitoring(study: PersonaStudy, kind: Kind) -> Values:
    """Rank correlation of the projection of a prompt's last token, at the chosen layer, with what the response shows.

    `correlation_random_95`, `correlation_permuted_95`: what one in twenty random directions, or directions from permuted labels,
    reaches or passes, whichever way it points. Only the counts, where fewer than `LEAST_RESPONSES` responses are of a kind.
    """
    asked, layer = study.there().monitored, study.place(kind).layer
    said = respond(study.lm, [one.prompt for one in asked], max_tokens=study.there().max_tokens)
    pairs = [(one, made) for one, made in zip(asked, said, strict=True) if made.tokens]
    scores = np.array([one.shows(made.text) for one, made in pairs], float)
    out: Values = {"n_shown": int(scores.sum()), "n_not_shown": int((1 - scores).sum())}
    if min(out.values()) < LEAST_RESPONSES:
        return out
    rng = np.random.default_rng(2)
    scores = rng.permutation(scores) if study.null else scores
    ends = response_states(study.lm, [made for _, made in pairs]).prompt_last[:, layer]
    along, about = project_onto(ends, study.vectors[kind].at(-1, layer).vector), [one.about for one, _ in pairs]
    out["correlation"] = rank_correlation(along, scores, about, tol=0.1, control="correlation_random_95")
    shown, other = (states_of_kind(states, kind)[0][:, layer] for states in study.states)
    drawn = {
        "random": rng.standard_normal((99, ends.shape[-1])),
        "permuted": permuted_differences(shown, other, rng),
    }
    for name, directions in drawn.items():
        reached = [abs(spearman(project_onto(ends, one), scores)) for one in directions]
        out[f"correlation_{name}_95"] = Estimate(float(np.quantile(reached, 0.95)), len(reached), None, tol=0.1)
    return out


def _best_layers(study: PersonaStudy, vectors: list[Directions], layers: list[int], strength: float) -> list[int]:
    """For each of several vectors the layer at which it changes most responses to the prompts for choosing."""
    shares = []
    for wanted, asked in zip((True, False), study.there().choosing, strict=True):
        signed = strength if wanted else -strength
        variants = [persona_edits(one.at(-1, layer), signed) for one in vectors for layer in layers]
        rows = [
            changes_response(study.lm, one, variants, wanted, max_tokens=study.there().max_tokens)
            for one in study.progress(asked, "layers of controls")
        ]
        if rows:
            shares.append(np.mean(rows, axis=0).reshape(len(vectors), len(layers)))
    return [layers[i] for i in np.mean(shares, axis=0).argmax(axis=1)]


def _shares(name: str, table: np.ndarray, draws: int) -> Values:
    """Estimates of a table [prompts, variants]: the vector, random ones, shuffled ones, .., the vector at all positions."""
    drawn = {"random": table[:, 1 : 1 + draws].T, "shuffled": table[:, 1 + draws : 1 + 2 * draws].T}
    out: Values = {
        name: estimated_mean(table[:, 0], (0, 1), tol=0.1, control=f"{name}_random"),
        f"{name}_at_all_positions": estimated_mean(table[:, -1], (0, 1), tol=0.1),
    }
    for control, rows in drawn.items():
        out[f"{name}_{control}"] = estimated_mean(rows.mean(axis=0), (0, 1), tol=0.1)
        out[f"{name}_less_{control}"] = estimated_mean(table[:, 0], (-1, 1), less=rows, tol=0.1)
    return out
