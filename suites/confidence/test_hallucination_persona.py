"""The persona vector of hallucination (Chen et al. 2025, CONF-5): from responses that tell to responses that admit not to know.

Extraction, steering and monitoring are those of `sycophancy/test_persona_vectors.py`, for the trait "hallucinating": instructions
to make up answers, or to admit the limits of what is known, and questions about invented things or about what nobody can know. A
response shows the trait if it is coherent and neither admits nor hedges.

Where instructions change nothing, as in the built-in models, the two kinds of responses come from known and from made-up names
(a paper-variant): the vector, added to a prompt about a made-up name, should make the model tell, and subtracted from one about
a known name, make it say that it does not know. Whether the responses differ in their words alone, or before them, is seen in
the two kinds of vectors: the mean over a response's tokens, and the last token of the prompt, from which it is begun.

`..._raised` counts made-up names that are told about with the vector added, `..._lowered` known ones that are not with it
subtracted; control vectors are random ones, and differences of responses with shuffled labels, as strong; random ones each at
the layer where it does most.
"""

from dataclasses import replace

import pytest

from assay import methods
from assay.data.personas import trait
from assay.plugin import Metric, above, experiment, finding, not_eligible, not_replicated

NONE = "no difference"
KINDS = {"response": "response", "prompt last": "prompt_last"}


@pytest.fixture(scope="session")
def hallucinating(lm, tier, progress, null_world):
    """The study of the trait on this model; what its experiments share is made once."""
    sizes = tier.choose(
        smoke=methods.PersonaSizes(questions=3, evaluated=4, layers=3, strengths=(1.0,), draws=2, max_tokens=16),
        quick=methods.PersonaSizes(
            questions=6, evaluated=10, layers=5, strengths=(0.5, 0.7, 1.0), draws=5, max_tokens=20
        ),
        full=methods.PersonaSizes(
            samples=10, temperature=1.0, strengths=(0.25, 0.5, 1.0, 2.0), draws=8, max_tokens=256
        ),
    )
    return methods.PersonaStudy(lm, trait("hallucinating"), sizes, or_names=True, null=null_world, progress=progress)


@experiment
def hallucination_instructions(hallucinating):
    """CONF-5: what asking for the trait, and for its contrary, changes in the responses, by their phrases."""
    return recorded(methods.measured_instructions(hallucinating))


@experiment
def hallucination_self_judgement(hallucinating):
    """CONF-5: the same by the model's own yes or no, where it parts labelled answers."""
    if not hallucinating.labelled.ci[0] > 0.5:
        area = recorded({"labelled_auroc": hallucinating.labelled})
        return not_eligible("the model's own yes or no does not part labelled answers that show the trait", **area)
    return recorded(methods.measured_self_judgement(hallucinating))


@experiment
def hallucination_extraction(hallucinating):
    """CONF-5: the vectors by layer, and how alike those of two halves of the responses are."""
    if why := missing(hallucinating):
        return not_eligible(why, **hallucinating.counts())
    found = {"contrast": hallucinating.contrast.form, **hallucinating.counts()}
    return found | of_kinds(methods.measured_extraction, hallucinating)


@experiment
def hallucination_steering(hallucinating):
    """CONF-5: what adding and subtracting the vectors changes, at the layer and strength chosen on other prompts."""
    if why := missing(hallucinating):
        return not_eligible(why, **hallucinating.counts())
    return hallucinating.counts() | of_kinds(methods.measured_steering, hallucinating)


@experiment
def hallucination_monitoring(hallucinating):
    """CONF-5: does the projection of a prompt's last token predict whether the response shows the trait?"""
    if why := missing(hallucinating):
        return not_eligible(why, **hallucinating.counts())
    found = of_kinds(methods.measured_monitoring, hallucinating)
    if "response_correlation" not in found:
        return not_eligible("nearly all responses show the trait, or nearly none: there is nothing to predict", **found)
    return found


def missing(study):
    """Why no vector can be found, placed and tested; None if it can."""
    if study.contrast is None:
        return "neither instructions nor made-up names change whether a response admits that the model does not know"
    n = study.counts()
    if not n["n_choosing"] or n["n_to_raise"] + n["n_to_lower"] < methods.LEAST_RESPONSES:
        return "too few prompts have a coherent response without steering to choose a layer on, or to test it on"
    return None


def recorded(values):
    """The metrics of estimates."""
    return {name: Metric(**vars(it)) if isinstance(it, methods.Estimate) else it for name, it in values.items()}


def of_kinds(measure, study):
    """The metrics of both kinds of vectors: "response_raised", "prompt_last_raised"."""
    found = {}
    for kind, prefix in KINDS.items():
        values = recorded(measure(study, kind))
        controls = {name: f"{prefix}_{it.control}" for name, it in values.items() if getattr(it, "control", None)}
        for name, it in values.items():
            found[f"{prefix}_{name}"] = replace(it, control=controls[name]) if name in controls else it
    return found


def test_instructions_metrics(hallucination_instructions, metrics):
    assert metrics == hallucination_instructions


def test_self_judgement_metrics(hallucination_self_judgement, metrics):
    assert metrics == hallucination_self_judgement


def test_extraction_metrics(hallucination_extraction, metrics):
    assert metrics == hallucination_extraction


def test_steering_metrics(hallucination_steering, metrics):
    assert metrics == hallucination_steering


