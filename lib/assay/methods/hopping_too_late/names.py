"""Names of the entities of a query: all ways to write them, and their first tokens.

    >>> from assay.data.two_hop import two_hop
    >>> query = next(q for q in two_hop("state_capital") if q.e1 == "Dallas")
    >>> entity_names(query)
    {'e1': ('Dallas',), 'e2': ('Texas',), 'e3': ('Austin',)}
    >>> [lm.decode([t]) for t in first_name_tokens(lm, entity_names(query)["e2"])]
    [' Texas', 'te']

The lens reads single tokens, so it reads a name when it reads the first token of any way to write the name: label or alias,
with and without a space before it, as given and in lower case (Biran et al. 2024, 4.3), as it follows any text. First tokens
with fewer than two letters or digits (" T") begin too many names and are left out.
"""

from collections.abc import Iterable, Sequence

from assay.data.two_hop import TwoHop
from assay.forward.lm import LM
from assay.methods.hopping_too_late.backpatch import draw_donor, query_rng

LETTERS = 2


def entity_names(query: TwoHop) -> dict[str, tuple[str, ...]]:
    """Entity -> its label and its aliases."""
    return {"e1": (query.e1,), "e2": query.e2_aliases, "e3": query.e3_aliases}


def first_name_tokens(lm: LM, ways: Iterable[str]) -> list[int]:
    """The first tokens of all ways to write a name, each once, in order; empty when none has two letters or digits."""
    found: dict[int, None] = {}
    for way in ways:
        for written in (f" {way}", way, f" {way.lower()}", way.lower()):
            token = lm.token(written)
            if sum(map(str.isalnum, lm.decode([token]))) >= LETTERS:
                found[token] = None
    return list(found)


def other_query(query: TwoHop, queries: Sequence[TwoHop]) -> TwoHop:
    """A query with another bridge and answer, of the same family if there is one: its names give the rate of chance.

    The result depends on the query and the list alone. Raises PromptError when every query has its bridge or its answer.
    """
    alike = [q for q in queries if q.family == query.family and q.e2 != query.e2 and q.e3 != query.e3]
    return draw_donor(query, alike or queries, query_rng(query))
