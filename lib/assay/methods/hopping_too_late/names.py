"""Names of the entities of a query, as a model would write them: whole, and by their first tokens.

    >>> from assay.data.two_hop import two_hop
    >>> query = next(q for q in two_hop("state_capital") if q.e1 == "Dallas")
    >>> entity_names(query)
    {'e1': ('Dallas',), 'e2': ('Texas',), 'e3': ('Austin',)}
    >>> [lm.decode([t]) for t in first_name_tokens(lm, entity_names(query)["e2"])]
    [' Texas', 'te']

A hidden state is read for one next token, so a name counts as read when the first token of any way to write it is: with
and without the space before it, as it is and in lower case, of the label and of every alias (Biran et al. 2024, 4.3). A
first token with fewer than two letters or digits (" T") begins too many names to stand for one, and is left out.
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
    """The first tokens of all ways to write a name, each once, in order; empty when none says enough."""
    found: dict[int, None] = {}
    for way in ways:
        for written in (f" {way}", way, f" {way.lower()}", way.lower()):
            token = lm.token(written)
            if sum(map(str.isalnum, lm.decode([token]))) >= LETTERS:
                found[token] = None
    return list(found)


def other_query(query: TwoHop, queries: Sequence[TwoHop]) -> TwoHop:
    """Whose names say what chance would give: a query with another bridge and answer, of the same family if there is one.

    Always the same one for a query and a list. Raises PromptError when every query has its bridge or its answer.
    """
    alike = [q for q in queries if q.family == query.family and q.e2 != query.e2 and q.e3 != query.e3]
    return draw_donor(query, alike or queries, query_rng(query))
