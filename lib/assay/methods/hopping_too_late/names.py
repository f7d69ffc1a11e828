"""Names of the entities of a query: all ways to write them, and their first tokens.

    >>> from assay.data.two_hop import two_hop
    >>> query = next(q for q in two_hop("state_capital") if q.e1 == "Dallas")
    >>> entity_names(query)
    {'e1': ('Dallas',), 'e2': ('Texas',), 'e3': ('Austin',)}
    >>> [lm.decode([t]) for t in first_name_tokens(lm, entity_names(query)["e2"])]
    [' Texas', 'te']

The lens reads single tokens, so it reads a name when it reads the first token of any way to write the name: label or alias,
with and without a space before it, as given and in lower case (Biran et al. 2024, 4.3), as it follows any text. Tokens that say
nothing of a name are left out:

    an article         "the UK" is read as "UK"
    a function word    " in", with which " india" may begin
    a single letter    " T" begins too many names
    a shared token     " Ital" may begin both the bridge "Italy" and the answer "Italian", and tells neither (`telling_tokens`)

The names of another query, of the same family if there is one, are the control: how often is a name read that should not be?
"""

from collections.abc import Iterable, Sequence

from assay.data.two_hop import TwoHop
from assay.errors import PromptError
from assay.forward.lm import LM
from assay.methods.hopping_too_late.backpatch import query_rng

LETTERS = 2
ARTICLES = ("the ", "a ", "an ")
FUNCTION_WORDS = frozenset(
    ("a", "an", "and", "as", "at", "by", "for", "from", "in", "is", "it", "of", "on", "or", "that", "the", "to", "was")
)


def entity_names(query: TwoHop) -> dict[str, tuple[str, ...]]:
    """Entity -> its label and its aliases."""
    return {"e1": (query.e1,), "e2": query.e2_aliases, "e3": query.e3_aliases}


def first_name_tokens(lm: LM, ways: Iterable[str]) -> list[int]:
    """The first tokens of all ways to write a name, each once, in order; empty when none of them says anything of the name."""
    found: dict[int, None] = {}
    for way in map(_bare, ways):
        for written in (f" {way}", way, f" {way.lower()}", way.lower()):
            token = lm.token(written)
            said = lm.decode([token])
            if sum(map(str.isalnum, said)) >= LETTERS and said.strip().lower() not in FUNCTION_WORDS:
                found[token] = None
    return list(found)


def _bare(way: str) -> str:
    """A name without its article."""
    article = next((word for word in ARTICLES if way.lower().startswith(word)), "")
    return way[len(article) :]


def telling_tokens(lm: LM, query: TwoHop) -> dict[str, list[int]]:
    """{"e2", "e3": the first tokens of its names that do not begin the other's}; empty for a name without any."""
    e2, e3 = (first_name_tokens(lm, entity_names(query)[entity]) for entity in ("e2", "e3"))
    return {"e2": [token for token in e2 if token not in e3], "e3": [token for token in e3 if token not in e2]}


def foreign_tokens(lm: LM, query: TwoHop, other: TwoHop) -> dict[str, list[int]]:
    """The `telling_tokens` of another query, without those that begin a name of `query`."""
    own = {token for entity in ("e2", "e3") for token in first_name_tokens(lm, entity_names(query)[entity])}
    return {name: [token for token in tokens if token not in own] for name, tokens in telling_tokens(lm, other).items()}


def other_query(query: TwoHop, queries: Sequence[TwoHop]) -> TwoHop:
    """The first of `other_queries`."""
    return other_queries(query, queries, 1)[0]


def other_queries(query: TwoHop, queries: Sequence[TwoHop], n: int) -> list[TwoHop]:
    """Up to n queries with other bridges and answers than `query` and than each other, those of its family first.

    The draw depends on the query and the list alone. Raises PromptError when every query has its bridge or its answer.
    """
    drawn = query_rng(query).permutation(len(queries))
    ranked = sorted((queries[i] for i in drawn), key=lambda other: other.family != query.family)
    found: list[TwoHop] = []
    for other in ranked:
        if len(found) < n and all(other.e2 != one.e2 and other.e3 != one.e3 for one in (query, *found)):
            found.append(other)
    if not found:
        raise PromptError(f"no donor for {query.id}: every other query has its bridge or its answer")
    return found
