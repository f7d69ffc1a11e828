"""The exact sweep over all heads (causal mediation) against one full forward per head, and the time of a whole study.

The naive side is plain mlx-lm, one forward of the ten-shot prompt for each head, timed on three of them and multiplied.
"""

import mlx.core as mx

from assay import methods
from assay.data.tasks import task
from assay.timing import medians, seconds


def prompts_of(lm, name, n):
    """Ten-shot prompts with shuffled labels."""
    return methods.draw_trials(lm, task(name), n_shots=10, split="valid", limit=n, labels="shuffled", copies=True)


def cost(lm, trials):
    """Layer-positions of the exact sweeps of all heads, clean runs included."""
    return sum(lm.n_layers * len(one.prompt) + lm.n_heads * lm.n_layers * (lm.n_layers + 1) // 2 for one in trials)


def test_head_sweep(lm, pace, row):
    one = prompts_of(lm, "country-capital", 1)[0]
    pace.require(cost(lm, [one]), "all heads of one prompt")
    means = methods.record_heads(lm, [one]).means()
    tokens = mx.array([one.prompt.tokens])
    naive, exact, estimate = medians(
        lambda: mx.eval(lm.model(tokens)),
        lambda: methods.head_effects(lm, one, means),
        lambda: methods.estimated_head_effects(lm, one, means),
    )
    heads = lm.n_layers * lm.n_heads
    row(
        "all heads, exact", lm.name, f"{len(one.prompt)} tokens", f"{heads} heads",
        f"{naive * heads / exact:.0f}x one forward per head", f"{exact * 1e3:.0f} ms",
        f"attribution patching {estimate * 1e3:.0f} ms",
    )  # fmt: skip
    assert abs(methods.head_effects(lm, one, means)).max() < 1e-5  # the means are its own values: nothing may change


def test_study_of_six_tasks(lm, pace, row):
    """The time of the paper's causal mediation: every head on 25 prompts of each of the six main tasks."""
    trials = [one for name in methods.MAIN_TASKS for one in prompts_of(lm, name, 25)]
    few = trials[:: pace.parts(cost(lm, trials))]  # a large model is timed on few prompts, and multiplied
    pace.require(cost(lm, few[:1]), "all heads of one prompt")
    means = methods.record_heads(lm, trials[:1]).means()
    took = seconds(lambda: [methods.head_effects(lm, one, means) for one in few]) * len(trials) / len(few)
    row(
        "mediation of 6 tasks x 25 prompts",
        lm.name,
        f"{lm.n_layers * lm.n_heads} heads",
        f"{took:.0f} s",
        f"{len(few)} timed",
    )
