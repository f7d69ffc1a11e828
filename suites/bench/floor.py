"""The floor of a sweep: the time of its matrix products alone on this machine.

    floor(lm, plan, n_tokens)       # seconds, on the lanes in use

The floor counts the products with weights: of the clean run (all tokens and layers), of each chunk (in each layer, the rows
that have entered and their positions), and the unembedding of last positions. Each product is timed alone, at the same number
of rows and on the same lanes; the fastest of several tries counts. Norms, rotations, scores and exponentials are not counted.
"""

import mlx.core as mx

from assay.forward.families.base import in_features
from assay.forward.lanes import by_token
from assay.forward.sweep.plan import rank
from assay.timing import seconds

TRIES = 4
PARTS = {
    "resid_pre": ("self_attn", ("q_proj", "k_proj", "v_proj", "qkv_proj")),
    "z": ("self_attn", ("o_proj",)),
    "resid_mid": ("mlp", ("gate_proj", "up_proj", "gate_up_proj", "down_proj")),
}
"""Station of `assay.forward.sweep.plan` -> the modules passed by a row that entered at this station or earlier."""


def floor(lm, plan, n_tokens):
    """Seconds of the products of a sweep and its clean run."""
    family, times = lm.family, {}

    def part(station, rows):
        if (station, rows) not in times:
            times[station, rows] = fastest(linears(family.layers[0], station), rows) if rows else 0.0
        return times[station, rows]

    total = family.n_layers * sum(part(station, n_tokens) for station in PARTS)
    for chunk in plan.chunks:
        for i in range(family.n_layers):
            for station in PARTS:
                entered = sum(rank(entry) <= rank((i, station)) for entry in chunk.entries)
                total += part(station, entered * (n_tokens - chunk.front))
        total += fastest([unembedding(family)], len(chunk.variants))
    return total + fastest([unembedding(family)], 1)


def linears(block, station):
    """The linear modules of one part of a layer."""
    where, names = PARTS[station]
    return [block[where][name] for name in names if name in block[where]]


def unembedding(family):
    """The unembedding as a function of [rows, 1, E]."""
    return getattr(family.head, "as_linear", family.head)


def fastest(functions, rows):
    """Seconds that all functions take on `rows` rows, each at its fastest try."""
    total = 0.0
    for function in functions:
        linear = getattr(function, "__self__", function)
        width, out = in_features(linear), linear.weight.shape[0]
        x = mx.random.normal((rows, 1, width))
        mx.eval(x)
        total += min(seconds(lambda f=function, x=x, out=out: mx.eval(by_token(f, x, out))) for _ in range(TRIES))
    return total
