"""Facts and compositions of a built-in model: answers, lens ranks and back-patching.

    >>> query = early_and_late().late_queries[0]
    >>> judge(lm, [query])[query.id]
    Judged(prompt=False, first_hop=True, second_hop=True, e1_shortcut=False, r1_shortcut=False)

Answers are judged as in the paper: greedy, up to ten tokens, right when a name of the answer is in the text. The numbers go
into the model card; the suites measure the same with more controls.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import mlx.core as mx
from tqdm import tqdm

from assay.data.two_hop import TwoHop, answers
from assay.forward.answers import until
from assay.forward.edits import replace
from assay.forward.lm import LM
from assay.forward.positions import resolve
from assay.forward.sweep import SWEEPABLE
from assay.testbed.measure import MAX_TOKENS, answered
from assay.testbed.two_hop import early_and_late

LAST_SOURCES, FIRST_TARGETS = 3, 3  # back-patching from the last three layers to the first three


def measure_hops(lm: LM, sample: int | None = None, patched: int = 100) -> dict[str, Any]:
    """Accuracies, gate counts, lens ranks and back-patching.

    sample: at most so many queries of each kind; patched: at most so many failures are back-patched.
    """
    parts = early_and_late()
    rng = random.Random(0)
    kinds = {
        name: rng.sample(queries, min(sample or len(queries), len(queries)))
        for name, queries in (("trained", parts.trained), ("held out", parts.held_out), ("late", parts.late_queries))
    }
    judged = judge(lm, [query for queries in kinds.values() for query in queries])
    early, late = kinds["trained"] + kinds["held out"], kinds["late"]
    right = [query for query in early if judged[query.id].gate and judged[query.id].prompt]
    wrong = [query for query in late if judged[query.id].gate and not judged[query.id].prompt]

    def share(queries: Iterable[TwoHop], flag: str) -> float:
        flags = [getattr(judged[query.id], flag) for query in queries]
        return round(sum(flags) / len(flags), 4) if flags else float("nan")

    return {
        "n": {name: len(queries) for name, queries in kinds.items()},
        "accuracy": {
            "first hop, early": share(early, "first_hop"),
            "first hop, late": share(late, "first_hop"),
            "second hop": share(early + late, "second_hop"),
            "two hops, trained": share(kinds["trained"], "prompt"),
            "two hops, held out": share(kinds["held out"], "prompt"),
            "two hops, late": share(late, "prompt"),
            "e1 shortcut, early": share(early, "e1_shortcut"),
            "e1 shortcut, late": share(late, "e1_shortcut"),
            "r1 shortcut": share(early + late, "r1_shortcut"),
        },
        "gate": {
            "early, passed": sum(judged[query.id].gate for query in early),
            "early, passed and right": len(right),
            "late, passed": sum(judged[query.id].gate for query in late),
            "late, passed and wrong": len(wrong),
        },
        "bridge rank at t1, median by layer": {
            "early": bridge_ranks(lm, rng.sample(early, min(200, len(early)))),
            "late": bridge_ranks(lm, rng.sample(late, min(200, len(late)))),
        },
        "backpatching": backpatching(lm, rng.sample(wrong, min(patched, len(wrong))), late),
    }


# --- answers ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """Whether the model's answer to each of a query's five prompts is right."""

    prompt: bool
    first_hop: bool
    second_hop: bool
    e1_shortcut: bool
    r1_shortcut: bool

    @property
    def gate(self) -> bool:
        """Both hops alone right and both shortcuts wrong (HTL-1)."""
        return self.first_hop and self.second_hop and not (self.e1_shortcut or self.r1_shortcut)


def judge(lm: LM, queries: Sequence[TwoHop]) -> dict[str, Judged]:
    """Answer and judge all five prompts of every query, by the query's id."""
    fields = ("prompt", "first_hop", "second_hop", "e1_shortcut", "r1_shortcut")
    texts = answered(lm, {getattr(query, field): getattr(query, field) for query in queries for field in fields})
    return {
        query.id: Judged(
            **{
                field: answers(
                    texts[getattr(query, field)], query.e2_aliases if field == "first_hop" else query.e3_aliases
                )
                for field in fields
            }
        )
        for query in queries
    }


# --- inside -----------------------------------------------------------------------------------------------


def t1(lm: LM, query: TwoHop) -> int:
    """The position of t1 in the query's prompt."""
    return resolve(query.r1_phrase, lm.prompt(query.prompt)).prompt[0]


def states_at_t1(lm: LM, queries: Sequence[TwoHop]) -> list[mx.array]:
    """resid_post at t1 of every layer, [layers, E] for each query."""
    out = []
    for query in queries:
        run = lm.run(query.prompt, keep="resid_post")
        out.append(mx.stack([run["resid_post", i][0, t1(lm, query)] for i in range(lm.n_layers)]))
    mx.eval(out)
    return out


def bridge_ranks(lm: LM, queries: Sequence[TwoHop]) -> list[float]:
    """Median over queries of the rank of the bridge's first token at t1 through the logit lens, layer by layer."""
    ranks = []
    for query, states in zip(queries, states_at_t1(lm, queries), strict=True):
        logits = lm.family.unembed(lm.family.final_norm(states))
        bridge = lm.token(f" {query.e2}", after=until(lm.prompt(query.prompt), t1(lm, query)))
        ranks.append((logits > logits[:, [bridge]]).sum(axis=-1).tolist())
    return [median(layer) for layer in zip(*ranks, strict=True)]


def backpatching(lm: LM, failures: Sequence[TwoHop], donors: Sequence[TwoHop]) -> dict[str, Any]:
    """Back-patch each failure at t1, last layers to first ones: with its own state, and with that of a random donor.

    Returns the share of failures that any pair rescues, for both, and the share that each pair rescues, by "source>target".
    """
    n = lm.n_layers
    pairs = [(s, t) for s in range(n - LAST_SOURCES, n) for t in range(FIRST_TARGETS) if s > t]
    rng = random.Random(1)
    others = [rng.choice([d for d in donors if d.e1 != query.e1]) for query in failures]
    own, foreign = states_at_t1(lm, failures), states_at_t1(lm, others)
    hits = {"own": [0] * len(pairs), "foreign": [0] * len(pairs)}
    best = {"own": 0, "foreign": 0}
    for query, *states in tqdm(
        list(zip(failures, own, foreign, strict=True)), desc=f"back-patching {lm.name}", delay=1.0, leave=False
    ):
        clean = lm.run(query.prompt, keep=SWEEPABLE)
        for kind, state in zip(best, states, strict=True):
            patches = [replace("resid_post", state[s], layer=t, position=t1(lm, query)) for s, t in pairs]
            sweep = lm.sweep(clean, patches, max_tokens=MAX_TOKENS, progress=False)
            right = [answers(made.text, query.e3_aliases) for made in sweep.continuations or ()]
            best[kind] += any(right)
            hits[kind] = [a + b for a, b in zip(hits[kind], right, strict=True)]
    total = max(1, len(failures))
    return {
        "failures": len(failures),
        "rescued": round(best["own"] / total, 4),
        "rescued by a random donor": round(best["foreign"] / total, 4),
        "by pair": {f"{s}>{t}": round(hit / total, 4) for (s, t), hit in zip(pairs, hits["own"], strict=True)},
    }
