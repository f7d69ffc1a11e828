"""Two-hop queries: questions whose answer needs an intermediate fact that the prompt does not state (HTL-1).

    >>> query = next(query for query in two_hop("state_capital") if query.e1 == "Dallas")
    >>> query.prompt, query.e2, query.e3
    ('The capital of the state containing Dallas is', 'Texas', 'Austin')
    >>> answers(" Austin, which", query.e3_aliases)
    True

The words, on "The spouse of the performer of Imagine is":

    e1            the entity that the prompt names                   Imagine
    r1            the first relation, from e1 to the bridge          the performer of {}
    e2, bridge    what r1 of e1 is; the prompt never says it         John Lennon
    r2            the second relation, from the bridge to the answer the spouse of {}
    e3, answer    what r2 of the bridge is                           Yoko Ono
    t1            the last token of the r1 phrase, e1 included       "Imagine" in "the performer of Imagine"
    t2            the last token of the prompt                       "is"
    first hop     r1 alone                                           The performer of Imagine is
    second hop    r2 of the bridge                                   The spouse of John Lennon is
    composition   the whole query, both hops                         The spouse of the performer of Imagine is
    e1 shortcut   the query without r1: is e1 enough to guess e3?    The spouse of Imagine is
    r1 shortcut   the query without e1: are the relations enough?    The spouse of the performer is

A query is fit for an experiment when a model answers both hops and neither shortcut. `two_hop.json` holds the facts: a
family joins a first relation and a second one, and a bridge that the second relation lacks makes no query (Belgium has no
single language). All entities were chosen by hand so that no prompt contains its bridge or its answer. A continuation is
correct if it has the answer or an alias in whole words (see `answers`).

Biran et al., Hopping Too Late, EMNLP 2024, arXiv 2406.12775, section 3. The facts are our own, the paper's come from Wikidata.
"""

import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from assay.data import files
from assay.data.files import hint, is_table
from assay.data.given import given
from assay.errors import DataError, unknown

FILE = Path(__file__).with_name("two_hop.json")
STANDARD = (
    "The capital of the state containing Dallas is",
    "The spouse of the performer of Imagine is",
    "The currency of the country where the Eiffel Tower is located is",
    "The language spoken in the country that hosts Oktoberfest is",
)


@dataclass(frozen=True)
class TwoHop:
    """One query; its five prompts are sentences that end in "is", without a space."""

    id: str  # "state_capital/Dallas"
    family: str  # "state_capital"
    e1: str  # "Dallas", or "the Eiffel Tower": as it stands inside a sentence
    e2: str  # "Texas"
    e3: str  # "Austin"
    e2_aliases: tuple[str, ...]  # other names of the bridge, the label first
    e3_aliases: tuple[str, ...]  # other names of the answer, the label first
    r1_phrase: str  # "the state containing Dallas"
    prompt: str  # the composition: "The capital of the state containing Dallas is"
    first_hop: str  # "The state containing Dallas is"
    second_hop: str  # "The capital of Texas is"
    e1_shortcut: str  # "The capital of Dallas is"
    r1_shortcut: str  # "The capital of the state is"

    @property
    def t1_text(self) -> str:
        """The text in the prompt whose last token is t1."""
        return self.r1_phrase


def two_hop(
    families: str | Iterable[str] | None = None, limit: int | None = None, per_bridge: int | None = None, seed: int = 0
) -> list[TwoHop]:
    """The queries of `families` (all of them by default), in the order of the file.

    `per_bridge`: most queries of one bridge within a family; an answer that many share is easily guessed from r1 alone.
    `limit`: number of queries in all, spread evenly over the families and over as many bridges as possible.
    `seed` decides which queries are kept. Raises DataError for an unknown family or a cap below 1.
    """
    for name, cap in (("limit", limit), ("per_bridge", per_bridge)):
        if cap is not None and cap < 1:
            raise DataError(f"{name}={cap} keeps no query; give 1 or more, or None for no cap")
    known = list(dict.fromkeys(query.family for query in _queries()))
    chosen = known if families is None else [families] if isinstance(families, str) else list(families)
    for family in chosen:
        if family not in known:
            raise unknown(DataError, "query family", family, known)
    by_family = [_picked(family, per_bridge, seed) for family in known if family in chosen]
    rounds = [query for queries in zip_longest(*by_family) for query in queries if query is not None]
    kept = set(rounds[:limit])
    return [query for query in _queries() if query in kept]


def standard() -> list[TwoHop]:
    """The queries with the four prompts of `STANDARD`, which every selection should include."""
    return [query for query in _queries() if query.prompt in STANDARD]


def answers(text: str, aliases: Iterable[str]) -> bool:
    """Whether a model's `text` names one of the `aliases` in whole words, in any case; a plural s is allowed.

    The paper accepts any substring (HTL-1), such as "Ono" in "economy". Where the best of many tries counts, such accidents
    look like rescues, so words must be whole here.
    """
    return any(re.search(rf"(?<!\w){re.escape(alias)}s?(?!\w)", text, re.IGNORECASE) for alias in aliases)


def half_of(query: TwoHop) -> Literal["select", "report"]:
    """The half that a query belongs to: choose layers and heads on "select", give numbers on "report".

    All queries with one bridge, of any family, are in the same half.
    """
    return "select" if hashlib.sha256(query.e2.encode()).digest()[0] % 2 else "report"


