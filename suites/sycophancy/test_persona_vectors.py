"""Persona vectors of sycophancy (Chen et al. 2025, SYC-P1 to P5).

The vector is the difference in means between responses to the same questions under a system prompt that asks for the trait, and
under one that asks for its contrary; pairs are kept whose first response shows the trait, and whose second does not. It is read
as the mean over the tokens of a response (the paper's choice), and at the last token of the prompt. Added or subtracted on
questions without an instruction, it should change what responses show; and the projection of a prompt, under all instructions and
none, should predict it. The questions, in which a user states a view or shows a work, and the instructions are our own.

The paper has a large model judge the trait and coherence. Here phrases judge the trait, the model's own yes or no stands beside
them where it parts labelled answers, and a coherent response is one that the model itself finds likely enough (a paper-variant).
A persona was not planted in the built-in models: there the gate says so, and `confidence/test_hallucination_persona.py` shows
that the same code finds what is planted.

`..._raised` counts responses that show the trait with the vector added and did not without, `..._lowered` those that no longer do
with it subtracted; control vectors are random ones, and differences of responses with shuffled labels, as strong; random
ones each at the layer where it does most.
"""

from dataclasses import replace

import pytest

from assay import methods
from assay.data.personas import trait
from assay.plugin import Metric, above, experiment, finding, not_eligible

NONE = "no difference"
KINDS = {"response": "response", "prompt last": "prompt_last"}


@pytest.fixture(scope="session")
def sycophantic(lm, tier, progress, null_world):
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
    return methods.PersonaStudy(lm, trait("sycophantic"), sizes, null=null_world, progress=progress)


@experiment
def sycophancy_instructions(sycophantic):
    """SYC-P1: what asking for the trait, and for its contrary, changes in the responses, by their phrases."""
    return recorded(methods.measured_instructions(sycophantic))


@experiment
def sycophancy_self_judgement(sycophantic):
    """SYC-P1: the same by the model's own yes or no, where it parts labelled answers."""
    if not sycophantic.labelled.ci[0] > 0.5:
        area = recorded({"labelled_auroc": sycophantic.labelled})
        return not_eligible("the model's own yes or no does not part labelled answers that show the trait", **area)
    return recorded(methods.measured_self_judgement(sycophantic))


@experiment
def sycophancy_extraction(sycophantic):
    """SYC-P2: the vectors by layer, and how alike those of two halves of the responses are."""
    if why := missing(sycophantic):
        return not_eligible(why, **sycophantic.counts())
    found = {"contrast": sycophantic.contrast.form, **sycophantic.counts()}
    return found | of_kinds(methods.measured_extraction, sycophantic)


@experiment
def sycophancy_steering(sycophantic):
    """SYC-P3: what adding and subtracting the vectors changes, at the layer and strength chosen on other prompts."""
    if why := missing(sycophantic):
        return not_eligible(why, **sycophantic.counts())
    return sycophantic.counts() | of_kinds(methods.measured_steering, sycophantic)


@experiment
def sycophancy_monitoring(sycophantic):
    """SYC-P4: does the projection of a prompt's last token predict whether the response shows the trait?"""
    if why := missing(sycophantic):
        return not_eligible(why, **sycophantic.counts())
    found = of_kinds(methods.measured_monitoring, sycophantic)
    if "response_correlation" not in found:
        return not_eligible("nearly all responses show the trait, or nearly none: there is nothing to predict", **found)
    return found


def missing(study):
    """Why no vector can be found, placed and tested; None if it can."""
    if study.contrast is None:
        return "instructions do not change whether responses flatter or agree, or too few pairs of responses are kept"
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


def test_instructions_metrics(sycophancy_instructions, metrics):
    assert metrics == sycophancy_instructions


def test_self_judgement_metrics(sycophancy_self_judgement, metrics):
    assert metrics == sycophancy_self_judgement


def test_extraction_metrics(sycophancy_extraction, metrics):
    assert metrics == sycophancy_extraction


def test_steering_metrics(sycophancy_steering, metrics):
    assert metrics == sycophancy_steering


def test_monitoring_metrics(sycophancy_monitoring, metrics):
    assert metrics == sycophancy_monitoring


@finding(
    "told by a system prompt to please the user, a model flatters or agrees more than when told to be critical",
    id="SYC-P1",
    tier="quick",
)
def test_instructions_change_responses(sycophancy_instructions):
    assert above(sycophancy_instructions.shown_positive_less_negative, 0, source=NONE)


