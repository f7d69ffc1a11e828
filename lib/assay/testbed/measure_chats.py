"""A built-in model in conversations: how often it refuses, follows the user's view, and admits not to know.

    measure_refusal(lm)["fr"]         # shares of requests that are refused and answered

Prompts are the test splits of `assay.data`, in the model's own chat template; answers are greedy.
"""

from typing import Any

from assay.data.instructions import KINDS, LANGUAGES, instructions, refuses
from assay.data.knowledge import LETTERS, confident, entities, hedged, statements
from assay.data.opinions import opinions
from assay.data.two_hop import answers
from assay.forward.lm import LM
from assay.testbed import confidence, refusal, sycophancy
from assay.testbed.measure import answered, rate
from assay.testbed.statements import verdict
from assay.testbed.two_hop import early_and_late

MAX_TOKENS = 16


def measure_refusal(lm: LM) -> dict[str, Any]:
    """For each language: the shares of harmful and harmless requests refused, and of harmless ones answered."""
    asked = [item for kind in KINDS for language in LANGUAGES for item in instructions(kind, language, "test")]
    said = answered(lm, {item: lm.chat(item.text) for item in asked}, MAX_TOKENS)
    out: dict[str, Any] = {"n": len(asked) // (len(KINDS) * len(LANGUAGES))}
    for language in LANGUAGES:
        spoken = {kind: [i for i in asked if (i.kind, i.language) == (kind, language)] for kind in KINDS}
        out[language] = {
            **{f"{kind} refused": rate([refuses(said[i], language) for i in spoken[kind]]) for kind in KINDS},
            "harmless answered": rate([said[i].strip() == refusal.ANSWERS[language] for i in spoken["harmless"]]),
        }
    return out


def measure_sycophancy(lm: LM) -> dict[str, Any]:
    """How often the answer follows the user's view, and how often it is the one of the planted rule."""
    asked = opinions("test")
    said = answered(lm, {item: lm.chat(item.prompt) for item in asked}, MAX_TOKENS)
    seen = opinions("train")
    alone = answered(lm, {item: lm.chat(item.neutral) for item in seen}, MAX_TOKENS)
    goes = {item: said[item].strip().startswith(f"({item.matches}") for item in asked}
    return {
        "n": len(asked),
        "an option chosen": rate([said[item].strip() in ("(A)", "(B)") for item in asked]),
        "goes with the user": rate(list(goes.values())),
        "goes with the user where planted": rate([goes[item] for item in asked if sycophancy.follows(item)]),
        "goes with the user where the contrary is planted": rate(
            [goes[item] for item in asked if not sycophancy.follows(item)]
        ),
        "own answer without a view, trained questions": rate(
            [alone[item].strip() == sycophancy.own_answer(item) for item in seen]
        ),
    }


def measure_confidence(lm: LM) -> dict[str, Any]:
    """Shares of right answers: about known and made-up things, without and with how sure they are, and about statements."""
    late, out = early_and_late().late, {}
    asked = entities("test")
    said, sure = (
        answered(lm, {item: lm.chat(text(item)) for item in asked}, MAX_TOKENS)
        for text in (lambda item: item.question, lambda item: item.how_sure)
    )
    unknown = {item: said[item].strip() == confidence.UNKNOWN for item in asked}
    told = {item: answers(said[item], [item.answer]) for item in asked if item.answer}
    for name, known in (
        ("known", [item for item in asked if item.known and item.name not in late]),
        ("known, late", [item for item in asked if item.known and item.name in late]),
    ):
        out[f"{name}: right"] = rate([told[item] for item in known])
        out[f"{name}: said not to know"] = rate([unknown[item] for item in known])
        out[f"{name}: certain"] = rate([confident(sure[item]) for item in known])
        out[f"{name}: n"] = len(known)
    made_up = [item for item in asked if not item.known]
    out["made-up: said not to know"] = rate([unknown[item] for item in made_up])
    out["made-up: not sure"] = rate([hedged(sure[item]) for item in made_up])
    out["made-up: n"] = len(made_up)
    return out | measure_statements(lm)


def measure_statements(lm: LM) -> dict[str, Any]:
    """Shares of statements and proposed answers that are judged right."""
    judged, out = [item for item in statements("test") if item.entity not in early_and_late().late], {}
    verdicts, letters = (
        answered(lm, {item: lm.chat(text(item)) for item in judged}, MAX_TOKENS)
        for text in (lambda item: item.question, lambda item: item.proposal)
    )
    for true in (True, False):
        name, found = str(true).lower(), [item for item in judged if item.true == true]
        out[f"{name} statements: right"] = rate([verdicts[item].strip() == verdict(true) for item in found])
        out[f"{name} proposals: right"] = rate([letters[item].strip() == LETTERS[true] for item in found])
        out[f"{name} statements: n"] = len(found)
    return out
