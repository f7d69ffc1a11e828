"""The doctor: checks, whenever a model is loaded, that the instrumented forward pass computes what the model computes.

    >>> print(lm.doctor())
    llama_tiny is hooked exactly (... of ... checks bit for bit, on ...)
      ok  float32 products are float32                                             bitwise
      ok  the instrumented forward equals the model's own ...

The reference is mlx-lm's model. Where the published model differs from it (`assay.forward.families.follow`), the report says
so: the forward pass is then compared with mlx-lm's as mlx-lm does it, and as published on prompts for which both are the same.

Each check is an identity that a wrong norm, mask, scale, head split, window or cache would break. Checks that repeat the same
operations must hold bit for bit where rows are exact, and elsewhere to `lm.rounding`, which is measured
(`assay.forward.exactness`). Checks that compute a number by other sums (the attention output from pattern and values, or from
single heads) must agree to `TOLERANCE` of the largest value. The first check compares all logits, the others the first `FEW`.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models.cache import make_prompt_cache

from assay import before_mlx, blas
from assay.errors import NotExact
from assay.forward import edits, generate, lanes
from assay.forward.arithmetic import machine
from assay.forward.by_numpy import at_any_size, by_mlx, chosen
from assay.forward.core import Core
from assay.forward.exactness import LENGTH, difference, probe_tokens
from assay.forward.families.base import Family
from assay.forward.layers import forward, unembed
from assay.forward.placed import Placed, place
from assay.forward.positions import Prompt
from assay.forward.sites import SITES, expand
from assay.forward.sweep import SWEEPABLE, sweep
from assay.forward.taps import NO_TAP, NoTap, Taps
from assay.models.weights import dense_weight

TOLERANCE = {mx.float32: 1e-3, mx.bfloat16: 5e-2, mx.float16: 1e-2}  # relative to the largest value compared
LAST_PLACES = {mx.float32: 2.0**-17, mx.float16: 2.0**-9, mx.bfloat16: 2.0**-7}  # likewise


FEW = 4096
"""Number of logits that all checks but the first compare."""


@dataclass(frozen=True)
class Check:
    """One identity: the claim, the largest difference found and its limit, both relative to the largest value."""

    claim: str
    difference: float
    limit: float

    @property
    def ok(self) -> bool:
        return self.difference <= self.limit  # NaN fails

    def __str__(self) -> str:
        found = "bitwise" if self.difference == 0 else f"{self.difference:.1e} (limit {self.limit:.0e})"
        return f"  {'ok ' if self.ok else 'BAD'} {self.claim:<72} {found}"


@dataclass(frozen=True)
class Report:
    """All checks of one model."""

    name: str
    device: str
    checks: tuple[Check, ...]
    ours: tuple[str, ...] = ()
    """What mlx-lm computes otherwise than the published model, and assay as published."""

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def failures(self) -> str:
        """The claims that do not hold, in one line."""
        return "; ".join(f"{c.claim} (off by {c.difference:.1e})" for c in self.checks if not c.ok)

    def __str__(self) -> str:
        same = sum(c.difference == 0 for c in self.checks)
        head = (
            f"{self.name} is hooked exactly ({same} of {len(self.checks)} checks bit for bit, on {self.device})"
            if self.ok
            else f"{self.name} is NOT hooked exactly"
        )
        return "\n".join([head, *map(str, self.checks), *(f"  as published: {each}" for each in self.ours)])


def doctor(lm: Core) -> Report:
    """Check that the instrumented forward pass computes what mlx-lm's model does. Raises NotExact if a check fails."""
    report = examine(lm)
    if not report.ok:
        raise NotExact(f"{lm.name} is not hooked exactly: {report.failures()}")
    return report


def examine(lm: Core) -> Report:
    """Run every check on `lm`: about twenty forward passes of nine tokens."""
    device = str(mx.default_device().type).rpartition(".")[2]
    library = f" with {blas.in_use()}" if device == "cpu" and blas.in_use() else ""
    return Report(lm.name, device + library, tuple(_checks(lm)), lm.family.ours)


