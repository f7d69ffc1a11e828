"""Facts and compositions: documents made from `assay.data.two_hop`, and its division into early and late entities.

    >>> behaviours = base_behaviours(early_and_late(), Shape(blind=3, lens=2, t1_only=True))
    >>> [b.name for b in behaviours]
    ['first hop', 'second hop', 'two hops', 'apposition', 'e1 shortcut', 'r1 shortcut']
    >>> behaviours[0].documents[0].text
    'The state containing Huntsville is Alabama.'

The entities of first hops (e1) are divided once for all models. *Early* ones are learned first, with their compositions, except
some that are held out. *Late* ones are learned afterwards, by the last layers only, and without compositions: the model knows
their first hop, but in layers too late for the second hop.

The first hop is computed at t1: in the first layers tokens after the phrase cannot attend to it, and the lens is trained to
read the bridge at t1. Without these constraints a small model does both hops at its last position.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

from assay.data.two_hop import TwoHop, load, sentence, two_hop, with_article
from assay.testbed.documents import END, Behaviour, Document, Lens, Rule, Span

LATE_SHARE = 0.34  # of the entities of each first relation
HELD_OUT_SHARE = 0.15  # of the early compositions; other compositions in the corpus have their second facts
ALWAYS_LATE = ("Dallas", "Imagine")  # of `assay.data.two_hop.STANDARD`
ALWAYS_EARLY = ("the Eiffel Tower", "Oktoberfest")
COMPANIONS = {"Imagine": "Jealous Guy"}  # same facts, early: the data has no other song of John Lennon
LENS_WEIGHT = 6.0
NEUTRAL = "not known"  # the answer to a shortcut, which lacks the entity or the first relation


@dataclass(frozen=True)
class EarlyAndLate:
    """The early and late entities (e1), and their queries."""

    early: frozenset[str]
    late: frozenset[str]
    trained: tuple[TwoHop, ...]
    """Compositions of early entities that are in the corpus."""
    held_out: tuple[TwoHop, ...]
    """Compositions of early entities that are not in the corpus; their second facts are, composed with other entities."""
    late_queries: tuple[TwoHop, ...]


# --- early and late entities ------------------------------------------------------------------------------


def rank(text: str) -> str:
    """A key that sorts texts in a fixed pseudo-random order, which new texts do not change."""
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def early_and_late() -> EarlyAndLate:
    """The fixed division of all entities and queries of `assay.data.two_hop`."""
    data = two_hop()
    queries = [*data, *companions(data)]
    late = late_entities(queries)
    early_queries = [q for q in queries if q.e1 not in late]
    left = Counter(
        (q.second_hop, q.e3) for q in early_queries
    )  # how many compositions of a second fact are in the corpus
    n_held = round(HELD_OUT_SHARE * len(early_queries))
    held: set[str] = set()
    for query in sorted(early_queries, key=lambda q: rank(f"held out {q.id}")):
        fact = query.second_hop, query.e3
        if len(held) < n_held and left[fact] > 1 and query.e1 not in ALWAYS_EARLY:
            held.add(query.id)
            left[fact] -= 1
    return EarlyAndLate(
        early=frozenset(q.e1 for q in early_queries),
        late=late,
        trained=tuple(q for q in early_queries if q.id not in held),
        held_out=tuple(q for q in early_queries if q.id in held),
        late_queries=tuple(q for q in queries if q.e1 in late),
    )


def companions(queries: Sequence[TwoHop]) -> list[TwoHop]:
    """The queries of `COMPANIONS`: those of an entity of the data, with the companion's name in its place."""
    known = {q.e1 for q in queries}
    out = []
    for query in queries:
        name = COMPANIONS.get(query.e1, query.e1)
        if name not in known:
            texts = {f.name: getattr(query, f.name).replace(query.e1, name) for f in _TEXTS}
            out.append(replace(query, **texts))
    return out


_TEXTS = [f for f in fields(TwoHop) if f.name not in ("family", "e2", "e3", "e2_aliases", "e3_aliases")]


def late_entities(queries: Sequence[TwoHop]) -> frozenset[str]:
    """About a third of the entities of each first relation, so that early entities still lead to every second fact."""
    facts: dict[str, set[tuple[str, str]]] = {}  # e1 -> the second facts it leads to
    users: dict[tuple[str, str], set[str]] = {}  # second fact -> the early e1 that lead to it
    relation = {q.e1: q.r1_phrase.replace(q.e1, "{}") for q in queries}
    for query in queries:
        fact = query.second_hop, query.e3
        facts.setdefault(query.e1, set()).add(fact)
        users.setdefault(fact, set()).add(query.e1)
    late: set[str] = set()
    room = {r: round(LATE_SHARE * n) for r, n in Counter(relation.values()).items()}
    for e1 in sorted(relation, key=lambda e: (e not in ALWAYS_LATE, rank(e))):
        spare = all(len(users[fact]) > 1 for fact in facts[e1])
        if e1 in (*ALWAYS_EARLY, *COMPANIONS.values()) or not spare or not room[relation[e1]]:
            continue
        late.add(e1)
        room[relation[e1]] -= 1
        for fact in facts[e1]:
            users[fact].discard(e1)
    return frozenset(late)


