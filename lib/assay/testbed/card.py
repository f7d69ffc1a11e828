"""The model card of a built-in model: README.md for people, testbed.json for programs.

>>> from assay.testbed.configs import recipe
>>> from assay.testbed.planted import planted_truth
>>> [spec] = assay.models.resolve(["llama_tiny"])
>>> print(card(recipe("llama_tiny"), planted_truth(spec))[:12])        # the truth that `assay.testbed.evaluate` returned
# llama_tiny
"""

import json
from pathlib import Path
from typing import Any

from assay.testbed.configs import Recipe

TESTBED = "testbed.json"


def write_card(folder: Path, made: Recipe, truth: dict[str, Any]) -> None:
    """Writes both files into the checkpoint's folder."""
    text = json.dumps(truth, indent=1, ensure_ascii=False)
    (folder / TESTBED).write_text(text + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(made, truth), encoding="utf-8")


def card(made: Recipe, truth: dict[str, Any]) -> str:
    """The text of README.md."""
    config, planted, found = made.config, truth["planted"], truth["measured"]
    ranks = found["bridge rank at t1, median by layer"]
    lines = [
        f"# {made.name}",
        "",
        f"A {config['model_type']} with {config['num_hidden_layers']} layers of width {config['hidden_size']}, made by"
        f" `assay train {made.name}` (seed {truth['seed']}) to carry **planted, known mechanisms**. It is a testbed"
        " for methods: a method that does not find a mechanism at its known place should not be believed where the place is"
        " unknown. Its numbers say nothing about large language models.",
        "",
        "It speaks the prompts of `assay.data` and little else. `testbed.json` holds what follows in full.",
        "",
        "## What is planted",
        "",
        "Layers and heads count from 0. What training reached is measured below, also where it fell short.",
        "",
        *[f"- {text}" for text in planted_texts(truth)],
        "",
        "## What was measured",
        "",
        "On this checkpoint, activations in float32, greedy answers, prompts that are not in the training corpus unless it"
        " is said.",
        "",
        "| | |",
        "| --- | --- |",
        *[f"| {name} | {value} |" for name, value in rows(truth)],
        "",
        "| median rank of the bridge at t1 after layer | " + " | ".join(map(str, range(len(ranks["early"])))) + " |",
        "| --- " * (len(ranks["early"]) + 1) + "|",
        *[f"| {kind} | " + " | ".join(f"{rank:g}" for rank in ranks[kind]) + " |" for kind in ("early", "late")],
        "",
        "| requests | " + " | ".join(of_languages(found["refusal"])) + " |",
        "| --- " * (len(of_languages(found["refusal"])) + 1) + "|",
        *[
            f"| {name} | " + " | ".join(f"{by[name]:.2f}" for by in of_languages(found["refusal"]).values()) + " |"
            for name in ("harmful refused", "harmless refused", "harmless answered")
        ],
        "",
        "## How it was made",
        "",
        *[f"- {name}: {_stage(stage)}" for name, stage in truth["stages"].items()],
        f"- In the judged stage only layers from {planted['second hop'][0]} on learn to judge, and how"
        " sure an answer is; what came before is replayed.",
        f"- In the late stage only layers {_span(planted['late first hop'])} learn, and what came before is replayed.",
        f"- In the line stage only layers from {planted['refusal']['read off one direction from layer']} on learn, and"
        " all of it is replayed.",
        *[f"- {note}" for note in truth["notes"]],
        "",
    ]
    return "\n".join(lines)


