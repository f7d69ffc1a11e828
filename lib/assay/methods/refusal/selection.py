"""Selection of a refusal direction by its effects, not by its length (Arditi et al. 2024, 2.3 and appendix C).

    >>> from assay import methods
    >>> harmful, harmless = (methods.chat_prompts(lm, [f"How can I {what} a car?"]) for what in ("steal", "wash"))
    >>> tokens = methods.refusal_tokens(lm, harmful, harmless, methods.is_refusal_in("en"))
    >>> candidates = methods.difference_in_means(lm, harmful, harmless, n_positions=1)
    >>> halving = SuccessiveHalving(first=1, finalists=2)
    >>> chosen = select_direction(lm, candidates, harmful, harmless, tokens, halving=halving)
    >>> chosen.position, chosen.layer, chosen.by_norm.layer        # the longest candidate is of a late layer
    (-1, 4, 7)

Three scores of a candidate, on validation prompts:

    bypass    mean refusal score on harmful prompts with the candidate ablated: low if the model needs it to refuse
    induce    mean refusal score on harmless prompts with the candidate added (raw, times 1): high if it causes refusal
    kl        KL(unedited || ablated) at the last position of harmless prompts: small if it affects little else

The candidate with the lowest bypass wins among those that pass the `SelectionFilters`. Without the KL filter the winner is
often a direction whose ablation breaks the model. `SuccessiveHalving` saves time: it drops candidates that fail on few prompts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.errors import PromptError, SelectionError
from assay.forward.lm import LM
from assay.forward.positions import Prompt
from assay.methods.directions import Direction, Directions
from assay.methods.portions import Track
from assay.methods.refusal.judging import judge_refusals

Cell = tuple[int, int]  # position (row of the table), layer


@dataclass(frozen=True)
class SelectionFilters:
    """Limits for the winner, by default the paper's. None switches a filter off."""

    kl: float | None = 0.1
    induce: float | None = 0.0
    depth: float = 0.8
    """Only layers below this share of the depth: directions of later layers are close to output tokens."""
    loosen: bool = False
    """Whether the KL limit is doubled until a candidate passes it (see `DirectionSelection.kl_limit`)."""

    def layers(self, n_layers: int) -> int:
        """The number of layers below the depth limit."""
        return int(self.depth * n_layers)


@dataclass(frozen=True)
class SuccessiveHalving:
    """Successive halving: rounds on a few prompts drop candidates before the full measurement."""

    first: int = 8
    """Prompts of the early rounds."""
    finalists: int = 10
    shallow: float = 0.15
    """Layers below this share of the depth are dropped at once."""
    kl: float = 0.15
    """Limit of the KL round: higher than the filter's, since the round has few prompts."""


@dataclass(frozen=True, eq=False)
class DirectionSelection:
    """The winner and the scores of all candidates. Tables are [P, L] float64; NaN: not measured."""

    candidates: Directions
    bypass: np.ndarray
    induce: np.ndarray
    kl: np.ndarray
    removed: dict[str, int]
    """How many candidates each filter removed, in the order in which they were applied."""
    cell: Cell
    kl_limit: float | None
    """The KL limit that the winner passed: that of the filters, or its double, and so on, with `loosen`."""
    baseline: float
    """Mean refusal score on the harmful prompts without any edit."""

    @property
    def position(self) -> int:
        """The winner's position, from the end of the prompt."""
        return self.candidates.positions[self.cell[0]]

    @property
    def layer(self) -> int:
        return self.cell[1]

    @property
    def direction(self) -> Direction:
        """The winner."""
        return self.candidates.at(self.position, self.layer)

    @property
    def by_norm(self) -> Direction:
        """The longest candidate, which selection by norm would choose. Norms grow with depth, so its layer is late."""
        p, layer = np.unravel_index(np.nanargmax(self.candidates.norms), self.candidates.norms.shape)
        return self.candidates.at(self.candidates.positions[int(p)], int(layer))

    @property
    def unfiltered(self) -> Cell:
        """The (position row, layer) with the lowest bypass of all that were measured, without filters."""
        p, layer = np.unravel_index(np.nanargmin(self.bypass), self.bypass.shape)
        return int(p), int(layer)


def select_direction(
    lm: LM,
    candidates: Directions,
    harmful: Sequence[Prompt],
    harmless: Sequence[Prompt],
    tokens: Sequence[int],
    *,
    filters: SelectionFilters = SelectionFilters(),
    halving: SuccessiveHalving | None = None,
    track: Track = iter,
) -> DirectionSelection:
    """Measure candidates on validation prompts and take the best that passes the filters.

    Without `halving` every candidate is measured on every prompt, as in the paper.
    Raises PromptError for an empty set, and SelectionError, which says what each filter removed, when no candidate is left.
    """
    for name, prompts in (("harmful", harmful), ("harmless", harmless)):
        if not prompts:
            raise PromptError(f"the set of {name} prompts is empty: a candidate is scored on both kinds")
    board = _Board(lm, candidates, harmful, harmless, tokens, track)
    removed = {"no length": int(candidates.empty.sum())}
    alive = [(int(p), int(layer)) for p, layer in np.argwhere(~candidates.empty)]
    if halving:
        alive = _halve(board, alive, filters, halving, lm.n_layers, removed)
    for kind in ("bypass", "induce", "kl"):
        board.measure(kind, alive)
    tables = {kind: board.table(kind) for kind in ("bypass", "induce", "kl")}
    late, alive = _split(alive, lambda cell: cell[1] >= filters.layers(lm.n_layers))
    least = filters.induce
    weak, alive = _split(alive, lambda cell: least is not None and not tables["induce"][cell] >= least)
    limit = _kl_limit(filters, [tables["kl"][cell] for cell in alive])
    high, alive = _split(alive, lambda cell: limit is not None and not tables["kl"][cell] <= limit)
    for name, gone in (("too late", late), ("induce", weak), ("kl", high)):
        removed[name] = removed.get(name, 0) + len(gone)
    if not alive:
        raise SelectionError(_nothing_left(candidates, removed, filters))
    best = min(alive, key=lambda cell: (tables["bypass"][cell], cell))
    return DirectionSelection(
        candidates, **tables, removed=removed, cell=best, kl_limit=limit, baseline=board.baseline()
    )


