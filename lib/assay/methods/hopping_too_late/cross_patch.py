"""Cross-prompt patching: patch a state of a query into another prompt in place of a name (from the code of Biran et al. 2024).

    >>> from assay.data.two_hop import two_hop
    >>> query = next(q for q in two_hop("state_capital") if q.e1 == "Dallas")
    >>> donor = next(q for q in two_hop("state_capital") if q.e2 != query.e2)
    >>> right = cross_patch(lm, query, donor, layers=[1, 6])
    >>> [variant for variant, grid in right.items() if np.any(grid)]
    ['e1 to composition']

The state of a part of the query replaces the state of an "x" in another prompt. For "The capital of the state containing
Dallas is", for every source and every target layer:

    e1 to composition     t1 of the query      into  "The capital of the state containing x is"
    e1 to second hop      t1 of the query      into  "The capital of x is"
    r2 to composition     "capital"            into  "The x of the state containing Dallas is"

A patch succeeds when the answer comes out. Control: the same patches with the states of a query with other bridge and answer.
The published code counts patches from a later into an earlier layer only (`from_later`); here all pairs are tried.
"""

from collections.abc import Sequence

from assay.data.two_hop import TwoHop, answers
from assay.errors import PositionError
from assay.forward.edits import Edit, replace
from assay.forward.lm import LM
from assay.forward.positions import Text, text
from assay.forward.run import Run
from assay.forward.sweep import SWEEPABLE
from assay.methods.hopping_too_late.parts import query_parts
from assay.methods.states import states_at

Grid = list[list[bool]]  # [source layer][target layer]


def cross_patch_prompts(query: TwoHop) -> dict[str, tuple[str, str, Text]]:
    """Variant -> (the part whose state is patched, the prompt it is patched into, the place of the "x" there).

    Raises PositionError for a query without one of the parts.
    """
    before, found, after = query.prompt.partition(query.r1_phrase)
    r1, named, rest = query.r1_phrase.rpartition(query.e1)
    if not (found and named and query_parts(query)):
        raise PositionError(f"{query.e1!r} in {query.r1_phrase!r} does not occur in the prompt {query.prompt!r}")
    relation, _, preposition = before.removesuffix(" ").rpartition(" ")
    return {
        "e1 to composition": ("e1", *_with_x(before + r1, rest + after)),
        "e1 to second hop": ("e1", *_with_x(before, after)),
        "r2 to composition": ("r2", *_with_x(relation.rpartition(" ")[0] + " ", f" {preposition} {found}{after}")),
    }


def _with_x(before: str, after: str) -> tuple[str, Text]:
    """A prompt with an "x" between two texts, and the place of that x."""
    return f"{before}x{after}", text(f"{before}x", occurrence=0)


def cross_patch(
    lm: LM, query: TwoHop, donor: TwoHop, layers: Sequence[int], *, own: TwoHop | None = None, max_tokens: int = 10
) -> dict[str, Grid]:
    """Run every variant from each of `layers` to each; with the donor's states as "... from donor".

    -> {variant: whether the continuation is the query's answer, [source][target]}. One sweep for each target prompt.
    own: the query whose states count as the query's own; with a second donor no effect is real.
    """
    owner = own or query
    given_by = [(q, lm.run(q.prompt, keep="resid_post")) for q in (owner, donor)]
    tasks = cross_patch_prompts(query)
    clean: list[Run] = []
    variants: list[list[Edit]] = []
    for part, prompt, x in tasks.values():
        given = [states_at(run, query_parts(giver)[part]) for giver, run in given_by]
        clean.append(lm.run(prompt, keep=SWEEPABLE))
        variants.append(
            [
                replace("resid_post", from_[source], layer=target, position=x)
                for from_ in given
                for source in layers
                for target in layers
            ]
        )
    is_right = lambda text: answers(text, query.e3_aliases)  # noqa: E731
    sweeps = lm.sweep(clean, variants, max_tokens=max_tokens, stop=is_right, progress=False)
    right: dict[str, Grid] = {}
    for variant, sweep in zip(tasks, sweeps, strict=True):
        hits = iter([is_right(generation.text) for generation in sweep.continuations])
        for name in (variant, f"{variant} from donor"):
            right[name] = [[next(hits) for _ in layers] for _ in layers]
    return right


def from_later(grid: Grid) -> Grid:
    """The grid without patches into the same or a later layer: False there."""
    return [[hit and source > target for target, hit in enumerate(row)] for source, row in enumerate(grid)]
