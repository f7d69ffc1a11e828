"""What the stream holds at the entity of a two-hop query, with the first relation before it and without.

at_entity, of_name = states_of_entities(lm)
at_entity(query)            # "The capital of the state containing Dallas is", at Dallas
of_name(query)              # "The capital of Dallas is", at Dallas: what the name does without a bridge
"""

from functools import cache

import numpy as np

import assay
from assay import methods


def states_of_entities(lm):
    """Two functions of a query: the states [L, E] at the end of its entity, and at that of the entity's name without r1."""
    import mlx.core as mx

    @cache
    def state(prompt, place):
        at_end = methods.states_at(lm.run(prompt, keep="resid_post"), place)
        return np.array(at_end.astype(mx.float32))

    def at_entity(query):
        return state(query.prompt, methods.query_parts(query)["e1"])

    def of_name(query):
        until, _, _ = query.e1_shortcut.partition(query.e1)
        return state(query.e1_shortcut, assay.text(until + query.e1, occurrence=0))

    return at_entity, of_name
