"""Sweeps: hundreds of edits of one prompt at the cost of a few forward passes, with the results of full forward passes.

    >>> clean = lm.run("The capital of the state containing Dallas is", keep=SWEEPABLE)
    >>> late = [clean["resid_post", source][0, -1] for source in range(lm.n_layers)]
    >>> patches = [assay.replace("resid_post", late[s], layer=t, position=-1) for s in range(lm.n_layers) for t in range(s)]
    >>> lm.sweep(clean, patches, targets=[" Austin"]).target_ranks.shape
    (28, 1)

A sweep makes one clean run, unless a run that kept `SWEEPABLE` is given in place of the prompt. Every variant enters at the
first layer and position that it edits (see `assay.forward.sweep.plan`), as one more row of the batch, so each layer's weights
are read once per chunk. Results are reduced chunk by chunk and returned in the order of the variants.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack, overload

import mlx.core as mx
import numpy as np
from tqdm import tqdm

from assay.errors import EditError, PositionError, shown
from assay.forward import backends, lanes
from assay.forward.answers import Shared, told_apart
from assay.forward.core import Core, Keep, PromptLike
from assay.forward.edits import Edit
from assay.forward.families.base import Family
from assay.forward.generate import Generation, check_stop, decode, greedy
from assay.forward.layers import embed
from assay.forward.placed import Placed, place, require_finite
from assay.forward.positions import Position, Prompt, is_batch, resolve
from assay.forward.run import Run
from assay.forward.sites import expand, is_number, is_whole, listed
from assay.forward.sweep.chunk import Wanted, run_chunk
from assay.forward.sweep.memory import Sizes
from assay.forward.sweep.plan import Chunk, Plan
from assay.forward.sweep.plan import plan as make_plan
from assay.forward.sweep.results import Sweep, gather

LEAST_WORK = 2**25
"""Fewest multiplications in a layer for which a thread pays off: they take milliseconds, Python's calls a fraction of one."""
SWEEPABLE = ("embed", "k_rot", "v", "z", "resid_mid", "mlp_raw", "resid_post")


Variant = Edit | Sequence[Edit]


class Reports(TypedDict, total=False):
    """Keywords of `sweep` for the results of each variant and the memory."""

    targets: Sequence[str | int]
    shared: Shared
    top_k: int
    logits: bool
    keep: Keep
    at: Position
    max_tokens: int
    memory_budget: int | None


class Options(Reports, total=False):
    """All keywords of `sweep`."""

    stop: Callable[[str], bool] | None
    progress: bool | None


@overload
def sweep(lm: Core, prompt: PromptLike | Run, variants: Sequence[Variant], **options: Unpack[Options]) -> Sweep: ...
@overload
def sweep(
    lm: Core,
    prompt: Sequence[str] | Sequence[Prompt] | Sequence[Run],
    variants: Sequence[Sequence[Variant]],
    **options: Unpack[Options],
) -> list[Sweep]: ...
def sweep(
    lm: Core,
    prompt: Any,
    variants: Sequence[Any],
    *,
    targets: Sequence[str | int] = (),
    shared: Shared = "refuse",
    top_k: int = 0,
    logits: bool = False,
    keep: Keep = (),
    at: Position = -1,
    max_tokens: int = 0,
    stop: Callable[[str], bool] | None = None,
    memory_budget: int | None = None,
    progress: bool | None = None,
) -> Sweep | list[Sweep]:
    """Run many variants (lists of edits) of one prompt -> `Sweep`: exactly what `lm.run` gives for each.

    prompt: a prompt, or a run of it that kept `SWEEPABLE`; or a list of either, with a list of variants for each (the
    result is then a list). targets, top_k, logits, keep (at positions `at`): which results to report. A target is a token id,
    or a text of which the first token counts, as it follows the prompt (`lm.token`); shared: "refuse" two different texts with
    the same token, or "allow" them. max_tokens > 0: continue each variant greedily until `stop(text)` is true (several threads
    call it, one at a time). memory_budget: bytes beyond those in use now (default: a quarter of the memory). progress: a bar
    on stderr (default: on a terminal, after a second).
    Raises what `lm.run` and `lm.token` raise, and BudgetError when the budget is too small for one variant.
    """
    reports: Reports = {
        "targets": targets, "shared": shared, "top_k": top_k, "logits": logits, "keep": keep, "at": at,
        "max_tokens": max_tokens, "memory_budget": memory_budget,
    }  # fmt: skip
    check_stop(stop)
    if progress is not None and not isinstance(progress, bool):
        raise EditError(f"progress must be True, False or None, got {shown(progress)}")
    one = not is_batch(prompt)
    prompts, lists = ([prompt], [variants]) if one else (prompt, _variants(variants))
    if len(prompts) != len(lists):
        raise EditError(f"{len(prompts)} prompts need as many lists of variants, got {len(lists)}")
    jobs = [make_job(lm, p, v, **reports) for p, v in zip(prompts, lists, strict=True)]
    with _bar(lm, sum(len(job.rows) for job in jobs), progress) as bar:
        done = [run_job(lm, job, max_tokens, stop, bar) for job in jobs]
    return done[0] if one else done


