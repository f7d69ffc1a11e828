"""Back-patching: patch a later layer's state into an earlier layer of the same prompt (Biran et al. 2024, section 6).

    >>> from assay.data.two_hop import two_hop
    >>> query = next(q for q in two_hop("state_capital") if q.e1 == "Dallas")
    >>> row = back_patch(lm, query, "t1", donors=two_hop("state_capital"))
    >>> table = patch_table(lm.n_layers, [row])
    >>> table.rescued("back"), table.rescued("donor")
    (array([ True]), array([False]))

A *pair* (source, target) means: resid_post of layer `source` replaces resid_post of layer `target`, at one position of the same
prompt. In back-patching source > target, so that layers after `target` can use a fact that was found only at `source`. A query
is *rescued* when any pair makes its greedy answer right. One of many pairs may do so by chance, so each control tries as many:

    back      the query's own states, source > target
    donor     the states of another query (another bridge) at the same position of its own prompt, source > target
    noise     Gaussian vectors with the norms of the query's own states, source > target
    forward   the query's own states, source < target
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import mlx.core as mx
import numpy as np

from assay.data.two_hop import TwoHop, answers
from assay.errors import PromptError
from assay.forward.edits import replace
from assay.forward.lm import LM
from assay.forward.positions import Position
from assay.forward.run import Run
from assay.forward.sweep import SWEEPABLE
from assay.methods.states import states_at

PATCH_KINDS = ("back", "donor", "noise", "forward")
"""Back-patching, and its three controls."""
Kind = Literal["back", "donor", "noise", "forward"]
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class PatchTable:
    """Which pairs gave a right answer to which query: `right[kind]` is bool [queries, pairs], over `pairs[kind]`."""

    n_layers: int
    pairs: Mapping[str, Sequence[Pair]]
    right: Mapping[str, np.ndarray]

    def rescued(self, kind: Kind) -> np.ndarray:
        """Whether any pair gave a right answer, bool [queries]."""
        return np.asarray(self.right[kind].any(axis=1))

    def heatmap(self, kind: Kind) -> list[list[float | None]]:
        """Share of queries answered right, [source][target]; None where no pair was tried."""
        return _grid(self.pairs[kind], self.right[kind].mean(axis=0), self.n_layers)

    def late_to_early(self, kind: Literal["back", "donor", "noise"] = "back") -> np.ndarray:
        """The share of right answers among pairs from the upper into the lower half of the layers, minus the share among
        all other pairs, [queries]."""
        half = self.n_layers / 2
        inside = np.array([source >= half > target for source, target in self.pairs["back"]])
        right = self.right[kind]
        return right[:, inside].mean(axis=1) - right[:, ~inside].mean(axis=1)

    def best_pair(self, queries: np.ndarray) -> int:
        """Index of the pair that answers most of these queries right by back-patching; the first of equals."""
        return int(self.right["back"][queries].mean(axis=0).argmax())


def back_patch(
    lm: LM,
    query: TwoHop,
    where: Literal["t1", "t2"],
    *,
    donors: Sequence[TwoHop],
    own: TwoHop | None = None,
    stride: int = 1,
    seed: int = 0,
) -> dict[str, list[bool]]:
    """Try every pair of layers on one query, at t1 (last token of the r1 phrase) or t2 (last token of the prompt).

    One sweep runs the back-patches and all controls -> {kind: for each of its pairs, whether the answer was right}, in
    the order of `layer_pairs(lm.n_layers, stride)`. donors: queries whose states the control may use; `seed` and the query
    alone decide which one with another bridge is drawn. own: the query whose states count as the query's own; another query
    makes "back" a second donor, with which no effect is real. Raises PromptError when there is no donor.
    """
    pairs = layer_pairs(lm.n_layers, stride)
    rng = query_rng(query, seed)
    clean = lm.run(query.prompt, keep=SWEEPABLE)
    mine = states_at(clean, _position(query, where)) if own is None else _states(lm, own, where)
    lent = _states(lm, draw_donor(query, donors, rng), where)
    given = {"back": mine, "donor": lent, "noise": noise_like(mine, rng), "forward": mine}
    tries = {kind: (given[kind], pairs[kind]) for kind in PATCH_KINDS}
    right = patch_pairs(lm, clean, _position(query, where), tries, lambda text: answers(text, query.e3_aliases))
    return {kind: row.tolist() for kind, row in right.items()}


def patch_table(n_layers: int, rows: Sequence[Mapping[str, Sequence[bool]]], stride: int = 1) -> PatchTable:
    """What `back_patch` returned for several queries, as one table."""
    right = {kind: np.array([row[kind] for row in rows], bool) for kind in PATCH_KINDS}
    return PatchTable(n_layers, layer_pairs(n_layers, stride), right)


def layer_pairs(n_layers: int, stride: int = 1) -> dict[str, list[Pair]]:
    """The pairs of each kind of patch; every kind has the same number."""
    back = _back_pairs(n_layers, stride)
    return {"back": back, "donor": back, "noise": back, "forward": [(target, source) for source, target in back]}


def _back_pairs(n_layers: int, stride: int = 1) -> list[Pair]:
    """(source, target) with source > target: L (L - 1) / 2 of them at stride 1."""
    layers = range(0, n_layers, stride)
    return [(source, target) for source in layers for target in layers if source > target]


def _states(lm: LM, query: TwoHop, where: Literal["t1", "t2"]) -> mx.array:
    """The states of all layers at one position of a query's own prompt, [layers, E]."""
    return states_at(lm.run(query.prompt, keep="resid_post"), _position(query, where))