def test_monitoring_metrics(hallucination_monitoring, metrics):
    assert metrics == hallucination_monitoring


@finding(
    "told by a system prompt to make answers up, a model does so more than when told to admit what it does not know",
    id="CONF-5",
    tier="quick",
)
def test_instructions_change_responses(hallucination_instructions):
    assert above(hallucination_instructions.shown_positive_less_negative, 0, source=NONE)


@finding(
    "a model's own yes or no finds more made-up details where its system prompt asked for them",
    id="CONF-5",
    tier="quick",
)
def test_self_judgement_changes(hallucination_self_judgement):
    # 0.1: a tenth of the way from a sure no to a sure yes
    assert above(hallucination_self_judgement.score_positive_less_negative, 0, worth=0.1, source=NONE)


@finding(
    "the hallucination vector of response tokens comes out alike from two halves of the responses",
    id="CONF-5",
    tier="quick",
)
def test_stable_response(hallucination_extraction):
    r = hallucination_extraction
    assert above(r.response_half_cosine, r.response_half_cosine_shuffled)


@finding(
    "adding the hallucination vector of response tokens makes a model answer what it did not know; control vectors do not",
    id="CONF-5",
    tier="quick",
)
def test_raised_response(hallucination_steering):
    r = hallucination_steering
    assert above(r.response_raised_less_random, 0, source=NONE) & above(r.response_raised_less_shuffled, 0, source=NONE)


@finding(
    "subtracting the hallucination vector of response tokens makes a model not know what it answered; control vectors do not",
    id="CONF-5",
    tier="quick",
)
def test_lowered_response(hallucination_steering):
    r = hallucination_steering
    assert above(r.response_lowered_less_random, 0, source=NONE) & above(
        r.response_lowered_less_shuffled, 0, source=NONE
    )


@finding(
    "the hallucination vector of response tokens acts more at the layer chosen on other prompts than at the average one",
    id="CONF-5",
    tier="quick",
)
def test_layer_response(hallucination_steering):
    r = hallucination_steering
    assert above(r.response_changed_less_mean_layer, 0, source=NONE) & above(
        r.response_changed_less_random, 0, source=NONE
    )


@finding(
    "projections on the hallucination vector of response tokens predict which responses hallucinate",
    id="CONF-5",
    tier="quick",
)
def test_monitors_response(hallucination_monitoring):
    assert above(hallucination_monitoring.response_correlation, 0, source="no relation")


@finding(
    "projections on the hallucination vector of response tokens predict better than on random directions",
    id="CONF-5",
    tier="quick",
)
@not_replicated(
    "llama_tiny",
    tier="quick",
    reason="a correlation of 0.08 [-0.25, 0.41]; one in twenty random directions reaches 0.51",
)
def test_monitors_better_than_random_response(hallucination_monitoring):
    r = hallucination_monitoring
    assert above(r.response_correlation, r.response_correlation_random_95, source="95 % of random directions")


@finding(
    "the hallucination vector of last prompt tokens comes out alike from two halves of the responses",
    id="CONF-5",
    tier="quick",
)
def test_stable_prompt_last(hallucination_extraction):
    r = hallucination_extraction
    assert above(r.prompt_last_half_cosine, r.prompt_last_half_cosine_shuffled)


@finding(
    "adding the hallucination vector of last prompt tokens makes a model answer what it did not know; control vectors do not",
    id="CONF-5",
    tier="quick",
)
def test_raised_prompt_last(hallucination_steering):
    r = hallucination_steering
    assert above(r.prompt_last_raised_less_random, 0, source=NONE) & above(
        r.prompt_last_raised_less_shuffled, 0, source=NONE
    )


@finding(
    "subtracting the hallucination vector of last prompt tokens makes a model not know what it answered; control vectors do not",
    id="CONF-5",
    tier="quick",
)
def test_lowered_prompt_last(hallucination_steering):
    r = hallucination_steering
    assert above(r.prompt_last_lowered_less_random, 0, source=NONE) & above(
        r.prompt_last_lowered_less_shuffled, 0, source=NONE
    )


@finding(
    "the hallucination vector of last prompt tokens acts more at the layer chosen on other prompts than at the average one",
    id="CONF-5",
    tier="quick",
)
def test_layer_prompt_last(hallucination_steering):
    r = hallucination_steering
    assert above(r.prompt_last_changed_less_mean_layer, 0, source=NONE) & above(
        r.prompt_last_changed_less_random, 0, source=NONE
    )


@finding(
    "projections on the hallucination vector of last prompt tokens predict which responses hallucinate",
    id="CONF-5",
    tier="quick",
)
def test_monitors_prompt_last(hallucination_monitoring):
    assert above(hallucination_monitoring.prompt_last_correlation, 0, source="no relation")


@finding(
    "projections on the hallucination vector of last prompt tokens predict better than on random directions",
    id="CONF-5",
    tier="quick",
)
@not_replicated(
    "llama_tiny",
    "gemma_tiny",
    tier="quick",
    reason="almost any direction parts these prompts: 0.79 and 0.77; one in twenty random directions reaches 0.72 and 0.76",
)
def test_monitors_better_than_random_prompt_last(hallucination_monitoring):
    r = hallucination_monitoring
    assert above(r.prompt_last_correlation, r.prompt_last_correlation_random_95, source="95 % of random directions")
