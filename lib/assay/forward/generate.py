"""Generation under edits, with mlx-lm's own KV caches: one prompt or many, greedy or sampled.

    >>> lm.generate("The capital of France is", max_tokens=3).text
    ' Paris.'
    >>> silent = assay.zero("attn_out", layer="all", position="all")
    >>> [g.text for g in lm.generate(["The capital of France is", "The capital of Italy is"], edits=silent, max_tokens=2)]
    [..., ...]

Edits at prompt positions act while the prompt is read; those at "generated" (or "all") positions act on every later token.
Prompts of one length are read together, then the caches of all lengths are merged. So each prompt of a batch is continued as
if it were alone, in every family (mlx-lm's own batches are wrong for Gemma-2, see BUGFIX.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack, overload

import mlx.core as mx
from mlx_lm.models.cache import BatchKVCache, KVCache
from mlx_lm.sample_utils import make_sampler

from assay.errors import EditError, shown
from assay.forward import backends, by_numpy
from assay.forward.core import Core, Edits, PromptLike, Prompts
from assay.forward.families.base import Family
from assay.forward.lanes import rest
from assay.forward.layers import forward, unembed
from assay.forward.placed import Placed
from assay.forward.positions import Prompt, is_batch
from assay.forward.sites import is_number, is_whole
from assay.forward.taps import NO_TAP, Tap, Taps

Sampler = Callable[[mx.array], Any]  # logits [B, V] -> B token ids, an array of MLX or NumPy
Stop = Callable[[int, list[int]], bool]  # row, its tokens so far -> stop this row?


@dataclass(frozen=True)
class Generation:
    """The continuation of one prompt: token ids (without the end token) and their text."""

    tokens: tuple[int, ...]
    text: str


class Options(TypedDict, total=False):
    """Keywords of `generate`."""

    edits: Edits
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    seed: int | None
    stop: Callable[[str], bool] | None


@overload
def generate(lm: Core, prompts: PromptLike, **options: Unpack[Options]) -> Generation: ...
@overload
def generate(
    lm: Core, prompts: Sequence[str] | Sequence[Prompt] | Sequence[Sequence[int]], **options: Unpack[Options]
) -> list[Generation]: ...
def generate(
    lm: Core,
    prompts: Prompts,
    *,
    edits: Edits = (),
    max_tokens: int = 32,
    temperature: float = 0.0,
    top_p: float = 0.0,
    top_k: int = 0,
    seed: int | None = None,
    stop: Callable[[str], bool] | None = None,
) -> Generation | list[Generation]:
    """Continue one prompt, or each of a list of prompts as if it were alone; greedy unless `temperature` > 0.

    A continuation ends at an end token (which is left out), or when `stop(text)` is true.
    All prompts of a list draw from one stream of random numbers: `seed` repeats the list, not a single prompt of it.
    Raises what `lm.run` raises, and NotExact when the logits of a later token are not finite.
    """
    batch = lm.batch(prompts)
    if not is_whole(max_tokens) or max_tokens < 1:
        raise EditError(f"max_tokens must be a whole number, at least 1, got {shown(max_tokens)}")
    check_stop(stop)
    placed = lm.place(edits, batch, generates=True)
    lengths = [len(p) for p in batch]
    lm.check_length(max(lengths) + max_tokens - 1)
    check_lengths(lengths, placed)
    choose = sampler(temperature, top_p, top_k, seed, lm.family.vocab)
    stopper = (lambda _, tokens: stop(lm.decode(tokens))) if stop else None
    out, most = [], backends.limits().rows or len(batch)
    for rows in (slice(start, start + most) for start in range(0, len(batch), most)):
        logits, caches = read(lm.family, [p.tokens for p in batch[rows]], placed[rows], lm.dtype)
        lm.check_finite(logits)
        tokens = decode(
            lm.family, logits, caches, placed[rows], lengths[rows], max_tokens,
            choose=choose, ends=lm.end_tokens, dtype=lm.dtype, check=lm.check_finite, stop=stopper,
        )  # fmt: skip
        out += [Generation(tuple(t), lm.decode(t)) for t in tokens]
    return out if is_batch(prompts) else out[0]


LEAST, MOST = 1e-6, 1e6
"""Limits of a temperature, and of top_p: beyond them float32 overflows, and the likeliest token or all of them are drawn."""


def sampler(temperature: float, top_p: float, top_k: int, seed: int | None, vocab: int) -> Sampler:
    """A function from logits [B, V] to B tokens: mlx-lm's sampler, or greedy at temperature 0. A seed makes it repeatable.

    Raises EditError for an option outside its range.
    """
    for name, given, fits, must in (
        ("temperature", temperature, is_number(temperature) and (temperature == 0 or LEAST <= temperature <= MOST),
         f"0 (greedy) or a number from {LEAST:g} to {MOST:g}"),
        ("top_p", top_p, is_number(top_p) and (top_p == 0 or LEAST <= top_p <= 1),
         f"0 (all tokens) or a number from {LEAST:g} to 1"),
        ("top_k", top_k, is_whole(top_k) and 0 <= top_k <= vocab,
         f"0 (all tokens) or a whole number up to {vocab}, the size of the vocabulary"),
        ("seed", seed, seed is None or (is_whole(seed) and 0 <= seed < 2**64),
         "None or a whole number from 0 to 2**64 - 1"),
    ):  # fmt: skip
        if not fits:
            raise EditError(f"{name} must be {must}, got {shown(given)}")
    if temperature == 0 and (top_p or top_k):
        raise EditError("top_p and top_k choose among samples: they need a temperature above 0")
    if temperature == 0:
        return greedy
    if seed is not None:
        mx.random.seed(int(seed))
    choose = make_sampler(temp=float(temperature), top_p=float(top_p), top_k=int(top_k) % vocab)  # mlx-lm: 0 for all
    return lambda logits: choose(logits - mx.logsumexp(logits, axis=-1, keepdims=True))


def check_stop(stop: Any) -> None:
    """Raise EditError unless `stop` is a function or None."""
    if stop is not None and not callable(stop):
        raise EditError(f"stop must be a function of the text so far, or None, got {shown(stop)}")


def greedy(logits: mx.array) -> Any:
    """The likeliest token of each row."""
    return by_numpy.argmax(logits)


def read(
    family: Family,
    prompts: Sequence[Sequence[int]],
    placed: Sequence[Sequence[Placed]],
    dtype: mx.Dtype | None,
) -> tuple[mx.array, list[Any]]:
    """Read prompts under their edits -> last-position logits [B, V] in float32 and one cache per layer for all rows."""
    if len({len(p) for p in prompts}) == 1:
        caches = [KVCache() for _ in range(family.n_layers)]
        tap: Tap = Taps(placed) if any(placed) else NO_TAP
        x = forward(family, mx.array(list(map(list, prompts))), caches, tap, dtype)
        logits = unembed(family, x[:, -1:], _Last(tap, len(prompts[0])))[:, 0].astype(mx.float32)
        mx.eval(logits, [c.state for c in caches])
        return logits, caches
    by_length: dict[int, list[int]] = {}
    for row, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(row)
    parts = [
        (rows, *read(family, [prompts[r] for r in rows], [placed[r] for r in rows], dtype))
        for rows in by_length.values()
    ]
    order = mx.argsort(mx.array([row for rows, _, _ in parts for row in rows]))
    logits = mx.concatenate([logits for _, logits, _ in parts])[order]
    return logits, [merge([caches[i] for _, _, caches in parts], order) for i in range(family.n_layers)]


def merge(caches: Sequence[KVCache], order: mx.array) -> BatchKVCache:
    """Caches of several lengths as one, padded on the left like mlx-lm's batches; its rows are taken in `order`."""
    longest = max(cache.offset for cache in caches)
    padding = [longest - cache.offset for cache in caches for _ in range(cache.keys.shape[0])]  # type: ignore[union-attr]

    def joined(site: str) -> mx.array:
        parts = [getattr(cache, site)[:, :, : cache.offset] for cache in caches]
        return mx.concatenate([mx.pad(p, [(0, 0), (0, 0), (longest - p.shape[2], 0), (0, 0)]) for p in parts])[order]

    left = mx.array(padding)[order]
    batch = BatchKVCache([0])
    batch.state = (joined("keys"), joined("values"), longest - left, left, longest)
    return batch


