"""Plans: which parts of a forward pass each variant of a prompt must compute again; the rest comes from the clean run.

    >>> variants = [assay.zero("z", layer=i, head=h, position=-1) for i in range(8) for h in range(8)]
    >>> print(lm.plan("The capital of the state containing Dallas is", variants))
    64 variants of 11 tokens: ... layer-positions instead of 5,632 (...x fewer), 1 chunk, ... MiB

A *variant* is a list of edits of the same prompt. An edit changes nothing before its first layer and its first position, so a
variant can *enter* a forward pass there and take all earlier activations from one clean run:

    station      a place where a variant can enter a layer, with values of the clean run
    entry        the last station that is at or before all edits of the variant
    front        the first position that the variant edits; positions before it keep the clean run's keys and values
    chunk        variants with one front that run together as rows of a batch, sized by the memory budget

The stations of a layer are those of `assay.forward.layers.STEPS`: resid_pre (before attention), z (before o_proj),
resid_mid (before the MLP), mlp_raw (before the MLP is added), resid_post. Work is counted in *layer-positions*: one layer
computed for one token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from assay.errors import BudgetError
from assay.forward.families.base import Family
from assay.forward.layers import STEPS
from assay.forward.placed import Placed
from assay.forward.sites import SITES, Key, Station
from assay.forward.sweep.memory import Sizes

Entry = tuple[int, Station]
"""A layer and a station in it."""
EMBED: Entry = (-1, "embed")
"""The entry before all layers; the one after them is (n_layers, "resid_pre")."""
ORDER: tuple[Station, ...] = ("embed", *STEPS)
MIB = 2**20


@dataclass(frozen=True)
class Chunk:
    """Rows that run together: indices of variants in order of entry, and the station where each enters."""

    front: int
    variants: tuple[int, ...]
    entries: tuple[Entry, ...]

    def entering(self, at: Entry) -> int:
        """How many rows enter at this entry."""
        return self.entries.count(at)

    def dealt(self, n: int) -> list["Chunk"]:
        """The chunk split in n: each part takes every n-th row, so that rows with an early entry are spread evenly."""
        return [Chunk(self.front, self.variants[i::n], self.entries[i::n]) for i in range(min(n, len(self.variants)))]


@dataclass(frozen=True)
class Plan:
    """The chunks of a sweep and its cost. `bytes` is the estimated peak beyond the memory in use before."""

    n_variants: int
    n_tokens: int
    chunks: tuple[Chunk, ...]
    clean_positions: float
    variant_positions: float
    full_positions: float
    bytes: int

    @property
    def layer_positions(self) -> float:
        """Layer-positions to compute, the clean run included."""
        return self.clean_positions + self.variant_positions

    def __str__(self) -> str:
        fewer = self.full_positions / max(self.layer_positions, 1)
        return (
            f"{self.n_variants} variants of {self.n_tokens} tokens: {self.layer_positions:,.0f} layer-positions instead of "
            f"{self.full_positions:,.0f} ({fewer:.3g}x fewer), {len(self.chunks)} chunk{'s' * (len(self.chunks) != 1)}, "
            f"{self.bytes / MIB:,.0f} MiB"
        )


def rank(at: Entry) -> tuple[int, int]:
    """Sorts entries in order of computation."""
    layer, station = at
    return layer, ORDER.index(station)


def entry(placed: Sequence[Placed], n_tokens: int, n_layers: int) -> tuple[int, Entry]:
    """(front, entry) of a variant. One without edits of prompt positions enters after the last layer."""
    end: Entry = (n_layers, "resid_pre")
    touching = [p for p in placed if p.where.prompt]
    if not touching:
        return n_tokens - 1, end
    return min(min(p.where.prompt) for p in touching), min((_entry(p.key, end) for p in touching), key=rank)


def _entry(key: Key, end: Entry) -> Entry:
    name, layer = key
    station = SITES[name].station
    if station is None:
        return end
    return EMBED if layer is None else (layer, station)


def plan(
    rows: Sequence[Sequence[Placed]], sizes: Sizes, budget: int, *, has_clean: bool, most: int | None = None
) -> Plan:
    """Order variants by front and entry, and cut them into chunks that fit the budget (bytes, clean run included).

    most: most rows in a chunk whose variants are continued (None: no limit). Raises BudgetError when the clean run and one
    variant do not fit.
    """
    f, S = sizes.family, sizes.n_tokens
    entries = [entry(placed, S, f.n_layers) for placed in rows]
    order = sorted(range(len(rows)), key=lambda i: (entries[i][0], rank(entries[i][1])))
    clean = sizes.shared_bytes() + (0 if has_clean else sizes.clean_bytes())
    room, chunks, peak = budget - clean, [], clean
    for front, group in groupby(order, key=lambda i: entries[i][0]):
        variants, per_row = list(group), sizes.row_bytes(front)
        size = room // per_row
        if size < 1:
            raise BudgetError(
                f"a memory budget of {budget / MIB:.4g} MiB is too small: about {clean / MIB:.1f} MiB are needed "
                f"{'once' if has_clean else 'for the clean run'}, and {per_row / MIB:.1f} MiB for one variant"
            )
        if most is not None and sizes.max_tokens:
            size = min(size, most)
        n_chunks = -(-len(variants) // size)
        even = -(-len(variants) // n_chunks)
        for start in range(0, len(variants), even):
            part = tuple(variants[start : start + even])
            chunks.append(Chunk(front, part, tuple(entries[i][1] for i in part)))
            peak = max(peak, clean + len(part) * per_row)
    cost = sum(_positions(f, S - front, at) for front, at in entries)
    before = 0.0 if has_clean else float(f.n_layers * S)
    return Plan(len(rows), S, tuple(chunks), before, cost, float(len(rows) * f.n_layers * S), peak)


def _positions(family: Family, m: int, at: Entry) -> float:
    """Layer-positions of one variant that computes m positions from an entry on; a layer entered midway counts in part."""
    layer, station = at
    if at == EMBED:
        return float(family.n_layers * m)
    return (family.n_layers - layer - done_before(family, station)) * m if layer < family.n_layers else 0.0


def done_before(family: Family, station: Station) -> float:
    """The share of a layer's multiplications that lie before a station."""
    qkv, out, mlp = family.weights_of_layer
    done = dict(zip(STEPS, (0, qkv, qkv + out, qkv + out + mlp, qkv + out + mlp), strict=True))
    return done[station] / (qkv + out + mlp)
