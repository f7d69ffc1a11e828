"""Sweeps: hundreds of edits of one prompt for the price of a few forwards, and exactly what the forwards would give.

    >>> clean = lm.run(prompt, keep=SWEEPABLE)                                                    # doctest: +SKIP
    >>> patches = [[replace("resid_post", clean["resid_post", s][0, -1], layer=t, position=-1)]   # doctest: +SKIP
    ...            for s in range(lm.n_layers) for t in range(s)]
    >>> sweep = lm.sweep(clean, patches, targets=[" Austin"])                                     # doctest: +SKIP
    >>> sweep.target_ranks.shape                                                                  # doctest: +SKIP
    (120, 1)

One clean run is made (or taken over, if a run that kept `SWEEPABLE` is given in place of the prompt). Every variant enters
at its first touched layer and position (see `assay.forward.plan`), as one more row of the batch, so each layer's weights
are read once per chunk. Results are reduced chunk by chunk to what was asked for, in the order of the variants.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np
from tqdm import tqdm

from assay.errors import EditError
from assay.forward.chunk import Wanted, run_chunk
from assay.forward.edits import Edit, Placed, place
from assay.forward.generate import Generation, decode, greedy
from assay.forward.plan import Chunk, Plan, Sizes, values
from assay.forward.plan import plan as make_plan
from assay.forward.positions import Position, Prompt, resolve
from assay.forward.run import Run
from assay.forward.sites import Key, expand

if TYPE_CHECKING:
    from assay.forward.lm import LM

SWEEPABLE = ("embed", "k_rot", "v", "z", "resid_mid", "mlp_raw", "resid_post")


@dataclass(frozen=True, eq=False)
class Sweep:
    """Results of N variants, in their order; None where not asked for. Arrays are float32 numpy unless said otherwise.

    greedy [N] int: the most likely next token.        logits [N, V].
    target_log_probs, target_ranks [N, T]: log-probability, and how many tokens are likelier (0: the top one).
    top_tokens [N, k] int and top_log_probs [N, k].    continuations: a Generation for each variant.
    kept: for each key [N, P, features], at the P positions asked for.
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
        return self.kept[key if isinstance(key, tuple) else (key, None)]

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
    result is then a list). targets, top_k, logits, keep (at positions `at`): what to report. max_tokens > 0: continue
    each variant greedily, until `stop(text)` says so. memory_budget: bytes over what is in use now (default: a quarter
    of the machine). progress: a bar with an estimate on stderr (default: on a terminal, after a second).
    Raises what `lm.run` raises, and BudgetError when the budget is too small for one variant.
    """
    options = {
        "targets": targets, "top_k": top_k, "logits": logits, "keep": keep, "at": at, "max_tokens": max_tokens,
        "memory_budget": memory_budget,
    }  # fmt: skip
    if not isinstance(prompt, list):
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
        check_sweepable(prompt, lm.n_layers)
        clean, one = prompt, prompt.prompts[0]
    else:
        clean, one = None, lm.prompt(prompt)
    if not variants:
        raise EditError("a sweep needs at least one variant")
    lists = [[v] if isinstance(v, Edit) else v for v in variants]
    rows = [place(v, one, lm.family, generates=max_tokens > 0) for v in lists]
    ids = tuple(lm.token(t) if isinstance(t, str) else t for t in targets)
    wanted = Wanted(ids, top_k, logits, tuple(expand(keep, lm.n_layers)), resolve(at, one).prompt)
    if clean is not None and (missing := [k for k in wanted.keep if k not in clean.kept]):
        raise EditError(f"the clean run must itself keep {missing[0]} for the sweep to keep it")
    per_position = sum(values(lm.family, name, len(one)) for name, _ in wanted.keep)
    sizes = Sizes(lm.family, len(one), max_tokens, per_position * len(wanted.at) + lm.family.vocab * logits)
    budget = default_budget() if memory_budget is None else memory_budget
    return Job(one, clean, rows, wanted, make_plan(rows, sizes, budget, has_clean=clean is not None))


def run_job(lm: "LM", job: Job, max_tokens: int, stop: Callable[[str], bool] | None, bar: Any) -> Sweep:
    """Run a planned sweep, chunk by chunk."""
    clean = job.clean or lm.run(job.prompt, keep=[*SWEEPABLE, *job.wanted.keep])
    stop_row = (lambda _, tokens: stop(lm.decode(tokens))) if stop else None
    texts: dict[int, Generation] = {}
    parts = []
    for chunk in job.plan.chunks:
        last, found, caches = run_chunk(lm.family, clean, chunk, job.rows, job.wanted, max_tokens)
        lm.check_finite(last)
        parts.append((chunk, found))
        if max_tokens:
            placed, lengths = [job.rows[i] for i in chunk.variants], [len(job.prompt)] * len(chunk.variants)
            tokens = decode(
                lm.family, last, caches, placed, lengths, max_tokens,
                choose=greedy, ends=lm.end_tokens, dtype=lm.dtype, stop=stop_row,
            )  # fmt: skip
            texts.update((i, Generation(tuple(t), lm.decode(t))) for i, t in zip(chunk.variants, tokens, strict=True))
        bar.update(len(chunk.variants))
    found = gather(parts, len(job.rows))
    kept = {key: found.pop(f"kept {key}") for key in job.wanted.keep}
    continuations = [texts[i] for i in range(len(job.rows))] if max_tokens else None
    return Sweep(clean, job.plan, kept=kept, continuations=continuations, **found)


def check_sweepable(run: Run, n_layers: int) -> None:
    """Raise EditError unless a run can stand for the clean run of a sweep."""
    if len(run.prompts) != 1:
        raise EditError(f"a sweep starts from a run of one prompt, this one has {len(run.prompts)}")
    if run.edited:
        raise EditError("a sweep starts from a clean run, this one was edited")
    if missing := [k for k in expand(SWEEPABLE, n_layers) if k not in run.kept]:
        raise EditError(f"a run to sweep from must keep {missing[0][0]!r}: make it with keep=assay.SWEEPABLE")


def default_budget() -> int:
    """Bytes a sweep may use when the user does not say: a quarter of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4


def _bar(lm: "LM", total: int, progress: bool | None) -> Any:
    disable = None if progress is None else not progress  # None: only on a terminal
    return tqdm(total=total, desc=f"sweep {lm.name}", unit="variant", delay=1.0, leave=False, disable=disable)


def gather(parts: Sequence[tuple[Chunk, dict[str, mx.array]]], n: int) -> dict[str, np.ndarray]:
    """Results of all chunks as arrays over variants in their own order."""
    out: dict[str, np.ndarray] = {}
    for chunk, found in parts:
        for name, value in found.items():
            array = np.array(value)
            if name not in out:
                out[name] = np.zeros((n, *array.shape[1:]), array.dtype)
            out[name][list(chunk.variants)] = array
    return out
