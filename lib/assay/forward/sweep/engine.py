"""Sweeps: hundreds of edits of one prompt for the price of a few forwards, and exactly what the forwards would give.

    >>> clean = lm.run(prompt, keep=SWEEPABLE)                                                    # doctest: +SKIP
    >>> patches = [[replace("resid_post", clean["resid_post", s][0, -1], layer=t, position=-1)]   # doctest: +SKIP
    ...            for s in range(lm.n_layers) for t in range(s)]
    >>> sweep = lm.sweep(clean, patches, targets=[" Austin"])                                     # doctest: +SKIP
    >>> sweep.target_ranks.shape                                                                  # doctest: +SKIP
    (120, 1)

One clean run is made (or taken over, if a run that kept `SWEEPABLE` is given in place of the prompt). Every variant enters
at its first touched layer and position (see `assay.forward.sweep.plan`), as one more row of the batch, so each layer's weights
are read once per chunk. Results are reduced chunk by chunk to what was asked for, in the order of the variants.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np
from tqdm import tqdm

from assay.errors import EditError, PositionError
from assay.forward import backends, lanes
from assay.forward.edits import Placed, place, require_finite
from assay.forward.families import Llama
from assay.forward.generate import Generation, decode, embed, greedy
from assay.forward.positions import Position, Prompt, is_batch, resolve
from assay.forward.run import Run, look_up
from assay.forward.sites import Key, expand, is_whole
from assay.forward.sweep.chunk import Wanted, run_chunk
from assay.forward.sweep.memory import Sizes
from assay.forward.sweep.plan import Chunk, Plan
from assay.forward.sweep.plan import plan as make_plan

if TYPE_CHECKING:
    from assay.forward.lm import LM

LEAST_WORK = 2**25
"""Multiplications in a layer that are worth a thread: they take milliseconds, and Python a fraction of one to ask for them."""
SWEEPABLE = ("embed", "k_rot", "v", "z", "resid_mid", "mlp_raw", "resid_post")


@dataclass(frozen=True, eq=False)
class Sweep:
    """Results of N variants, in their order; None where not asked for. Arrays are float32 numpy unless said otherwise.

    greedy [N] int: the most likely next token.        logits [N, V].
    target_log_probs, target_ranks [N, T]: log-probability, and how many tokens are likelier (0: the top one).
    top_tokens [N, k] int and top_log_probs [N, k].    continuations: a Generation for each variant.
    kept: for each key [N, P, features], at the P positions asked for.
    clean: the clean run; the one given, or else its logits only, so that many sweeps can be held.
    """

    clean: Run
    plan: Plan
    greedy: np.ndarray
    logits: np.ndarray | None = None
    target_log_probs: np.ndarray | None = None
    target_ranks: np.ndarray | None = None
    top_tokens: np.ndarray | None = None
    top_log_probs: np.ndarray | None = None
    kept: dict[Key, np.ndarray] = field(default_factory=dict)
    continuations: list[Generation] | None = None

    def __getitem__(self, key: str | tuple[str, int]) -> np.ndarray:
        return look_up(self.kept, key)

    def __len__(self) -> int:
        return len(self.greedy)


def sweep(
    lm: "LM",
    prompt: Any,
    variants: Sequence[Any],
    *,
    targets: Sequence[str | int] = (),
    top_k: int = 0,
    logits: bool = False,
    keep: str | Iterable[str | tuple[str, int | None]] = (),
    at: Position = -1,
    max_tokens: int = 0,
    stop: Callable[[str], bool] | None = None,
    memory_budget: int | None = None,
    progress: bool | None = None,
) -> Any:
    """Run many variants (lists of edits) of one prompt -> `Sweep`: exactly what `lm.run` gives for each.

    prompt: a prompt, or a run of it that kept `SWEEPABLE`; or a list of either, with a list of variants for each (the
    result is then a list). targets, top_k, logits, keep (at positions `at`): what to report. max_tokens > 0: continue each
    variant greedily, until `stop(text)` says so (asked by one thread at a time, and not always by the same). memory_budget:
    bytes over what is in use now (default: a quarter of the machine). progress: a bar with an estimate on stderr (default:
    on a terminal, after a second).
    Raises what `lm.run` raises, and BudgetError when the budget is too small for one variant.
    """
    options = {
        "targets": targets, "top_k": top_k, "logits": logits, "keep": keep, "at": at, "max_tokens": max_tokens,
        "memory_budget": memory_budget,
    }  # fmt: skip
    if not is_batch(prompt):
        job = make_job(lm, prompt, variants, **options)
        with _bar(lm, len(job.rows), progress) as bar:
            return run_job(lm, job, max_tokens, stop, bar)
    if len(prompt) != len(variants):
        raise EditError(f"{len(prompt)} prompts need as many lists of variants, got {len(variants)}")
    jobs = [make_job(lm, p, v, **options) for p, v in zip(prompt, variants, strict=True)]
    with _bar(lm, sum(len(job.rows) for job in jobs), progress) as bar:
        return [run_job(lm, job, max_tokens, stop, bar) for job in jobs]


def dry_run(lm: "LM", prompt: Any, variants: Sequence[Any], **options: Any) -> Plan:
    """The plan of `sweep(lm, prompt, variants, **options)` for one prompt: layer-positions, chunks and bytes."""
    return make_job(lm, prompt, variants, **{k: v for k, v in options.items() if k not in ("stop", "progress")}).plan


@dataclass(frozen=True)
class Job:
    """A sweep of one prompt that has been checked and planned."""

    prompt: Prompt
    clean: Run | None
    rows: list[list[Placed]]
    wanted: Wanted
    plan: Plan


def make_job(
    lm: "LM",
    prompt: Any,
    variants: Sequence[Any],
    *,
    targets: Sequence[str | int] = (),
    top_k: int = 0,
    logits: bool = False,
    keep: Any = (),
    at: Position = -1,
    max_tokens: int = 0,
    memory_budget: int | None = None,
) -> Job:
    """Check and plan a sweep; nothing is computed."""
    if isinstance(prompt, Run):
        check_sweepable(lm, prompt)
    clean, one = (prompt, prompt.prompts[0]) if isinstance(prompt, Run) else (None, lm.prompt(prompt))
    lists = [list(v) if isinstance(v, Iterable) else [v] for v in variants]
    if not lists:
        raise EditError("a sweep needs at least one variant")
    for name, count in (("max_tokens", max_tokens), ("top_k", top_k)):
        if not is_whole(count) or count < 0:
            raise EditError(f"{name} must be a whole number, at least 0, got {count}")
    require_finite([edit for v in lists for edit in v])
    rows = [place(v, one, lm.family, generates=max_tokens > 0) for v in lists]
    wanted = Wanted(
        tuple(lm.token(t) for t in targets), top_k, logits, tuple(expand(keep, lm.n_layers)), resolve(at, one).prompt
    )
    if wanted.keep and not wanted.at:
        raise PositionError(f"nothing can be kept at {at!r}: choose positions of the prompt")
    if clean is not None and (missing := [k for k in wanted.keep if k not in clean.kept]):
        raise EditError(f"the clean run must itself keep {missing[0]} for the sweep to keep it")
    sizes = Sizes(
        lm.family, len(one), max_tokens, len(wanted.targets), logits, wanted.keep, wanted.at,
        float32=lm.dtype is not None,
    )  # fmt: skip
    budget = default_budget() if memory_budget is None else memory_budget
    return Job(
        one,
        clean,
        rows,
        wanted,
        make_plan(rows, sizes, budget, has_clean=clean is not None, most=backends.limits().rows),
    )


def run_job(lm: "LM", job: Job, max_tokens: int, stop: Callable[[str], bool] | None, bar: Any) -> Sweep:
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
    return Sweep(clean, job.plan, kept=kept, continuations=continuations, **found)


def _abreast(family: Llama, job: Job, chunk: Chunk) -> int:
    """Into how many parts a chunk is dealt, one for each core: as many as have `LEAST_WORK` in every layer.

    One, if a function of the user's acts in it: it may be made for one thread.
    """
    if any(placed.function for i in chunk.variants for placed in job.rows[i]):
        return 1
    work = len(chunk.variants) * (len(job.prompt) - chunk.front) * family.layer_weights
    return max(1, min(lanes.count(), work // LEAST_WORK))


def _run_part(
    lm: "LM", job: Job, clean: Run, chunk: Chunk, max_tokens: int, stop: Callable[[str], bool] | None
) -> tuple[dict[str, np.ndarray], list[Generation]]:
    """One chunk's results, and its continuations if there are any. A function, so that its arrays are freed before the next."""
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


def check_sweepable(lm: "LM", run: Run) -> None:
    """Raise EditError unless a run can stand for the clean run of a sweep of this model."""
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
    """Bytes a sweep may use when the user does not say: a quarter of the memory of machine or card."""
    return backends.memory() // 4


def _bar(lm: "LM", total: int, progress: bool | None) -> Any:
    disable = None if progress is None else not progress  # None: only on a terminal
    return tqdm(total=total, desc=f"sweep {lm.name}", unit="variant", delay=1.0, leave=False, disable=disable)


def gather(parts: Sequence[tuple[Chunk, dict[str, np.ndarray]]], n: int) -> dict[str, np.ndarray]:
    """Results of all chunks as arrays over variants in their own order."""
    out: dict[str, np.ndarray] = {}
    for chunk, found in parts:
        for name, array in found.items():
            if name not in out:
                out[name] = np.zeros((n, *array.shape[1:]), array.dtype)
            out[name][list(chunk.variants)] = array
    return out