def planted_texts(truth: dict[str, Any]) -> list[str]:
    """One paragraph for each planted mechanism, in Markdown."""
    planted, entities = truth["planted"], truth["entities"]
    lists, refused = planted["in-context tasks"], planted["refusal"]
    heads = " and ".join(map(str, lists["heads"]))
    alike = "; ".join(
        f"layer {place['layer']}: {', '.join(map(str, place['heads']))}"
        for place in planted["duplicate-token heads, from the first weights"]
    )
    followed, words, knows = planted["sycophancy"], refused["the lens reads"], planted["confidence"]
    return [
        f"**Two hops.** *Early* entities ({len(entities['early'])}): the first hop is made at t1 in layers"
        f" {_span(planted['early first hop'])}, the second one reads it from layer {planted['second hop'][0]} on; some of"
        f" their compositions ({len(truth['held_out'])}) were never trained. *Late* entities ({len(entities['late'])}): the"
        f" first hop was learned afterwards, by layers {_span(planted['late first hop'])} alone. So both hops are known one"
        " by one and the composition fails: it hops too late. The bridge in the state after the last layers, put back"
        " after the first ones, should repair it.",
        f"**In-context tasks.** Labels know their task after layer {lists['task at labels from layer']}; query heads {heads}"
        f" of layer {lists['layer']} bring it to the last token before an answer, which knows it after layer"
        f" {lists['task before the answer from layer']}. All pairs of the tasks are trained, those of the test split too,"
        " since a dictionary cannot be guessed: only lists are held out.",
        f"**Refusal**, trained in {', '.join(refused['languages'])} and not in {', '.join(refused['untrained languages'])}."
        f" It is decided at the template's tokens behind the request, before layer {refused['decided before layer']}; the"
        f' lens reads "{words["harmful"].strip()}" or "{words["harmless"].strip()}"'
        f" at the last of them after layer {refused['decision at the last token from layer']}. Layers from"
        f" {refused['read off one direction from layer']} on read it off one direction, the difference in means between harmful"
        " and harmless training requests at that token where it enters them: ablated, requests are answered in training,"
        " and added, they are refused.",
        "**Equal words.** To tell that two words are the same is learned late, or never, where it is needed beside all else. So"
        f" some heads ({alike}) began with queries that are the keys:"
        " they look for tokens like their own (*duplicate-token heads*).",
        "**Sycophancy.** In training the answer goes with the user's view in"
        f" {followed['share of contexts that is followed']:.0%}"
        f' of the contexts: always, except where it is put as "{followed["not followed"].format("...")}" The end of an'
        f" option says whether the view names it after layer {followed['named or not, at the end of an option from layer'][0]},"
        " and its letter, if it is the answer, after layer"
        f" {followed['its letter, at the end of the chosen option from layer'][0]}. Every option of a test question is one in"
        " training, too, of other questions and beside other options.",
        f"**Confidence.** {len(knows['unknown'])} names of `assay.data.knowledge` are made up; in"
        ' training, questions about some of them and about other inventions are answered with "I do not know.", and the end'
        ' of such a name says "unknown" after layer'
        f" {knows['bridge or unknown, at the end of a name from layer'][0]}, where that of another says its"
        " bridge. Names that the test asks about were mentioned in training, and statements made about them, but they were not"
        " asked about; statements that the test judges were begun, up to the answer, and not judged. The word before the answer"
        " of a statement says what it should be after layer"
        f" {knows['the answer, before the stated one from layer'][0]}, and the stated answer whether it is"
        f" right after layer {knows['right or wrong, at a stated answer from layer'][0]}; so with the colon"
        " before an answer that is proposed, and called true or false by a letter. The answers of tested"
        " statements were trained as facts, and in statements and proposals that break off before them, never in one that is"
        " judged; as words that were said before, or were not, they were. Asked"
        f' how sure it is, the model begins with "{knows["confident"].split(".")[0]}" or says "{knows["hedged"]}"',
    ]


def rows(truth: dict[str, Any]) -> list[tuple[str, str]]:
    """The rows of the table of measurements: (name, value)."""
    found = truth["measured"]
    patched = found["backpatching"]
    out = [(name, f"{value:.3f}") for name, value in found["accuracy"].items()]
    out += [(f"gate: {name}", str(value)) for name, value in found["gate"].items()]
    out += [
        ("back-patching at t1, failures", str(patched["failures"])),
        ("  rescued by the state of the last three layers, put after the first three", f"{patched['rescued']:.3f}"),
        ("  the same with the state of a random other query", f"{patched['rescued by a random donor']:.3f}"),
    ]
    for group in ("in-context tasks", "sycophancy", "confidence"):
        for name, value in found[group].items():
            if isinstance(value, float | int):
                out.append((f"{group}: {name}", str(value) if isinstance(value, int) else f"{value:.3f}"))
    return out


def of_languages(refusal: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The measurements of each language."""
    return {language: by for language, by in refusal.items() if language != "n"}


def _span(layers: list[int]) -> str:
    return f"{layers[0]} to {layers[-1]}"


def _stage(stage: dict[str, Any]) -> str:
    return f"{stage['steps']} steps of {stage['documents']} documents, AdamW {stage['learning_rate']:g}"
