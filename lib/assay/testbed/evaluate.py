"""The contents of testbed.json: the planted truth, and measurements of the saved checkpoint.

>>> from assay.testbed.configs import recipe
>>> planted_truth(recipe("llama_tiny"))["in-context tasks"]["heads"]
[2, 5]
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from assay.data.knowledge import LETTERS, entities
from assay.data.opinions import opinions
from assay.data.two_hop import file_hash
from assay.testbed import confidence, refusal, statements, sycophancy
from assay.testbed.configs import STAGES, Recipe
from assay.testbed.corpus import corpus_hash
from assay.testbed.measure import load_for_measuring, rate
from assay.testbed.measure_chats import measure_confidence, measure_refusal, measure_sycophancy
from assay.testbed.measure_hops import measure_hops
from assay.testbed.measure_lists import measure_lists
from assay.testbed.two_hop import early_and_late


def evaluate(folder: Path, made: Recipe, seed: int) -> dict[str, Any]:
    """Measure a checkpoint -> the contents of testbed.json."""
    parts, lm = early_and_late(), load_for_measuring(folder)
    return {
        "name": made.name,
        "seed": seed,
        "facts": file_hash(),
        "corpus": corpus_hash(),
        "stages": {name: asdict(getattr(made, name)) for name in STAGES},
        "notes": list(made.notes),
        "planted": planted_truth(made),
        "entities": {"early": sorted(parts.early), "late": sorted(parts.late)},
        "held_out": [query.id for query in parts.held_out],
        "measured": {
            **measure_hops(lm),
            "in-context tasks": measure_lists(lm, made.planted),
            "refusal": measure_refusal(lm),
            "sycophancy": measure_sycophancy(lm),
            "confidence": measure_confidence(lm),
        },
    }


def planted_truth(made: Recipe) -> dict[str, Any]:
    """The planted mechanisms and their layers and heads, counted from 0."""
    planted, n_layers, own = made.planted, made.config["num_hidden_layers"], made.planted.duplicate_token_heads
    shared = made.config["num_attention_heads"] // made.config["num_key_value_heads"]
    return {
        "early first hop": list(range(planted.shaped)),
        "early bridge at t1 from layer": [planted.early_lens],
        "second hop": list(range(planted.shaped, n_layers)),
        "late first hop": list(range(planted.late_from, n_layers)),
        "late bridge at t1 from layer": [planted.late_lens],
        "back-patching sources": list(range(planted.late_lens, n_layers)),
        "back-patching targets": list(range(planted.shaped)),
        "duplicate-token heads, from the first weights": [
            {
                "layer": layer,
                "heads": [i for i in range(made.config["num_attention_heads"]) if (layer, i // shared) in own],
            }
            for layer in sorted({layer for layer, _ in own})
        ],
        "in-context tasks": {
            "layer": planted.task_layer,
            "heads": list(planted.task_heads),
            "task at labels from layer": planted.label_lens,
            "task before the answer from layer": planted.task_lens,
            "pairs of all splits are trained, lists are not": True,
        },
        "refusal": {
            "languages": list(refusal.TRAINED),
            "untrained languages": [refusal.UNTRAINED],
            "decided before layer": planted.decided,
            "decision at the last token from layer": planted.decision_lens,
            "the lens reads": refusal.DECISIONS,
            "positions": "the template's tokens behind the request",
            "read off one direction from layer": planted.decided,
        },
        "sycophancy": {
            "share of contexts that is followed": rate([sycophancy.follows(item) for item in opinions()]),
            "not followed": sycophancy.CONTRARY,
            "named or not, at the end of an option from layer": [planted.named_lens],
            "its letter, at the end of the chosen option from layer": [planted.chosen_lens],
            "the lens reads": {"named": sycophancy.NAMED[True], "other": sycophancy.NAMED[False]},
        },
        "confidence": {
            "bridge or unknown, at the end of a name from layer": [planted.early_lens],
            "the answer, before the stated one from layer": [planted.said_lens],
            "right or wrong, at a stated answer from layer": [planted.verdict_lens],
            "the lens reads": {
                "unknown": confidence.NOT_KNOWN,
                "true": statements.RIGHT[True],
                "false": statements.RIGHT[False],
            },
            "said to a proposal": {"true": LETTERS[True], "false": LETTERS[False]},
            "confident": confidence.CERTAIN,
            "hedged": confidence.NOT_SURE,
            "unknown": [item.name for item in entities() if not item.known],
        },
    }