class _Last:
    """A tap for an unembedding that computes the last prompt position only."""

    def __init__(self, tap: Tap, length: int):
        self.tap, self.length = tap, length

    def wants(self, site: str, layer: int | None) -> bool:
        return self.tap.wants(site, layer)

    def __call__(self, site: str, layer: int | None, value: mx.array) -> mx.array:
        if not isinstance(self.tap, Taps):
            return value
        self.tap.start = self.length - 1
        return self.tap(site, layer, value)


def decode(
    family: Family,
    logits: mx.array,
    caches: list[Any],
    placed: Sequence[Sequence[Placed]],
    lengths: Sequence[int],
    max_tokens: int,
    *,
    choose: Sampler,
    ends: frozenset[int],
    dtype: mx.Dtype | None,
    check: Callable[[mx.array], None],
    stop: Stop | None = None,
) -> list[list[int]]:
    """Continue rows token by token from their last logits [B, V] -> each row's tokens, without the end token.

    Finished rows leave the batch. `stop(row, tokens)` ends a row early. `check` gets all logits but the first and raises if
    they are not finite (NaN would win every argmax).
    """
    out: list[list[int]] = [[] for _ in range(logits.shape[0])]
    alive = list(range(logits.shape[0]))
    later = [[p for p in row if p.where.generated] for row in placed]
    for step in range(max_tokens):
        rest()
        chosen = choose(logits).tolist()
        keep = []
        for i, (row, token) in enumerate(zip(alive, chosen, strict=True)):  # type: ignore[arg-type]
            if token in ends:
                continue
            out[row].append(token)
            if stop is None or not stop(row, out[row]):
                keep.append(i)
        if not keep or step == max_tokens - 1:
            break
        if len(keep) < len(alive):
            caches[:] = [rows_of(cache, keep) for cache in caches]  # in place, so that the old caches are freed
            alive, chosen = [alive[i] for i in keep], [chosen[i] for i in keep]  # type: ignore[index]
        start = max(lengths[row] for row in alive) + step
        tap: Tap = Taps([later[row] for row in alive], start=start) if any(later) else NO_TAP
        x = forward(family, mx.array(chosen)[:, None], caches, tap, dtype)
        logits = unembed(family, x, tap)[:, 0].astype(mx.float32)
        mx.eval(logits, [c.state for c in caches])
        check(logits)
    return out


def rows_of(cache: Any, rows: list[int]) -> Any:
    """The cache of some rows of a batch."""
    index = mx.array(rows)
    if hasattr(cache, "filter"):
        cache.filter(index)
        return cache
    kept = KVCache()
    kept.keys, kept.values = cache.keys[index], cache.values[index]
    kept.offset, kept.step = cache.offset, cache.step
    return kept


def check_lengths(lengths: Sequence[int], placed: Sequence[Sequence[Placed]]) -> None:
    """Raise EditError for edits of scores or pattern in merged caches: left padding shifts the keys of each row differently."""
    if len(set(lengths)) > 1 and any(
        p.key[0] in ("scores", "pattern") and p.where.generated for row in placed for p in row
    ):
        raise EditError(
            "edits of scores or pattern at generated positions need prompts of one length: generate them one at a time"
        )
