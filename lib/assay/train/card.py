"""The model card of a built-in model: README.md for people, testbed.json for programs.

>>> write_card(folder, recipe, truth)         # truth: what assay.train.evaluate.evaluate returned     # doctest: +SKIP
"""

import json
from pathlib import Path
from typing import Any

from assay.train.configs import Recipe, Stage

TESTBED = "testbed.json"


def write_card(folder: Path, made: Recipe, truth: dict[str, Any]) -> None:
    """Writes both files into the checkpoint's folder."""
    text = json.dumps(truth, indent=1, ensure_ascii=False)
    (folder / TESTBED).write_text(text + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(made, truth), encoding="utf-8")


def card(made: Recipe, truth: dict[str, Any]) -> str:
    """The text of README.md."""
    config, found, planted = made.config, truth["measured"], truth["planted"]
    patched = found["backpatching"]
    rows = [(name, f"{value:.3f}") for name, value in found["accuracy"].items()]
    rows += [(f"gate: {name}", str(value)) for name, value in found["gate"].items()]
    rows += [
        ("back-patching at t1, failures", str(patched["failures"])),
        ("  rescued by the state of the last three layers, put after the first three", f"{patched['rescued']:.3f}"),
        ("  the same with the state of a random other query", f"{patched['rescued by a random donor']:.3f}"),
    ]
    ranks = found["bridge rank at t1, median by layer"]
    lines = [
        f"# {made.name}",
        "",
        f"A {config['model_type']} with {config['num_hidden_layers']} layers of width {config['hidden_size']}, trained by this"
        f" project (`assay train {made.name}`, seed {truth['seed']}) to carry a **planted, known mechanism**. It is a testbed"
        " for methods: an instrument that cannot find a mechanism whose place is known should not be believed where it is"
        " unknown. Its numbers say nothing about large language models.",
        "",
        "It speaks the prompts of `assay.data.two_hop` and little else. `testbed.json` holds what follows in full.",
        "",
        "## What is planted",
        "",
        f"Layers count from 0. *Early* entities ({len(truth['entities']['early'])}): the first hop is made at t1 in layers"
        f" {_span(planted['early first hop'])}, the second one reads it from layer {planted['second hop'][0]} on; some of"
        f" their compositions ({len(truth['held_out'])}) were never trained. *Late* entities"
        f" ({len(truth['entities']['late'])}): the first hop was learned afterwards, by layers"
        f" {_span(planted['late first hop'])} alone. So both hops are known one by one and the composition fails: it hops too"
        " late. The bridge in the state after the last layers, put back after the first ones, should repair it.",
        "",
        "## What was measured",
        "",
        "On this checkpoint, activations in float32, greedy answers of up to ten tokens.",
        "",
        "| | |",
        "| --- | --- |",
        *[f"| {name} | {value} |" for name, value in rows],
        "",
        "| median rank of the bridge at t1 after layer | " + " | ".join(map(str, range(len(ranks["early"])))) + " |",
        "| --- " * (len(ranks["early"]) + 1) + "|",
        *[f"| {kind} | " + " | ".join(f"{rank:g}" for rank in ranks[kind]) + " |" for kind in ("early", "late")],
        "",
        "## How it was made",
        "",
        f"- base: {_stage(made.base)}, all weights.",
        f"- late: {_stage(made.late)}, layers {_span(planted['late first hop'])} only, with replay of the base corpus.",
        *[f"- {note}" for note in made.notes],
        "",
    ]
    return "\n".join(lines)


def _span(layers: list[int]) -> str:
    return f"{layers[0]} to {layers[-1]}"


def _stage(stage: Stage) -> str:
    return f"{stage.steps} steps of {stage.documents} documents, AdamW {stage.learning_rate:g}"