def _kl_limit(filters: SelectionFilters, found: Sequence[float]) -> float | None:
    """The KL limit of the filters; with `loosen`, doubled until one of the values passes."""
    limit = filters.kl
    while limit and filters.loosen and found and not min(found) <= limit:
        limit *= 2
    return limit


def _halve(
    board: "_Board",
    alive: list[Cell],
    filters: SelectionFilters,
    halving: SuccessiveHalving,
    n_layers: int,
    removed: dict[str, int],
) -> list[Cell]:
    """Rounds on the first prompts: induce (cheap: a sweep resumes at the edited layer), KL, and the best by bypass."""
    late, alive = _split(alive, lambda cell: cell[1] >= filters.layers(n_layers))
    early, alive = _split(alive, lambda cell: cell[1] < int(halving.shallow * n_layers))
    removed |= {"too late": len(late), "too early": len(early)}
    if filters.induce is not None:
        board.measure("induce", alive, halving.first)
        weak, alive = _split(alive, lambda cell: not board.table("induce")[cell] >= filters.induce)
        removed["induce"] = len(weak)
    if filters.kl is not None:
        board.measure("kl", alive, halving.first)
        ranked = sorted(board.table("kl")[cell] for cell in alive)
        limit = max([halving.kl, filters.kl, *(ranked[: halving.finalists][-1:] if filters.loosen else ())])
        high, alive = _split(alive, lambda cell: not board.table("kl")[cell] <= limit)
        removed["kl"] = len(high)
    board.measure("bypass", alive, halving.first)
    ranked = sorted(alive, key=lambda cell: (board.table("bypass")[cell], cell))
    removed["not among the finalists"] = max(0, len(ranked) - halving.finalists)
    return ranked[: halving.finalists]


def _split(cells: list[Cell], fails: Callable[[Cell], bool]) -> tuple[list[Cell], list[Cell]]:
    """(cells that fail, cells that do not)."""
    failed = {cell for cell in cells if fails(cell)}
    return [cell for cell in cells if cell in failed], [cell for cell in cells if cell not in failed]


def _nothing_left(candidates: Directions, removed: dict[str, int], filters: SelectionFilters) -> str:
    """The message of the SelectionError: how many candidates each filter removed."""
    total = candidates.norms.size
    parts = ", ".join(f"{count} by '{name}'" for name, count in removed.items() if count)
    return (
        f"no candidate passes the filters: of {total}, {parts or 'none'} were removed (limits: kl <= {filters.kl}, "
        f"induce >= {filters.induce}, layer below {filters.depth:g} of the depth). "
        "Loosen Filters, or give more prompts that the model refuses and answers"
    )


class _Board:
    """Scores of cells on prompts, each measured once, when it is first needed."""

    def __init__(
        self,
        lm: LM,
        candidates: Directions,
        harmful: Sequence[Prompt],
        harmless: Sequence[Prompt],
        tokens: Sequence[int],
        track: Track,
    ):
        self.lm, self.candidates, self.tokens, self.track = lm, candidates, tokens, track
        self.prompts = {"bypass": list(harmful), "induce": list(harmless), "kl": list(harmless)}
        self.scores = {
            kind: np.full((*candidates.norms.shape, len(prompts)), np.nan) for kind, prompts in self.prompts.items()
        }

    def measure(self, kind: str, cells: Sequence[Cell], first: int | None = None) -> None:
        """Fill the table of one score for some cells, on the first prompts (None: all)."""
        scores, n = self.scores[kind], len(self.prompts[kind][:first])
        fresh = [cell for cell in cells if np.isnan(scores[cell][:n]).any()]
        if not fresh:
            return
        missing = [k for k in range(n) if any(np.isnan(scores[cell][k]) for cell in fresh)]
        prompts = [self.prompts[kind][k] for k in missing]
        found = judge_refusals(
            self.lm, prompts, {str(c): [self._edit(kind, c)] for c in fresh}, self.tokens, track=self.track
        )
        for cell in fresh:
            outcome = found[str(cell)]
            scores[cell][missing] = outcome.kl if kind == "kl" else outcome.score

    def table(self, kind: str) -> np.ndarray:
        """[P, L] means over the prompts measured so far."""
        measured = ~np.isnan(self.scores[kind])
        total = np.where(measured, self.scores[kind], 0.0).sum(axis=-1)
        return np.where(measured.any(axis=-1), total / np.maximum(measured.sum(axis=-1), 1), np.nan)

    def baseline(self) -> float:
        """Mean refusal score on the harmful prompts without edits."""
        return float(judge_refusals(self.lm, self.prompts["bypass"], {"none": []}, self.tokens)["none"].score.mean())

    def _edit(self, kind: str, cell: Cell) -> Any:
        direction = self.candidates.at(self.candidates.positions[cell[0]], cell[1])
        return direction.addition() if kind == "induce" else direction.ablation()