def _position(query: TwoHop, where: Literal["t1", "t2"]) -> Position:
    """The position of t1 or t2 in a query's prompt."""
    return query.t1_text if where == "t1" else -1


def draw_donor(query: TwoHop, donors: Sequence[TwoHop], rng: np.random.Generator) -> TwoHop:
    """A query with another bridge and another answer. Raises PromptError when there is none."""
    fit = [d for d in donors if d.e2 != query.e2 and d.e3 != query.e3]
    if not fit:
        raise PromptError(f"no donor for {query.id}: every other query has its bridge or its answer")
    return fit[rng.integers(len(fit))]


def query_rng(query: TwoHop, seed: int = 0) -> np.random.Generator:
    """A random generator that depends on the query and the seed alone."""
    return np.random.default_rng([seed, zlib.crc32(query.id.encode())])


def noise_like(real: mx.array, rng: np.random.Generator) -> mx.array:
    """Gaussian vectors with, layer by layer, the norms of real states [layers, E]."""
    noise = mx.array(rng.standard_normal(real.shape), mx.float32)
    norms = mx.linalg.norm(real.astype(mx.float32), axis=-1, keepdims=True)
    return noise / mx.linalg.norm(noise, axis=-1, keepdims=True) * norms


def patch_pairs(
    lm: LM,
    clean: Run,
    where: Position,
    tries: Mapping[str, tuple[mx.array, Sequence[Pair]]],
    is_right: Callable[[str], bool],
    *,
    max_tokens: int = 10,
) -> dict[str, np.ndarray]:
    """Patch each pair of each kind, continue greedily up to `max_tokens`, and judge the text: {kind: bool per pair}.

    tries: {kind: (states [layers, E] to patch in, pairs)}. One sweep over the clean run of the prompt runs all kinds.
    """
    variants = [
        [replace("resid_post", given[source], layer=target, position=where)]
        for given, pairs in tries.values()
        for source, target in pairs
    ]
    sweep = lm.sweep(clean, variants, max_tokens=max_tokens, stop=is_right, progress=False)
    right = np.array([is_right(g.text) for g in sweep.continuations])
    ends = np.cumsum([len(pairs) for _, pairs in tries.values()])[:-1]
    return dict(zip(tries, np.split(right, ends), strict=True))


def _grid(pairs: Sequence[Pair], values: np.ndarray, n_layers: int) -> list[list[float | None]]:
    """Values of pairs as a table [source][target]; None where no pair was tried."""
    table: list[list[float | None]] = [[None] * n_layers for _ in range(n_layers)]
    for (source, target), value in zip(pairs, values, strict=True):
        table[source][target] = float(value)
    return table
