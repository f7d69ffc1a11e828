"""Five-way evaluation of two-hop queries: does the model know both hops, and does it need them? (Biran et al. 2024, 3)

    >>> from assay.data.two_hop import two_hop
    >>> query = next(q for q in two_hop("state_capital") if q.e1 == "Dallas")
    >>> (tried,) = evaluate_queries(lm, [query])
    >>> tried.eligible, tried.composes                             # a failure to explain: both hops are known
    (True, False)

A query is *eligible* when the model answers both single hops and neither shortcut (without r1, without e1): then a right
composition is a composition, and a wrong one is a failure to compose what is known. Answers are greedy, up to ten tokens,
and right when they contain the answer or an alias, whatever the case.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from assay.data.two_hop import TwoHop, answers
from assay.forward.lm import LM
from assay.methods.portions import Track, batches

MAX_TOKENS = 10
HOPS = ("first_hop", "second_hop")
PROMPTS = ("prompt", "first_hop", "second_hop", "e1_shortcut", "r1_shortcut")


@dataclass(frozen=True)
class EvaluatedQuery:
    """A query and, for each of its five prompts, whether the model's answer was right."""

    query: TwoHop
    right: dict[str, bool]

    @property
    def knows_both_hops(self) -> bool:
        return self.right["first_hop"] and self.right["second_hop"]

    @property
    def takes_a_shortcut(self) -> bool:
        return self.right["e1_shortcut"] or self.right["r1_shortcut"]

    @property
    def eligible(self) -> bool:
        return self.knows_both_hops and not self.takes_a_shortcut

    @property
    def composes(self) -> bool:
        return self.right["prompt"]


def _expected(query: TwoHop, prompt: str) -> tuple[str, ...]:
    """What counts as right for one of the five prompts: the bridge for the first hop, else the final answer."""
    return query.e2_aliases if prompt == "first_hop" else query.e3_aliases


def evaluate_queries(
    lm: LM, queries: Sequence[TwoHop], *, batch: int = 32, track: Track = iter
) -> list[EvaluatedQuery]:
    """Answer the five prompts of each query. A prompt that queries share is answered once.

    `track` wraps the loop over batches, for progress. Short prompts come first, so that batches are of similar lengths.
    """
    right = _answered(lm, queries, PROMPTS, batch, track)
    return [EvaluatedQuery(query, found) for query, found in zip(queries, right, strict=True)]


def find_failed_queries(lm: LM, queries: Sequence[TwoHop], *, batch: int = 32, track: Track = iter) -> list[TwoHop]:
    """`failed_queries(evaluate_queries(lm, queries))` for less: a query that is not known hop by hop is asked nothing else."""
    hops = _answered(lm, queries, HOPS, batch, track)
    known = [(query, right) for query, right in zip(queries, hops, strict=True) if all(right.values())]
    rest = _answered(lm, [query for query, _ in known], [p for p in PROMPTS if p not in HOPS], batch, track)
    return failed_queries([EvaluatedQuery(query, hop | other) for (query, hop), other in zip(known, rest, strict=True)])


def _answered(
    lm: LM, queries: Sequence[TwoHop], prompts: Sequence[str], batch: int, track: Track
) -> list[dict[str, bool]]:
    """Whether each of some of the prompts of each query is answered rightly."""
    texts = {getattr(query, prompt) for query in queries for prompt in prompts}
    ordered = sorted(texts, key=lambda text: (len(lm.prompt(text)), text))
    said: dict[str, str] = {}
    for part in track(list(batches(ordered, batch))):
        said.update(zip(part, (g.text for g in lm.generate(part, max_tokens=MAX_TOKENS)), strict=True))
    return [{prompt: answers(said[getattr(q, prompt)], _expected(q, prompt)) for prompt in prompts} for q in queries]


def composed_queries(evaluated: Sequence[EvaluatedQuery]) -> list[TwoHop]:
    """The queries that are known hop by hop, without shortcuts, and composed."""
    return [e.query for e in evaluated if e.eligible and e.composes]


def failed_queries(evaluated: Sequence[EvaluatedQuery]) -> list[TwoHop]:
    """The queries that are known hop by hop, without shortcuts, and not composed: hopping too late, or not at all."""
    return [e.query for e in evaluated if e.eligible and not e.composes]
