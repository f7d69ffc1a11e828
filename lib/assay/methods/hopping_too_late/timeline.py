"""Timeline: the layers at which the stages of a two-hop query happen (Biran et al. 2024, section 5).

    >>> from assay.data.two_hop import two_hop
    >>> query = next(q for q in two_hop("state_capital") if q.e1 == "Dallas")
    >>> lens_stages(lens_ranks(lm, query))                         # the bridge comes too late at t1, and is never at t2
    {'first hop': 5, 'propagation': None, 'second hop': None, 'extraction': 4}

The stages of one query, each with the method that finds its layer; a layer that is not found is None:

    first hop     the first source layer from which t1 is described as the bridge (`description`)
    propagation   the mean of: the first window whose knockout of t2 <- t1 matters (`knockout`), the first
                  attention sublayer at t2 that writes the bridge (`projection`), the first layer at t2 described as the bridge
    second hop    the first source layer from which t2 is described as the answer
    extraction    the first MLP sublayer at t2 that writes the model's prediction

`lens_stages` uses the logit lens alone, for models that cannot describe states: the first layers with rank 0 for the bridge at
t1, the bridge at t2, the answer at t2, and the prediction at t2.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from assay.data.two_hop import TwoHop
from assay.forward.lm import LM
from assay.methods.hopping_too_late.description import first_source_layer, where_described
from assay.methods.hopping_too_late.knockout import LAST_FROM_E1, KnockedOut, knockout_matters
from assay.methods.hopping_too_late.names import foreign_tokens, telling_tokens
from assay.methods.hopping_too_late.parts import query_parts
from assay.methods.hopping_too_late.patchscopes import Texts
from assay.methods.lens import logit_lenses

STAGES = ("first hop", "propagation", "second hop", "extraction")
"""The stages of a query, in the order of the paper."""
Layer = float | None
Stages = dict[str, Layer]


def query_stages(
    query: TwoHop,
    described: Mapping[str, Texts],
    blocked: KnockedOut,
    projected: Mapping[str, Mapping[str, Sequence[int] | None]],
    targets: Sequence[int] | None = None,
) -> Stages:
    """The stages of one query, from the results of `describe_states`, `knock_out` (pair `LAST_FROM_E1`) and `project_query`.

    targets: indices of the target layers whose descriptions count (all by default).
    """

    def source(where: str, entity: str) -> Layer:
        return first_source_layer(where_described(described[where], query, entity), targets)

    propagated = (
        first_layer(knockout_matters(blocked, LAST_FROM_E1, query.e3_aliases)),
        first_layer_on_top(projected["attn_out"]["e2"]),
        source("t2", "e2"),
    )
    return {
        "first hop": source("t1", "e2"),
        "propagation": mean_layer(propagated),
        "second hop": source("t2", "e3"),
        "extraction": first_layer_on_top(projected["mlp_out"]["prediction"]),
    }


def lens_ranks(lm: LM, query: TwoHop) -> dict[str, list[int] | None]:
    """Ranks by layer through the logit lens: "e2 at t1", "e2 at t2", "e3 at t2", "prediction at t2".

    The rank of a name is that of the likeliest of its `telling_tokens`; None without such tokens.
    """
    at_t1, at_t2 = logit_lenses(lm, [query.prompt] * 2, [query_parts(query)["e1"], -1])
    e2, e3 = telling_tokens(lm, query).values()
    predicted = [int(at_t2.log_probs[-1].argmax())]
    read = {
        "e2 at t1": (at_t1, e2),
        "e2 at t2": (at_t2, e2),
        "e3 at t2": (at_t2, e3),
        "prediction at t2": (at_t2, predicted),
    }
    return {name: lens.best_ranks(tokens).tolist() if tokens else None for name, (lens, tokens) in read.items()}


def lens_stages(ranks: Mapping[str, Sequence[int] | None]) -> Stages:
    """The stages by the lens alone, from `lens_ranks`."""
    places = ("e2 at t1", "e2 at t2", "e3 at t2", "prediction at t2")
    return {stage: first_layer_on_top(ranks[place]) for stage, place in zip(STAGES, places, strict=True)}


def first_layer(flags: Sequence[bool]) -> Layer:
    """The first layer whose flag is True, or None."""
    return next((layer for layer, flag in enumerate(flags) if flag), None)


def first_layer_on_top(ranks: Sequence[int] | None) -> Layer:
    """The first layer where a rank is 0, or None."""
    return None if ranks is None else first_layer([rank == 0 for rank in ranks])


def mean_layer(layers: Sequence[Layer]) -> Layer:
    """The mean of the layers that are not None, or None."""
    found = [layer for layer in layers if layer is not None]
    return float(np.mean(found)) if found else None


def stage_layers(stages: Sequence[Stages], which: Sequence[str] = STAGES) -> list[list[Layer]]:
    """For each stage, its layers in all queries in which it was found, as for a box plot."""
    return [[row[stage] for row in stages if row[stage] is not None] for stage in which]


def complete_stages(stages: Sequence[Stages], which: Sequence[str] = STAGES) -> list[list[float]]:
    """The queries in which all of these stages were found, as rows of layers."""
    rows = [[row[stage] for stage in which] for row in stages]
    return [[float(layer) for layer in row if layer is not None] for row in rows if None not in row]


def concordance(layers: Sequence[float]) -> float:
    """How far stages come in order: the mean over all pairs of 1 (the later stage in a higher layer), 0, or -1 (in a lower)."""
    signs = [np.sign(later - earlier) for earlier, later in combinations(layers, 2)]
    return float(np.mean(signs))


def last_token_ranks(
    lm: LM, queries: Sequence[TwoHop], others: Sequence[TwoHop], whose: Sequence[TwoHop] | None = None
) -> list[dict[str, list[int] | None]]:
    """Ranks by layer at the last token, through the lens, of "e2", "e3", and as controls of another query's, "other", "other_e3".

    The rank of a name is that of the likeliest of its `telling_tokens`; None without such tokens. whose: for each query, the
    one whose names count as its own; with other names no effect is real.
    """
    rows = []
    lenses = logit_lenses(lm, [query.prompt for query in queries])
    for lens, query, other, owner in zip(lenses, queries, others, whose or queries, strict=True):
        tokens = telling_tokens(lm, query) if owner == query else foreign_tokens(lm, query, owner)
        foreign = foreign_tokens(lm, query, other)
        tokens |= {"other": foreign["e2"], "other_e3": foreign["e3"]}
        rows.append({name: lens.best_ranks(found).tolist() if found else None for name, found in tokens.items()})
    return rows