def file_hash() -> str:
    """The version of the facts: 12 hex digits, recorded beside every number measured with them."""
    return files.short_hash(FILE)


def load(path: Path | str | None = None) -> dict[str, Any]:
    """The facts as the file holds them, checked: "families", "relations", "takes_the", "aliases".

    Raises DataError, which names the file and the entry, where the file is missing, malformed or contradicts itself: a
    duplicate entity, a bridge that leads nowhere, a name below 3 characters, a prompt that gives its own answer away.
    """
    return files.load(path or FILE, _check)


def _check(facts: Any) -> None:
    """Raise DataError for the first thing wrong with the content of a file."""
    if not is_table(facts, relations=dict, families=dict, takes_the=list, aliases=dict):
        raise DataError("needs the tables relations, families and aliases and the list takes_the")
    relations = facts["relations"]
    for name, relation in relations.items():
        if not is_table(relation, phrase=str, bare=str, facts=dict) or relation["phrase"].count("{}") != 1:
            raise DataError(f"relation {name!r} needs a phrase with one {{}}, a bare phrase and a table of facts")
        if not all(isinstance(value, str) for value in relation["facts"].values()):
            raise DataError(f"relation {name!r} has a fact that is not a text")
    for name, names in facts["aliases"].items():
        if not isinstance(names, list) or not all(isinstance(alias, str) for alias in names):
            raise DataError(f"the aliases of {name!r} are not a list of texts")
    labels = {label for relation in relations.values() for fact in relation["facts"].items() for label in fact}
    for name in (*facts["aliases"], *facts["takes_the"]):
        if not isinstance(name, str) or name not in labels:
            raise DataError(f"aliases or takes_the has {name!r}, which is in no fact{hint(name, sorted(labels))}")
    leads_to: dict[str, set[str]] = {}  # first relation -> the bridges that a second relation has
    for name, join in facts["families"].items():
        if not is_table(join, first=str, second=str):
            raise DataError(f"family {name!r} needs a first and a second relation")
        for hop in (join["first"], join["second"]):
            if hop not in relations:
                raise unknown(DataError, f"relation of family {name!r}", hop, relations)
        leads_to.setdefault(join["first"], set()).update(relations[join["second"]]["facts"])
    for name, bridges in leads_to.items():
        for e1, e2 in relations[name]["facts"].items():
            if e2 not in bridges:
                raise DataError(f"{e1!r} of {name!r} leads to {e2!r}, of which no second relation has a fact")
    queries = list(_compose(facts))
    for name in facts["families"]:
        if not any(query.family == name for query in queries):
            raise DataError(f"family {name!r} has no query: no bridge is in both of its relations")
    for query in queries:
        for alias in (*query.e2_aliases, *query.e3_aliases):
            if len(alias) < 3:
                raise DataError(f"{query.id!r} has the name {alias!r}, too short to be looked for in a text")
            if alias.lower() in query.prompt.lower():
                raise DataError(f"the prompt of {query.id!r} gives {alias!r} away")


def _picked(family: str, per_bridge: int | None, seed: int) -> list[TwoHop]:
    """The queries of one family in the order of preference: one of each bridge, then a second of each, and so on."""
    queries = [query for query in _queries() if query.family == family]
    random.Random(f"{seed}/{family}").shuffle(queries)
    seen: Counter[str] = Counter()
    ranked = []
    for query in queries:
        ranked.append((seen[query.e2], query))
        seen[query.e2] += 1
    ranked.sort(key=lambda pair: pair[0])
    return [query for rank, query in ranked if per_bridge is None or rank < per_bridge]


def _queries() -> tuple[TwoHop, ...]:
    """All queries: your own, if they were given, else those of the file."""
    own = given("two-hop")
    return _of_file() if own is None else own


@cache
def _of_file() -> tuple[TwoHop, ...]:
    return tuple(_compose(load()))


def _compose(facts: dict[str, Any]) -> Iterable[TwoHop]:
    """Join the first and the second relation of every family."""
    for family, join in facts["families"].items():
        first, second = (facts["relations"][join[hop]] for hop in ("first", "second"))
        for e1, e2 in first["facts"].items():
            if e2 not in second["facts"]:
                continue
            e3 = second["facts"][e2]
            r1_phrase = first["phrase"].replace("{}", e1)
            inside = with_article(e2, facts)
            yield TwoHop(
                id=f"{family}/{e1}",
                family=family,
                e1=e1,
                e2=e2,
                e3=e3,
                e2_aliases=(e2, *facts["aliases"].get(e2, ())),
                e3_aliases=(e3, *facts["aliases"].get(e3, ())),
                r1_phrase=r1_phrase,
                prompt=sentence(second["phrase"].replace("{}", r1_phrase)),
                first_hop=sentence(r1_phrase),
                second_hop=sentence(second["phrase"].replace("{}", inside)),
                e1_shortcut=sentence(second["phrase"].replace("{}", e1)),
                r1_shortcut=sentence(second["phrase"].replace("{}", first["bare"])),
            )


def with_article(name: str, facts: dict[str, Any]) -> str:
    """A name as it stands inside a sentence: "the Netherlands" of "Netherlands"."""
    return f"the {name}" if name in facts["takes_the"] else name


def sentence(phrase: str) -> str:
    """The phrase as the beginning of a sentence: "The capital of Texas is" of "the capital of Texas"."""
    return f"{phrase[:1].upper()}{phrase[1:]} is"
