"""Plan V2's table of depths beside what was measured: writes docs/plan-table.md from the snapshots.

    python suites/scaling/plan_table.py                        # makes the page again, after a new recording

A model without snapshots of this folder is not in the table, and one whose phenomenon has no best layer is there with the reason.
"""

import sys
from pathlib import Path

from plan_v2 import PICKED

from assay.errors import SnapshotError
from assay.methods.depth import depth_percent
from assay.report.read import read_snapshots

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "plan-table.md"
EXPERIMENTS = {
    "Refusal": ("refusal_best_layer", "refusal"),
    "Sycophancy, the user's view": ("view_best_layer", "sycophancy"),
    "Sycophancy, contrastive vector": ("agreement_best_layer", "sycophancy"),
    "Confidence, known and made-up names": ("confidence_best_layer", "confidence"),
    "Truth": ("truth_best_layer", None),
    "Two-hop bridge": ("bridge_patched_best_layer", None),
    "Function vectors": ("function_vectors_best_layer", None),
}
"""Phenomenon -> (the experiment of its best layer, its name in the plan; None where the plan has no layers)."""
HEAD = """# Depths by effect, beside plan V2's

Plan V2 (phases 1 and 4) picked the layer of each phenomenon by the length of a difference in means, and found refusal at 60 to
65 % of the depth and sycophancy and confidence later. Here the layer is chosen by its effect: what its vector does to other
prompts than those it was found on, through later layers, less what random vectors of the same length do (`suites/scaling`); a
vector is as long as it is found. The interval goes from the first to the last layer that may be the one that does most. The
layers that length picks stand beside it.

Depth is 100 * layer / (L - 1), for all rows. The plan divides its layers of sycophancy and confidence by L, so it says 73 to 81 %
where these rows say 76 to 84 %; its table of phase 4 has 64, 80 and 96 % for refusal, sycophancy and confidence of Gemma 2B, from
its first version. Rows of the plan have no effect and no interval: it measured none. Built-in models (`..._tiny`) have 8 layers,
and each phenomenon where it was planted. A model without a row was not measured at this tier.

This page is made from the snapshots (tier {tier}): `python suites/scaling/plan_table.py` makes it again.
"""
COLUMNS = ("model", "layers", "depth by effect", "interval", "longest vector", "longest relative to the stream", "n")


def page(snapshots=ROOT / "snapshots", tier="quick"):
    """The text of docs/plan-table.md."""
    try:
        recorded = {one.name: one.models for one in read_snapshots(snapshots, tier)}
    except SnapshotError:
        recorded = {}
    parts = [HEAD.format(tier=tier)]
    for phenomenon, (name, in_plan) in EXPERIMENTS.items():
        rows = [of_plan(model, *picked) for model, picked in PICKED.get(in_plan, {}).items()]
        rows += [of_model(model, metrics) for model, metrics in recorded.get(name, {}).items()]
        parts.append(f"## {phenomenon}\n")
        parts.append(table(rows) if rows else "The plan has no number, and nothing is recorded.\n")
    return "\n".join(parts)


def of_plan(model, layer, n_layers):
    return (f"{model} (plan V2)", n_layers, "", "", depth(depth_percent(layer, n_layers), layer), "", "")


def of_model(model, metrics):
    if "not_eligible" in metrics:
        return (model, "", f"none: {metrics['not_eligible']}", "", "", "", "")
    best = metrics["depth"]
    lengths = [
        depth(float(metrics[f"{name}_depth"]), int(metrics[f"{name}_layer"])) if f"{name}_layer" in metrics else ""
        for name in ("norm", "relative_norm")
    ]
    low, high = (max(0.0, min(100.0, end)) for end in (best.low, best.high))
    interval = f"{low:.0f} to {high:.0f} %"
    return (model, int(metrics["n_layers"]), depth(float(best), int(metrics["layer"])), interval, *lengths, best.n)


def depth(percent, layer):
    return f"{percent:.0f} % (layer {layer})"


def table(rows):
    lines = [COLUMNS, ("---",) * len(COLUMNS), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(*map(Path, sys.argv[1:2])), encoding="utf-8")
