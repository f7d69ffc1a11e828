"""Entity description: which entities Patchscopes read from a state (Biran et al. 2024, sections 4.1 and 4.2).

    >>> from assay.data.two_hop import two_hop
    >>> from assay.methods.hopping_too_late.patchscopes import APPOSITION
    >>> query = next(q for q in two_hop("state_capital") if q.e1 == "Dallas")
    >>> texts = describe_states(lm, query, APPOSITION, targets=range(0, 8, 2))["t1"]
    >>> texts[6][3]                                                # source layer 6, target layer 6
    [': Texas.']
    >>> where_described(texts, query, "e2").shape, first_source_layer(where_described(texts, query, "e2"))
    ((8, 4), 0)

A description *names* an entity when it has the form of one, ": Texas ", ": Texas,", ": Texas.", ": Texas:" or "Texas: ".
Only the first entity named counts, in the order e1, e2, e3 (`classify_description`). A state holds an entity when any sample
from any target layer names it. The names of another query in the same texts give the rate of chance.

The layers after the target layer may also *compute* the bridge from a state that holds only e1: a model may have learned to
continue "This is about Dallas:" with "Texas". At such target layers the states of the first source layer, which hold little more
than the word, name the bridge about as often as the best source layer's. `reading_targets` leaves these target layers out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from assay.data.two_hop import TwoHop, half_of
from assay.forward.lm import LM
from assay.methods.hopping_too_late.backpatch import noise_like, query_rng
from assay.methods.hopping_too_late.names import entity_names, other_queries
from assay.methods.hopping_too_late.parts import query_parts, second_hop_parts
from assay.methods.hopping_too_late.patchscopes import Scope, Texts, patchscope
from assay.methods.states import states_at

FORMS = (": {} ", ": {},", ": {}.", ": {}:", "{}: ")
CHANCES = 3  # other queries whose names are looked for in the same texts
COMPUTES = 0.2  # a target layer computes when source layer 0 names bridges at over this share of the best one's rate


def classify_description(text: str, entities: Mapping[str, Sequence[str]]) -> str:
    """The first of the entities, in their order, that a description names, or "other"; case is ignored."""
    said = text.lower()
    for entity, ways in entities.items():
        if any(form.format(way.lower()) in said for way in ways for form in FORMS):
            return entity
    return "other"


def describe_states(
    lm: LM,
    query: TwoHop,
    scope: Scope,
    targets: Sequence[int],
    seeds: Sequence[int] = (),
    *,
    max_tokens: int = 10,
    temperature: float = 1.0,
    top_p: float = 1.0,
    places: Sequence[str] = ("t1", "t2", "noise"),
) -> dict[str, Texts]:
    """Descriptions of the states of a query, from all source layers -> {"t1", "t2", "noise": texts [source][target][sample]}.

    t1 and t2 as in `assay.data.two_hop`; "noise": random vectors with the norms of the states at t1. One sweep. Each text
    begins with the scope's tail. seeds, temperature, top_p: as in `patchscope`. places: these sources alone.
    """
    run = lm.run(query.prompt, keep="resid_post")
    at = query_parts(query)
    sources = {"t1": states_at(run, at["e1"]), "t2": states_at(run, at["last"])}
    sources["noise"] = noise_like(sources["t1"], query_rng(query))
    options = {"max_tokens": max_tokens, "seeds": seeds, "temperature": temperature, "top_p": top_p}
    return _described(lm, scope, query, {place: sources[place] for place in places}, targets, **options)


def describe_named_bridge(lm: LM, query: TwoHop, scope: Scope, layers: Sequence[int], *, max_tokens: int = 10) -> Texts:
    """Descriptions of the bridge's states in the second hop's prompt, which names it, from and to `layers`: tests a scope."""
    run = lm.run(query.second_hop, keep="resid_post")
    own = states_at(run, second_hop_parts(query)["e2"])[mx.array(list(layers))]
    return _described(lm, scope, query, {"named": own}, layers, max_tokens=max_tokens)["named"]


def _described(
    lm: LM, scope: Scope, query: TwoHop, sources: Mapping[str, mx.array], targets: Sequence[int], **options: object
) -> dict[str, Texts]:
    """Descriptions that begin with the scope's tail, by name of the source; samples depend on the query's id too."""
    said = patchscope(lm, scope, {f"{query.id}/{n}": s for n, s in sources.items()}, targets, **options)  # type: ignore[arg-type]
    return {
        name: [[[scope.tail + text for text in cell] for cell in row] for row in said[f"{query.id}/{name}"]]
        for name in sources
    }


def where_described(texts: Texts, query: TwoHop, entity: str, whose: TwoHop | None = None) -> np.ndarray:
    """Whether any sample names an entity of the query (or, as a control, of the query `whose`): bool [sources, targets]."""
    entities = entity_names(whose or query)
    return np.array(
        [[any(classify_description(text, entities) == entity for text in cell) for cell in row] for row in texts]
    )


def first_source_layer(held: np.ndarray, targets: Sequence[int] | None = None) -> int | None:
    """The first source layer with a True in `held` [sources, targets] (targets: at these indices only), or None."""
    read = (held if targets is None else held[:, list(targets)]).any(axis=1)
    return int(read.argmax()) if read.any() else None


def reading_targets(held: Sequence[np.ndarray]) -> list[int]:
    """Indices of the target layers that read and do not compute, by `held` of the bridge at t1 of one query or more.

    Give other queries than those that the result is used for. Empty when no target layer reads without computing.
    """
    share = np.mean(np.array(held, float), axis=0)  # [sources, targets]
    best = share.max(axis=0)
    return np.flatnonzero((best > 0) & (share[0] <= COMPUTES * best)).tolist()


def reading_targets_by_other_half(queries: Sequence[TwoHop], held: Sequence[np.ndarray]) -> list[list[int]]:
    """For each query, the `reading_targets` of the queries in the other half of the bridges (`half_of`).

    held: for each query, where t1 is described as the bridge. Empty for a query whose other half is empty.
    """
    chosen = {}
    for half in ("select", "report"):
        others = [grid for query, grid in zip(queries, held, strict=True) if half_of(query) != half]
        chosen[half] = reading_targets(others) if others else []
    return [chosen[half_of(query)] for query in queries]


@dataclass(frozen=True)
class ScopeChoice:
    """The chosen scope, and the measurements by scope and half of the bridges ("select", "report").

    named: for each query whether its bridge was named. chance: for each query whether the bridges of several other queries
    were named in the same texts. The half "report" is empty for scopes that were not chosen. bridges: of the queries of "report".
    """

    name: str
    named: Mapping[str, Mapping[str, Sequence[bool]]]
    chance: Mapping[str, Mapping[str, Sequence[Sequence[bool]]]]
    bridges: Sequence[str]


def choose_scope(
    lm: LM,
    queries: Sequence[TwoHop],
    scopes: Mapping[str, Scope],
    layers: Sequence[int],
    *,
    donors: Sequence[TwoHop],
) -> ScopeChoice:
    """The scope that names most bridges of prompts that contain them, on the "select" half; the first of equals.

    A bridge is named when its state at one of `layers`, patched into one of them, is described as it (`describe_named_bridge`).
    donors: the queries whose names give the rate of chance.
    """
    named: dict[str, dict[str, list[bool]]] = {name: {"select": [], "report": []} for name in scopes}
    chance: dict[str, dict[str, list[list[bool]]]] = {name: {"select": [], "report": []} for name in scopes}

    def try_scope(name: str, half: str) -> None:
        for query in queries:
            if half_of(query) == half:
                texts = describe_named_bridge(lm, query, scopes[name], layers)
                own, *others = (
                    bool(where_described(texts, query, "e2", whose=whose).any())
                    for whose in (query, *other_queries(query, donors, CHANCES))
                )
                named[name][half].append(own)
                chance[name][half].append(others)

    for name in scopes:
        try_scope(name, "select")
    best = max(scopes, key=lambda name: sum(named[name]["select"]))
    try_scope(best, "report")
    return ScopeChoice(best, named, chance, [query.e2 for query in queries if half_of(query) == "report"])