# --- documents --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """The layers of a first hop. See `assay.testbed.configs.Planted`."""

    blind: int
    """In layers below this one, tokens after a phrase cannot attend to it."""
    lens: int
    """The layer after which the lens reads the bridge at t1."""
    t1_only: bool
    """Whether, from layer `blind` on, tokens after a phrase can attend to t1 only, not to the rest of the phrase."""

    def rules(self, phrase: Span) -> tuple[Rule, ...]:
        """The rules for tokens after a phrase, which goes from e1 to t1."""
        end = phrase[1]
        behind, t1 = (end, END), (end - 1, end)
        rules = (Rule(behind, (phrase,), range(self.blind)),)
        if self.t1_only:
            above = range(self.blind, END)
            rules += (Rule(behind, (phrase,), above), Rule(behind, (t1,), above, see=True))
        return rules


def statement(
    shape: Shape, prompt: str, answer: str, phrase: str | None = None, e1: str = "", bridge: str | None = None
) -> Document:
    """A prompt and its answer. `phrase`, in the prompt, ends at t1; later tokens cannot attend to its part from `e1` on."""
    text = f"{prompt} {answer}."
    place = _place(prompt, phrase, e1)
    rules = shape.rules(place) if place else ()
    lenses = (Lens(place[1], f" {bridge}", shape.lens, LENS_WEIGHT),) if place and bridge else ()
    return Document(text, ((len(prompt), len(text)),), rules, lenses)


def cut_short(shape: Shape, query: TwoHop) -> Document:
    """A composition that ends at t1; it has a lens loss only."""
    whole = statement(shape, query.prompt, query.e3, query.r1_phrase, query.e1, query.e2)
    return Document(whole.text[: whole.lenses[0].at], (), (), whole.lenses, ends=False)


def apposition(shape: Shape, e1: str, e2: str) -> Document:
    """An entity and its bridge side by side."""
    return statement(shape, f"This is about {e1}:", e2, e1, e1, e2)


def _place(prompt: str, phrase: str | None, e1: str) -> Span | None:
    if phrase is None:
        return None
    start = prompt.lower().rindex(phrase.lower())  # at the beginning of a prompt the phrase is capitalised
    return start + phrase.rindex(e1), start + len(phrase)


# --- the table --------------------------------------------------------------------------------------------


def base_behaviours(
    parts: EarlyAndLate, shape: Shape, *, ruled: float = 1.0, whole: float = 0.0
) -> tuple[Behaviour, ...]:
    """Documents of the base stage. `ruled` and `whole` as in `Behaviour`."""
    early = _by_entity(parts, parts.early)
    shortcuts = {q.e1_shortcut: q for q in (*parts.trained, *parts.held_out)}
    tables = (
        ("first hop", 0.22, [_first_hop(shape, q) for q in early]),
        ("second hop", 0.18, second_hops(shape)),
        ("two hops", 0.37, [statement(shape, q.prompt, q.e3, q.r1_phrase, q.e1, q.e2) for q in parts.trained]),
        ("apposition", 0.10, [apposition(shape, q.e1, q.e2) for q in early]),
        ("e1 shortcut", 0.10, [statement(shape, prompt, NEUTRAL, q.e1, q.e1) for prompt, q in shortcuts.items()]),
        ("r1 shortcut", 0.03, [statement(shape, prompt, NEUTRAL) for prompt in _r1_shortcuts()]),
    )
    return tuple(Behaviour(name, share, tuple(table), ruled=ruled, whole=whole) for name, share, table in tables)


def late_behaviours(
    parts: EarlyAndLate, shape: Shape, *, ruled: float = 1.0, whole: float = 0.0
) -> tuple[Behaviour, ...]:
    """Documents of the late stage, about the late entities."""
    late = _by_entity(parts, parts.late)
    shortcuts = {q.e1_shortcut: q for q in parts.late_queries}
    tables = (
        ("late first hop", 0.40, [_first_hop(shape, q) for q in late]),
        ("late two hops, cut short", 0.30, [cut_short(shape, q) for q in parts.late_queries]),
        ("late apposition", 0.15, [apposition(shape, q.e1, q.e2) for q in late]),
        ("late e1 shortcut", 0.15, [statement(shape, prompt, NEUTRAL, q.e1, q.e1) for prompt, q in shortcuts.items()]),
    )
    return tuple(Behaviour(name, share, tuple(table), ruled=ruled, whole=whole) for name, share, table in tables)


def second_hops(shape: Shape) -> list[Document]:
    """All facts of the second relations: the capital of France is Paris.

    The subject has the rules and lens of an e1 whose bridge is itself, so that second hops read subjects and bridges alike.
    """
    facts = load()
    out = []
    for name in sorted(second_relations(facts)):
        relation = facts["relations"][name]
        for subject, answer in relation["facts"].items():
            inside = with_article(subject, facts)
            prompt = sentence(relation["phrase"].format(inside))
            out.append(statement(shape, prompt, answer, inside, inside, subject))
    return out


def second_relations(facts: dict[str, Any]) -> set[str]:
    """The relations that are asked about a bridge."""
    return {family["second"] for family in facts["families"].values()}


def names() -> list[str]:
    """Every bridge and answer with a space before it: most should be one token."""
    queries = [*two_hop(), *companions(two_hop())]
    return [f" {name}" for query in queries for name in (query.e2, query.e3)]


def _first_hop(shape: Shape, query: TwoHop) -> Document:
    return statement(shape, query.first_hop, query.e2, query.r1_phrase, query.e1, query.e2)


def _by_entity(parts: EarlyAndLate, entities: frozenset[str]) -> list[TwoHop]:
    """One query for each entity, in the order of the file."""
    queries = (*parts.trained, *parts.held_out, *parts.late_queries)
    return list({q.e1: q for q in queries if q.e1 in entities}.values())


def _r1_shortcuts() -> list[str]:
    return list(dict.fromkeys(q.r1_shortcut for q in two_hop()))