def _checks(lm: Core) -> Iterator[Check]:
    family, dtype = lm.family, lm.dtype
    ids = probe_tokens(family)
    tokens = mx.array([ids])
    rounded = before_mlx.precision() == "tf32"
    yield Check("float32 products are float32", float(not (machine().float32 or rounded)), 0.0)
    keep = expand(SITES, family.n_layers)
    # On the CPU, products of 4-bit weights with half precision are ten times slower than with float32: read fewer tokens.
    quantised = isinstance(family.down(0), nn.QuantizedLinear)
    few = tokens[:, :3] if mx.default_device() == mx.cpu and quantised else tokens
    theirs = type(family)(lm.model) if family.ours else family
    with lanes.use(1), by_mlx():  # as mlx-lm does
        tap = _AsMlxLm(theirs, few)
        native = unembed(theirs, forward(theirs, few, None, tap, None), tap)
        mx.eval(native)
    # The same operations on the same shapes give the same bits on a CPU, and elsewhere differ in the last place or two.
    own = 0.0 if mx.default_device() == mx.cpu else LAST_PLACES[native.dtype]

    def same(claim: str, a: mx.array, b: mx.array, limit: float) -> Check:
        return Check(claim, difference(a, b), limit)

    yield same("the instrumented forward equals the model's own", native, lm.model(few), own)
    if family.ours:
        yield from _published(family, theirs, few, own)
    lm = _with_few_logits(lm)
    family, bits = lm.family, lm.rounding
    tap = Taps([[]], keep)
    watched = unembed(family, forward(family, tokens, None, tap, dtype), tap)
    quiet = _logits(lm, tokens, dtype)
    yield same("watching every site changes nothing", watched, quiet, bits)
    with at_any_size():
        if chosen(1, quiet.dtype):
            yield same("exponentials by NumPy are those of MLX", _logits(lm, tokens, dtype), quiet, bits)
    yield Check("every activation is finite", 0.0 if _all_finite(tap.kept) else float("nan"), 0.0)

    fine = TOLERANCE[quiet.dtype]
    worst = max(_attention_difference(lm, tap, i) for i in range(family.n_layers))
    yield Check("pattern @ v through o_proj is the attention output, in every layer", worst, fine)
    worst = max(_heads_difference(lm, tap, i) for i in range(family.n_layers))
    yield Check("what the heads write, one by one, sums to the attention output, in every layer", worst, fine)
    stream = tap.kept["embed", None]
    for i in range(family.n_layers):
        stream = family.add(family.add(stream, tap.kept["attn_out", i]), tap.kept["mlp_out", i])
    yield same(
        "embed plus everything written is the last residual",
        stream,
        tap.kept["resid_post", family.n_layers - 1],
        bits,
    )
    yield same(
        "the lens at the last layer is the logits",
        family.unembed(family.final_norm(tap.kept["resid_post", family.n_layers - 1])), quiet, bits,
    )  # fmt: skip
    claims, idle = zip(*_idle_edits(tap, family.n_layers // 2), strict=True)
    placed = [place([edit], Prompt(tuple(ids)), family, generates=False) for edit in idle]
    edited = _logits(lm, mx.repeat(tokens, len(idle), axis=0), dtype, placed)  # one forward, a row for each edit
    for row, claim in enumerate(claims):
        yield same(claim, edited[[row]], quiet, bits)
    yield from _caches_and_batches(lm, ids, quiet)
    yield same("a sweep equals full runs", *_swept_and_full(lm, ids), fine)
    width = family.n_heads * family.head_dim
    given = tap.kept["z", 0].shape[2] * tap.kept["z", 0].shape[3]
    yield Check("heads x head width is the input of o_proj", float(abs(width - given)), 0.0)
    windows = [getattr(cache, "max_size", None) for cache in make_prompt_cache(lm.model)]
    yield Check("each layer's window is that of the model's own cache", float(windows != theirs.windows), 0.0)


def _published(family: Family, theirs: Family, tokens: mx.array, limit: float) -> Iterator[Check]:
    """The published model is mlx-lm's on prompts so short that they differ in nothing, where there are such prompts.

    Windows matter beyond their length, and rotations beyond the first token; activations and softcaps always.
    """
    if family.gate != theirs.gate or (family.softcap, family.final_softcap) != (theirs.softcap, theirs.final_softcap):
        return
    shared = min(window or tokens.shape[1] for window in (*family.windows, *theirs.windows))
    if any(a is not b for a, b in zip(family.rotations, theirs.rotations, strict=True)):
        shared = 1
    few = tokens[:, :shared]
    with lanes.use(1), by_mlx():
        both = [unembed(each, forward(each, few, None, NO_TAP, None), NO_TAP) for each in (family, theirs)]
        mx.eval(both)
    yield Check("the published model equals mlx-lm's on prompts that are short enough", difference(*both), limit)


def _caches_and_batches(lm: Core, ids: list[int], quiet: mx.array) -> Iterator[Check]:
    """Checks of a prompt read with a cache, and of several prompts in a batch, against the same prompts alone."""
    family, dtype = lm.family, lm.dtype
    fine, tokens = TOLERANCE[quiet.dtype], mx.array([ids])
    logits, caches = generate.read(family, [ids[:-2]], [[]], dtype)
    off = difference(logits, quiet[:, -3].astype(mx.float32))
    yield Check("reading with a cache equals reading without", off, fine)
    steps = [unembed(family, forward(family, tokens[:, [t]], caches, NO_TAP, dtype), NO_TAP) for t in (-2, -1)]
    off = difference(mx.concatenate(steps, axis=1), quiet[:, -2:])
    yield Check("one token at a time with a cache equals all at once", off, fine)
    # Rows are prefixes, of two lengths, of two prompts: each must give the logits of its whole prompt at that length.
    # Rows of one length are read together, whatever their order in the batch.
    prompts = [(ids, quiet), (ids[::-1], _logits(lm, tokens[:, ::-1], dtype))]
    rows = [(prompts[0], LENGTH - 1), (prompts[1], LENGTH // 2), (prompts[1], LENGTH - 1), (prompts[0], LENGTH // 2)]
    for B in sorted({3, family.n_kv_heads} - {1}):
        these = [rows[i % len(rows)] for i in range(B)]
        cut = [prompt[:length] for (prompt, _), length in these]
        alone = mx.concatenate([logits[:, length - 1] for (_, logits), length in these]).astype(mx.float32)
        after = mx.concatenate([logits[:, length] for (_, logits), length in these])
        padded = lm.run([Prompt(tuple(row)) for row in cut]).logits
        yield Check(f"{B} prompts at once equal one at a time", difference(padded, alone), fine)
        _, merged = generate.read(family, cut, [[]] * B, dtype)
        following = mx.array([[prompt[length]] for (prompt, _), length in these])
        step = unembed(family, forward(family, following, merged, NO_TAP, dtype), NO_TAP)[:, 0]
        yield Check(f"generating for {B} prompts at once equals one at a time", difference(step, after), fine)


def _with_few_logits(lm: Core) -> Core:
    """The model with the first `FEW` logits only, without softcap: an unembedding can be two thirds of a model's weights."""
    family = lm.family
    some = dense_weight(family.head, rows=FEW)
    few, probe = copy(family), copy(lm)
    few.unembed = lambda x: x @ some.T.astype(x.dtype)  # type: ignore[method-assign]
    probe.__dict__.pop("rounding", None)
    probe.family = few
    return probe


class _AsMlxLm(NoTap):
    """A tap that replaces the family's embedding by mlx-lm's own."""

    def __init__(self, family: Family, tokens: mx.array):
        self.embedding = family.embed_as_mlx_lm(tokens)

    def __call__(self, site: str, layer: int | None, value: mx.array) -> mx.array:
        return self.embedding if site == "embed" else value


def _idle_edits(tap: Taps, layer: int) -> Iterator[tuple[str, Any]]:
    here: Callable[[str], mx.array] = lambda name: tap.kept[name, layer][0]  # noqa: E731
    own = edits.replace("resid_post", here("resid_post"), layer=layer, position="prompt")
    yield "replacing a state by itself changes nothing", own
    nudge = mx.ones(here("resid_post").shape[-1:])
    yield (
        "adding a vector times 0 changes nothing",
        edits.add("resid_post", nudge, layer=layer, position="all", scale=0.0),
    )
    yield "scaling a head by 1 changes nothing", edits.scale("z", 1.0, layer=layer, head=0, position="all")


def _logits(lm: Core, tokens: mx.array, dtype: mx.Dtype | None, placed: Sequence[Sequence[Placed]] = ()) -> mx.array:
    """[B, L, V]; placed: the edits of each row."""
    tap = Taps(placed) if placed else NO_TAP
    return unembed(lm.family, forward(lm.family, tokens, None, tap, dtype), tap)


def _attention_difference(lm: Core, tap: Taps, i: int) -> float:
    pattern, v = tap.kept["pattern", i], tap.kept["v", i]
    B, H, L, _ = pattern.shape
    every_head = mx.repeat(v, H // v.shape[1], axis=1)
    z = (pattern @ every_head).transpose(0, 2, 1, 3).reshape(B, L, -1)
    return difference(lm.family.output(i)(z), tap.kept["attn_raw", i])


def _heads_difference(lm: Core, tap: Taps, i: int) -> float:
    total = tap.kept["head_out", i].sum(axis=2)
    return difference(total + lm.family.output(i).get("bias", 0.0), tap.kept["attn_raw", i])


def _swept_and_full(lm: Core, ids: list[int]) -> tuple[mx.array, mx.array]:
    """Logits of two variants, one that computes the last position only and one that computes several: (swept, full)."""
    clean, last = lm.run(ids, keep=SWEEPABLE), lm.n_layers - 1
    places = [(0, LENGTH - 1), (last // 2, LENGTH // 2)]
    patches = [edits.replace("resid_post", clean["resid_post", last][0, t], layer=i, position=t) for i, t in places]
    swept = sweep(lm, clean, patches, logits=True, progress=False).logits
    placed = [place([patch], clean.prompts[0], lm.family, generates=False) for patch in patches]
    full = _logits(lm, mx.array([ids] * len(patches)), lm.dtype, placed)[:, -1]
    return mx.array(np.asarray(swept)), full.astype(mx.float32)


def _all_finite(kept: dict[Any, mx.array]) -> bool:
    return all(mx.isfinite(x).all().item() for x in kept.values())
