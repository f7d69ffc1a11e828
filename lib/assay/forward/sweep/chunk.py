"""One chunk of a sweep: variants as rows of a batch. Each row enters at its own layer and is reduced to the results wanted.

    >>> clean = lm.run("The capital of France is", keep=assay.SWEEPABLE)
    >>> rows = [lm.place(assay.zero("z", layer=i, position=-1), clean.prompts, generates=False)[0] for i in (2, 5)]
    >>> chunk = Chunk(front=5, variants=(0, 1), entries=((2, "z"), (5, "z")))
    >>> logits, found, caches = run_chunk(lm.family, clean, chunk, rows, Wanted(targets=(17,)), max_tokens=0)
    >>> logits.shape, found["target_ranks"].shape
    ((2, 4608), (2, 1))

The layers are those of `assay.forward.layers`. At each station (`assay.forward.sweep.plan`) the clean run's value is appended
to the batch once for each row that enters there. Nothing is computed for a row before its entry; at positions before the
chunk's front every row uses the clean run's keys and values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import KVCache

from assay.forward import by_numpy
from assay.forward.families.base import Family
from assay.forward.lanes import rest
from assay.forward.layers import STEPS, Carried, unembed
from assay.forward.placed import Placed
from assay.forward.run import Run
from assay.forward.sites import Key, Station, canonical
from assay.forward.sweep.memory import first_unembedded
from assay.forward.sweep.plan import EMBED, Chunk
from assay.forward.sweep.resume import AttendResumed
from assay.forward.taps import Taps


@dataclass(frozen=True)
class Wanted:
    """The results wanted of each variant (see `assay.forward.sweep.engine.sweep`)."""

    targets: tuple[int, ...] = ()
    top_k: int = 0
    logits: bool = False
    keep: tuple[Key, ...] = ()
    at: tuple[int, ...] = ()


def run_chunk(
    family: Family, clean: Run, chunk: Chunk, rows: Sequence[Sequence[Placed]], wanted: Wanted, max_tokens: int
) -> tuple[mx.array, dict[str, Any], list[Any]]:
    """Run one chunk -> last-position logits [n, V], reduced results, and KV caches if max_tokens > 0."""
    p, S = chunk.front, len(clean.prompts[0])
    tap = Taps([rows[i] for i in chunk.variants], wanted.keep, start=p, at=wanted.at)
    attend = AttendResumed(family, clean.kept, p, keep_own=max_tokens > 0)
    x = _through_layers(family, clean, chunk, attend, tap)
    tap.start = max(p, first_unembedded(wanted.keep, wanted.at, S))
    logits = unembed(family, x[:, tap.start - p :], tap)[:, -1].astype(mx.float32)
    found = reduce_logits(logits, wanted)
    for key in wanted.keep:
        found[f"kept {key}"] = _kept(key, clean, tap.kept.pop(key, None), p, len(chunk.variants), wanted.at)
    mx.eval(logits, found)
    caches = _caches(family, clean, attend, len(chunk.variants), max_tokens) if max_tokens else []
    return logits, found, caches


def _through_layers(family: Family, clean: Run, chunk: Chunk, attend: AttendResumed, tap: Taps) -> mx.array:
    """Run the rows of a chunk, each from its entry on -> their last resid_post [n, m, E]."""

    def join(rows: Carried, at: tuple[int, Station]) -> Carried:
        """The running rows, followed by those that enter at this station."""
        n = chunk.entering(at)
        if not n:
            return rows
        new = [value[:, chunk.front :] for value in clean_at(clean, at)]
        new = [mx.broadcast_to(value, (n, *value.shape[1:])) for value in new]
        return tuple(mx.concatenate(list(pair)) for pair in zip(rows, new, strict=True)) if rows else tuple(new)

    rows = join((), EMBED)
    rows = (tap("embed", None, rows[0]),) if rows else rows
    for i in range(family.n_layers):
        rest()
        for station, step in STEPS.items():
            rows = join(rows, (i, station))
            rows = step(family, i, rows, attend, tap) if rows else rows
        if rows:
            kept = [value for (_, layer), value in tap.kept.items() if layer == i]
            mx.eval(rows, attend.own.get(i, ()), kept)  # one layer's graph at a time
    return join(rows, (family.n_layers, "resid_pre"))[0]


def clean_at(clean: Run, at: tuple[int, Station]) -> Carried:
    """The clean run's values at a station, [1, S, ..] each: a row enters with them."""
    i, station = at
    if station in ("embed", "resid_pre", "z"):
        stream = clean["resid_post", i - 1] if i > 0 else clean["embed"]
        return (stream, clean["z", i]) if station == "z" else (stream,)
    return (clean["resid_mid", i], clean["mlp_raw", i]) if station == "mlp_raw" else (clean[station, i],)


def reduce_logits(logits: mx.array, wanted: Wanted) -> dict[str, Any]:
    """[n, V] logits -> the arrays wanted, named like the fields of `Sweep`."""
    found: dict[str, Any] = {"greedy": by_numpy.argmax(logits)}
    if wanted.logits:
        found["logits"] = logits
    if not (wanted.targets or wanted.top_k):
        return found
    total = by_numpy.logsumexp(logits)
    if wanted.targets:
        chosen = logits[:, mx.array(wanted.targets)]
        found["target_log_probs"] = chosen - total
        found["target_ranks"] = mx.stack(
            [(logits > chosen[:, [t]]).sum(axis=-1) for t in range(len(wanted.targets))], axis=-1
        )
    if wanted.top_k:
        top = mx.argsort(-logits, axis=-1)[:, : wanted.top_k]
        found["top_tokens"] = top
        found["top_log_probs"] = mx.take_along_axis(logits, top, axis=-1) - total
    return found


def _kept(key: Key, clean: Run, own: mx.array | None, front: int, n: int, at: Sequence[int]) -> mx.array:
    """[n, P, features] at positions `at`, float32: the row's own value where it computed one, else the clean run's."""
    before = canonical(key[0], clean.kept[key])[:, mx.array(list(at))].astype(mx.float32)
    before = mx.broadcast_to(before, (n, *before.shape[1:]))
    if own is None:
        return before
    own = mx.concatenate([own.astype(mx.float32), before[own.shape[0] :]])
    mine = mx.array([position >= front for position in at]).reshape([1, -1] + [1] * (own.ndim - 2))
    return mx.where(mine, own, before)


def _caches(family: Family, clean: Run, attend: AttendResumed, n: int, max_tokens: int) -> list[KVCache]:
    """mlx-lm caches of n rows, to continue after the prompt: the clean prefix, then each row's own keys and values."""

    def rows(site: str, i: int, own: mx.array | None) -> mx.array:
        whole = clean[site, i]
        own_rows = 0 if own is None else own.shape[0]
        parts = []
        if own is not None:
            prefix = whole[:, :, : attend.front]
            parts.append(mx.concatenate([mx.broadcast_to(prefix, (own_rows, *prefix.shape[1:])), own], axis=2))
        if own_rows < n:
            parts.append(mx.broadcast_to(whole, (n - own_rows, *whole.shape[1:])))
        return parts[0] if len(parts) == 1 else mx.concatenate(parts)

    caches = []
    for i in range(family.n_layers):
        k, v = attend.own.get(i, (None, None))
        cache = KVCache()
        cache.step = max_tokens
        cache.keys, cache.values = rows("k_rot", i, k), rows("v", i, v)
        cache.offset = cache.keys.shape[2]
        mx.eval(cache.keys, cache.values)
        attend.own.pop(i, None)
        caches.append(cache)
    return caches