def dry_run(
    lm: Core,
    prompt: PromptLike | Run,
    variants: Sequence[Variant],
    *,
    stop: Callable[[str], bool] | None = None,
    progress: bool | None = None,
    **reports: Unpack[Reports],
) -> Plan:
    """The plan of a sweep with the same arguments: layer-positions, chunks and bytes. Nothing is computed."""
    return make_job(lm, prompt, variants, **reports).plan


@dataclass(frozen=True)
class Job:
    """A checked and planned sweep of one prompt."""

    prompt: Prompt
    clean: Run | None
    rows: list[list[Placed]]
    wanted: Wanted
    plan: Plan


def make_job(
    lm: Core,
    prompt: Any,
    variants: Sequence[Any],
    *,
    targets: Sequence[str | int] = (),
    shared: Shared = "refuse",
    top_k: int = 0,
    logits: bool = False,
    keep: Keep = (),
    at: Position = -1,
    max_tokens: int = 0,
    memory_budget: int | None = None,
) -> Job:
    """Check and plan a sweep; nothing is computed."""
    if isinstance(prompt, Run):
        check_sweepable(lm, prompt)
    clean, one = (prompt, prompt.prompts[0]) if isinstance(prompt, Run) else (None, lm.prompt(prompt))
    lists = [listed(v) for v in _variants(variants)]
    if not lists:
        raise EditError("a sweep needs at least one variant")
    for name, given, fits, must in (
        ("max_tokens", max_tokens, is_whole(max_tokens) and max_tokens >= 0, "a whole number, at least 0"),
        ("top_k", top_k, is_whole(top_k) and 0 <= top_k <= lm.family.vocab,
         f"a whole number, at least 0 and at most {lm.family.vocab}, the size of the vocabulary"),
        ("logits", logits, isinstance(logits, bool), "True or False"),
        ("memory_budget", memory_budget, memory_budget is None or (is_number(memory_budget) and 0 < memory_budget < 2**63),
         "None or a number of bytes above 0"),
    ):  # fmt: skip
        if not fits:
            raise EditError(f"{name} must be {must}, got {shown(given)}")
    lm.check_length(len(one) + max(max_tokens - 1, 0))
    require_finite([edit for v in lists for edit in v])
    rows = [place(v, one, lm.family, generates=max_tokens > 0) for v in lists]
    tokens = told_apart(targets, lambda target: lm.token(target, after=one), shared)
    wanted = Wanted(tokens, top_k, logits, tuple(expand(keep, lm.n_layers)), resolve(at, one).prompt)
    if wanted.keep and not wanted.at:
        raise PositionError(f"nothing can be kept at {shown(at)}: choose positions of the prompt")
    if clean is not None and (missing := [k for k in wanted.keep if k not in clean.kept]):
        raise EditError(f"the clean run must itself keep {missing[0]} for the sweep to keep it")
    sizes = Sizes(
        lm.family, len(one), max_tokens, len(wanted.targets), logits, wanted.keep, wanted.at,
        float32=lm.dtype is not None,
    )  # fmt: skip
    budget = default_budget() if memory_budget is None else int(memory_budget)
    return Job(
        one,
        clean,
        rows,
        wanted,
        make_plan(rows, sizes, budget, has_clean=clean is not None, most=backends.limits().rows),
    )


def _variants(variants: Any) -> list[Any]:
    if not isinstance(variants, Iterable):
        raise EditError(f"a sweep takes a list of variants, each an edit or a list of edits, got {shown(variants)}")
    return listed(variants)