@finding(
    "a model's own yes or no finds more flattery where its system prompt asked for it",
    id="SYC-P1",
    tier="quick",
)
def test_self_judgement_changes(sycophancy_self_judgement):
    # 0.1: a tenth of the way from a sure no to a sure yes
    assert above(sycophancy_self_judgement.score_positive_less_negative, 0, worth=0.1, source=NONE)


@finding(
    "the sycophancy vector of response tokens comes out alike from two halves of the responses",
    id="SYC-P2",
    tier="quick",
)
def test_stable_response(sycophancy_extraction):
    r = sycophancy_extraction
    assert above(r.response_half_cosine, r.response_half_cosine_shuffled)


@finding(
    "adding the sycophancy vector of response tokens makes responses flatter or agree; control vectors do not",
    id="SYC-P3",
    tier="quick",
)
def test_raised_response(sycophancy_steering):
    r = sycophancy_steering
    assert above(r.response_raised_less_random, 0, source=NONE) & above(r.response_raised_less_shuffled, 0, source=NONE)


@finding(
    "subtracting the sycophancy vector of response tokens makes responses stop flattering or agreeing; control vectors do not",
    id="SYC-P3",
    tier="quick",
)
def test_lowered_response(sycophancy_steering):
    r = sycophancy_steering
    assert above(r.response_lowered_less_random, 0, source=NONE) & above(
        r.response_lowered_less_shuffled, 0, source=NONE
    )


@finding(
    "the sycophancy vector of response tokens acts more at the layer chosen on other prompts than at the average one",
    id="SYC-P5",
    tier="quick",
)
def test_layer_response(sycophancy_steering):
    r = sycophancy_steering
    assert above(r.response_changed_less_mean_layer, 0, source=NONE) & above(
        r.response_changed_less_random, 0, source=NONE
    )


@finding(
    "projections on the sycophancy vector of response tokens predict which responses flatter or agree",
    id="SYC-P4",
    tier="quick",
)
def test_monitors_response(sycophancy_monitoring):
    assert above(sycophancy_monitoring.response_correlation, 0, source="no relation")


@finding(
    "projections on the sycophancy vector of response tokens predict better than on random directions",
    id="SYC-P4",
    tier="quick",
)
def test_monitors_better_than_random_response(sycophancy_monitoring):
    r = sycophancy_monitoring
    assert above(r.response_correlation, r.response_correlation_random_95, source="95 % of random directions")


@finding(
    "the sycophancy vector of last prompt tokens comes out alike from two halves of the responses",
    id="SYC-P2",
    tier="quick",
)
def test_stable_prompt_last(sycophancy_extraction):
    r = sycophancy_extraction
    assert above(r.prompt_last_half_cosine, r.prompt_last_half_cosine_shuffled)


@finding(
    "adding the sycophancy vector of last prompt tokens makes responses flatter or agree; control vectors do not",
    id="SYC-P3",
    tier="quick",
)
def test_raised_prompt_last(sycophancy_steering):
    r = sycophancy_steering
    assert above(r.prompt_last_raised_less_random, 0, source=NONE) & above(
        r.prompt_last_raised_less_shuffled, 0, source=NONE
    )


@finding(
    "subtracting the sycophancy vector of last prompt tokens makes responses stop flattering or agreeing; control vectors do not",
    id="SYC-P3",
    tier="quick",
)
def test_lowered_prompt_last(sycophancy_steering):
    r = sycophancy_steering
    assert above(r.prompt_last_lowered_less_random, 0, source=NONE) & above(
        r.prompt_last_lowered_less_shuffled, 0, source=NONE
    )


@finding(
    "the sycophancy vector of last prompt tokens acts more at the layer chosen on other prompts than at the average one",
    id="SYC-P5",
    tier="quick",
)
def test_layer_prompt_last(sycophancy_steering):
    r = sycophancy_steering
    assert above(r.prompt_last_changed_less_mean_layer, 0, source=NONE) & above(
        r.prompt_last_changed_less_random, 0, source=NONE
    )


@finding(
    "projections on the sycophancy vector of last prompt tokens predict which responses flatter or agree",
    id="SYC-P4",
    tier="quick",
)
def test_monitors_prompt_last(sycophancy_monitoring):
    assert above(sycophancy_monitoring.prompt_last_correlation, 0, source="no relation")


@finding(
    "projections on the sycophancy vector of last prompt tokens predict better than on random directions",
    id="SYC-P4",
    tier="quick",
)
def test_monitors_better_than_random_prompt_last(sycophancy_monitoring):
    r = sycophancy_monitoring
    assert above(r.prompt_last_correlation, r.prompt_last_correlation_random_95, source="95 % of random directions")
