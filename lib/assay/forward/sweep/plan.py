"""Plans: for many variants of one prompt, what must be computed again and what the clean run already knows.

    >>> print(lm.plan(prompt, variants))                                               # doctest: +SKIP
    120 variants of 64 tokens: 2,264 layer-positions instead of 122,880 (54x fewer), 1 chunk, 31 MiB

A *variant* is a list of edits of the same prompt. An edit changes nothing before the first layer and the first position
it touches, so a variant can *enter* a forward pass there, taking everything before from one clean run:

    station      a place where a variant can enter a layer, with values of the clean run
    entry        the first station at or before all edits of the variant
    front        the first position that any of them touches; positions before it keep the clean run's keys and values
    chunk        variants with one front that run together as rows of a batch, sized by the memory budget

Stations of a layer, in order: resid_pre (before attention), z (before o_proj), resid_mid (before the MLP), mlp_raw
(before the MLP is added), resid_post. Work is counted in *layer-positions*: one layer computed for one token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from assay.errors import BudgetError
from assay.forward.edits import Placed
from assay.forward.families import Llama
from assay.forward.sweep.memory import Sizes

STATIONS = ("resid_pre", "z", "resid_mid", "mlp_raw", "resid_post")
_ENTERED_AT = {
    "resid_pre": "resid_pre", "q": "resid_pre", "k": "resid_pre", "v": "resid_pre", "q_rot": "resid_pre",
    "k_rot": "resid_pre", "scores": "resid_pre", "pattern": "resid_pre", "z": "z", "attn_raw": "z", "attn_out": "z",
    "resid_mid": "resid_mid", "mlp_raw": "mlp_raw", "mlp_out": "mlp_raw", "resid_post": "resid_post",
}  # fmt: skip
EMBED = (-1, "embed")

Station = tuple[int, str]  # layer, station; EMBED comes before all, (n_layers, "resid_pre") after all
MIB = 2**20


@dataclass(frozen=True)
class Chunk:
    """Rows that run together: indices of variants in order of entry, and the station where each enters."""

    front: int
    variants: tuple[int, ...]
    entries: tuple[Station, ...]

    def entering(self, station: Station) -> int:
        """How many rows enter at a station."""
        return self.entries.count(station)

    def dealt(self, n: int) -> list["Chunk"]:
        """The rows dealt out to n chunks in turn, so that each gets as many, and those that enter early are spread."""
        return [Chunk(self.front, self.variants[i::n], self.entries[i::n]) for i in range(min(n, len(self.variants)))]


@dataclass(frozen=True)
class Plan:
    """What a sweep will do, and what it costs. `bytes` is the estimated peak over what was in use before."""

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


def rank(station: Station) -> tuple[int, int]:
    """Sorts stations in order of computation."""
    layer, name = station
    return layer, -1 if name == "embed" else STATIONS.index(name)


def entry(placed: Sequence[Placed], n_tokens: int, n_layers: int) -> tuple[int, Station]:
    """(front, station) of a variant. One that touches no position of the prompt enters after the last layer."""
    end = (n_layers, "resid_pre")
    touching = [p for p in placed if p.where.prompt]
    if not touching:
        return n_tokens - 1, end
    stations = [_station(p, end) for p in touching]
    return min(min(p.where.prompt) for p in touching), min(stations, key=rank)


def _station(placed: Placed, end: Station) -> Station:
    site, layer = placed.key
    if site == "embed":
        return EMBED
    return end if layer is None else (layer, _ENTERED_AT[site])


def plan(
    rows: Sequence[Sequence[Placed]], sizes: Sizes, budget: int, *, has_clean: bool, most: int | None = None
) -> Plan:
    """Order variants by front and entry, and cut them into chunks that fit the budget (bytes, clean run included).

    most: rows of a chunk whose variants are continued, where the backend has a limit. Raises BudgetError when the clean run
    and one variant do not fit.
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
    cost = sum(_positions(f, S - front, station) for front, station in entries)
    before = 0.0 if has_clean else float(f.n_layers * S)
    return Plan(len(rows), S, tuple(chunks), before, cost, float(len(rows) * f.n_layers * S), peak)


def _positions(family: Llama, m: int, station: Station) -> float:
    """Layer-positions of one variant that carries m positions from a station on; a layer entered midway counts in part."""
    layer, name = station
    if station == EMBED:
        return float(family.n_layers * m)
    return (family.n_layers - layer - family.done_before(name)) * m if layer < family.n_layers else 0.0