def run_job(lm: Core, job: Job, max_tokens: int, stop: Callable[[str], bool] | None, bar: Any) -> Sweep:
    """Run a planned sweep, chunk by chunk."""
    clean = job.clean or lm.run(job.prompt, keep=[*SWEEPABLE, *job.wanted.keep])
    mx.eval([placed.value for row in job.rows for placed in row if placed.value is not None])  # for any thread
    stop = stop and lanes.one_at_a_time(stop)
    texts: dict[int, Generation] = {}
    parts = []
    for whole in job.plan.chunks:
        chunks = whole.dealt(_abreast(lm.family, job, whole))
        done = lanes.abreast(lambda chunk: _run_part(lm, job, clean, chunk, max_tokens, stop), chunks)
        for chunk, (found, continued) in zip(chunks, done, strict=True):
            parts.append((chunk, found))
            texts.update(zip(chunk.variants, continued, strict=False))
        bar.update(len(whole.variants))
    found = gather(parts, len(job.rows))
    kept = {key: found.pop(f"kept {key}") for key in job.wanted.keep}
    continuations = [texts[i] for i in range(len(job.rows))] if max_tokens else None
    if job.clean is None:
        clean = Run(clean.prompts, clean.logits, {})
    return Sweep(clean, job.plan, found, kept, continuations)


def _abreast(family: Family, job: Job, chunk: Chunk) -> int:
    """Number of parts of a chunk: at most one per lane, each with `LEAST_WORK`; 1 with `apply` edits (maybe not thread-safe)."""
    if any(placed.function for i in chunk.variants for placed in job.rows[i]):
        return 1
    work = len(chunk.variants) * (len(job.prompt) - chunk.front) * sum(family.weights_of_layer)
    return max(1, min(lanes.count(), work // LEAST_WORK))


def _run_part(
    lm: Core, job: Job, clean: Run, chunk: Chunk, max_tokens: int, stop: Callable[[str], bool] | None
) -> tuple[dict[str, np.ndarray], list[Generation]]:
    """One chunk's results and continuations. A function of its own, so that its arrays are freed before the next chunk."""
    last, found, caches = run_chunk(lm.family, clean, chunk, job.rows, job.wanted, max_tokens)
    lm.check_finite(last)
    arrays = {name: np.array(value) for name, value in found.items()}
    if not max_tokens:
        return arrays, []
    del found
    placed, lengths = [job.rows[i] for i in chunk.variants], [len(job.prompt)] * len(chunk.variants)
    tokens = decode(
        lm.family, last, caches, placed, lengths, max_tokens,
        choose=greedy, ends=lm.end_tokens, dtype=lm.dtype, check=lm.check_finite,
        stop=(lambda _, tokens: stop(lm.decode(tokens))) if stop else None,
    )  # fmt: skip
    return arrays, [Generation(tuple(t), lm.decode(t)) for t in tokens]


def check_sweepable(lm: Core, run: Run) -> None:
    """Raise EditError unless a run can be the clean run of a sweep of this model."""
    if len(run.prompts) != 1:
        raise EditError(f"a sweep starts from a run of one prompt, this one has {len(run.prompts)}")
    if run.edited:
        raise EditError("a sweep starts from a clean run, this one was edited")
    if missing := [k for k in expand(SWEEPABLE, lm.n_layers) if k not in run.kept]:
        raise EditError(f"a run to sweep from must keep {missing[0][0]!r}: make it with keep=assay.SWEEPABLE")
    lm.prompt(run.prompts[0])
    embedded = embed(lm.family, mx.array([run.prompts[0].tokens]), lm.dtype)
    if run["embed"].dtype != embedded.dtype or not mx.array_equal(run["embed"], embedded):
        raise EditError(f"a sweep of {lm.name} starts from a run of {lm.name} with the same activations")


def default_budget() -> int:
    """Bytes a sweep may use by default: a quarter of the memory of the machine or card."""
    return backends.memory() // 4


def _bar(lm: Core, total: int, progress: bool | None) -> Any:
    disable = None if progress is None else not progress  # None: only on a terminal
    return tqdm(total=total, desc=f"sweep {lm.name}", unit="variant", delay=1.0, leave=False, disable=disable)
