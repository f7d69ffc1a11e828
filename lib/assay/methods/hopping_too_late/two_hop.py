"""Five-way evaluation of two-hop queries: both hops, the composition, and two shortcuts (Biran et al. 2024, section 3).

    >>> from assay.data.two_hop import two_hop
    >>> query = next(q for q in two_hop("state_capital") if q.e1 == "Dallas")
    >>> (tried,) = evaluate_queries(lm, [query])
    >>> tried.eligible, tried.composes                             # a failure to explain: both hops are known
    (True, False)

A query is *eligible* when the model answers both single hops right and neither shortcut (the prompt without r1, without e1):
then a right answer to the composition needs both hops, and a wrong one is a failure to compose two known facts. Answers are
greedy, up to ten tokens, and right when they contain the answer or an alias; case is ignored.

The paper's models continue the bare sentence. `in_chat` asks a chat model for the same in its own form:

    >>> lm.decode(in_chat(lm, query.second_hop).tokens[-5:])       # the answer begins with the sentence
    'The capital of Texas is'
    >>> evaluate_queries(lm, [query], form=lambda text: in_chat(lm, text))[0].right["second_hop"]
    True
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from assay.data.two_hop import TwoHop, answers
from assay.forward.lm import LM, PromptLike
from assay.forward.positions import Prompt
from assay.methods.portions import Track, batches
from assay.models.chat import System

MAX_TOKENS = 10
COMPLETE = "Complete the sentence: {}"
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
    """The right answers to one of the five prompts: the bridge for the first hop, else the final answer."""
    return query.e2_aliases if prompt == "first_hop" else query.e3_aliases


def in_chat(lm: LM, sentence: str, system: System = None) -> Prompt:
    """The beginning of a sentence as a user's request to complete it, and as the beginning of the answer.

    system: as for `lm.chat`. Raises NoChatTemplate for a base model.
    """
    return lm.chat(COMPLETE.format(sentence), system, answer=sentence)


def evaluate_queries(
    lm: LM,
    queries: Sequence[TwoHop],
    *,
    form: Callable[[str], PromptLike] | None = None,
    batch: int = 32,
    track: Track = iter,
) -> list[EvaluatedQuery]:
    """Answer the five prompts of each query. A prompt that queries share is answered once.

    form: makes the prompt of a sentence; by default the sentence itself, as in the paper.
    `track` wraps the loop over batches, for progress. Short prompts come first, so that batches are of similar lengths.
    """
    right = _answered(lm, queries, PROMPTS, batch, track, form or str)
    return [EvaluatedQuery(query, found) for query, found in zip(queries, right, strict=True)]


def find_failed_queries(lm: LM, queries: Sequence[TwoHop], *, batch: int = 32, track: Track = iter) -> list[TwoHop]:
    """`failed_queries(evaluate_queries(lm, queries))` at lower cost: a query with a wrong hop is not evaluated further."""
    hops = _answered(lm, queries, HOPS, batch, track)
    known = [(query, right) for query, right in zip(queries, hops, strict=True) if all(right.values())]
    rest = _answered(lm, [query for query, _ in known], [p for p in PROMPTS if p not in HOPS], batch, track)
    return failed_queries([EvaluatedQuery(query, hop | other) for (query, hop), other in zip(known, rest, strict=True)])


def _answered(
    lm: LM,
    queries: Sequence[TwoHop],
    prompts: Sequence[str],
    batch: int,
    track: Track,
    form: Callable[[str], PromptLike] = str,
) -> list[dict[str, bool]]:
    """For each query, whether the model's answer to each of `prompts` is right."""
    texts = {getattr(query, prompt): lm.prompt(form(getattr(query, prompt))) for query in queries for prompt in prompts}
    ordered = sorted(texts, key=lambda text: (len(texts[text]), text))
    said: dict[str, str] = {}
    for part in track(list(batches(ordered, batch))):
        told = lm.generate([texts[text] for text in part], max_tokens=MAX_TOKENS)
        said.update(zip(part, (generation.text for generation in told), strict=True))
    return [{prompt: answers(said[getattr(q, prompt)], _expected(q, prompt)) for prompt in prompts} for q in queries]


def composed_queries(evaluated: Sequence[EvaluatedQuery]) -> list[TwoHop]:
    """The eligible queries whose composition is answered right."""
    return [e.query for e in evaluated if e.eligible and e.composes]


def failed_queries(evaluated: Sequence[EvaluatedQuery]) -> list[TwoHop]:
    """The eligible queries whose composition is answered wrong."""
    return [e.query for e in evaluated if e.eligible and not e.composes]
