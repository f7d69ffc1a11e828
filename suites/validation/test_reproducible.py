"""Two runs give the same bytes: logits, every residual state, a greedy and a seeded sampled continuation, and a sweep."""

import numpy as np

import assay
from assay.data.two_hop import two_hop
from assay.plugin import Metric, experiment, finding, holds


@experiment
def reproducible(lm, tier):
    prompts = [q.prompt for q in two_hop(limit=tier.choose(smoke=2, quick=6, full=24))]
    same = dict.fromkeys(("run", "greedy", "sampled", "sweep"), 0)
    for prompt in prompts:
        first, second = outputs(lm, prompt), outputs(lm, prompt)
        for what in same:
            same[what] += first[what] == second[what]
    other_seed = sum(outputs(lm, p)["sampled"] != outputs(lm, p, seed=1)["sampled"] for p in prompts)
    return {
        **{f"same_{w}": Metric.rate(k, len(prompts)) for w, k in same.items()},
        "other_seed_differs": Metric(other_seed, tol=len(prompts)),
    }


def outputs(lm, prompt, seed=0):
    run = lm.run(prompt, keep="resid_post")
    states = b"".join(np.array(run["resid_post", i]).tobytes() for i in range(lm.n_layers))
    sweep = lm.sweep(prompt, [assay.zero("z", layer=0, head=h, position=-1) for h in range(lm.n_heads)], logits=True)
    return {
        "run": np.array(run.logits).tobytes() + states,
        "greedy": lm.generate(prompt, max_tokens=8).tokens,
        "sampled": lm.generate(prompt, max_tokens=8, temperature=1.5, seed=seed).tokens,
        "sweep": sweep.logits.tobytes(),
    }


def test_metrics(reproducible, metrics):
    assert metrics == reproducible


@finding("two runs give the same bytes", id="PLAN-0.0")
def test_same_bytes(reproducible):
    same = {what: reproducible[f"same_{what}"] for what in ("run", "greedy", "sampled", "sweep")}
    assert holds(all(share == 1 for share in same.values()), why="every prompt gave the same bytes twice")
