"""Edits: what to change in a forward pass, and where.

    >>> prompt = "The capital of the state containing Dallas is"
    >>> late = lm.run(prompt, keep=["resid_post"])["resid_post", 6][0, -2]
    >>> patched = lm.run(prompt, edits=[replace("resid_post", late, layer=1, position="Dallas")])
    >>> steered = lm.run(prompt, edits=[add("resid_post", 4 * late, layer=5, position="all"), zero("z", layer=3, position=-1)])
    >>> ablated = lm.run(prompt, edits=[ablate(late)])

An `Edit` names one operation, the sites, layers, positions and heads where it acts, and an array. A run checks it against the
model and the prompt (`assay.forward.placed`), then applies it.

The operations, on the selected part x of a site (all other values stay bitwise the same; the result is cast to x's dtype):

    replace   x := value                        add      x := x + value
    scale     x := x * value                    project  x := x - (x . u) u      u = value / |value|
    hide      x[.., keys] := lowest number / 2  apply    x := function(x)

Shapes of `value`: the site's axes after L (`E`; `H D` or `K D`; with head=3 just `D`), or one such row for each position,
in the order in which the positions were given. The direction of a projection has these shapes too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import mlx.core as mx

from assay.errors import EditError, LayerError, shown
from assay.forward.positions import Position, resolve
from assay.forward.sites import axes, canonical, head_axis, is_whole, listed

Operation = Literal["replace", "add", "scale", "project", "hide", "apply"]
Layers = int | Sequence[int] | Literal["all"] | None


@dataclass(frozen=True, eq=False)
class Edit:
    """One operation at one or more places, made by the functions below."""

    operation: Operation
    sites: tuple[str, ...]
    layers: Layers
    position: Position
    value: Any = None
    head: int | Sequence[int] | None = None


def replace(site: str, value: Any, *, layer: Layers = None, position: Position, head: Any = None) -> Edit:
    """Set the activation (activation patching when `value` comes from another run)."""
    return Edit("replace", (site,), layer, position, _array(value), head)


def add(
    site: str, value: Any, *, layer: Layers = None, position: Position, head: Any = None, scale: float = 1.0
) -> Edit:
    """Add `scale * value` (activation addition, steering). scale=0 changes no bit."""
    return Edit("add", (site,), layer, position, _array(value) * _number("scale", scale), head)


def scale(site: str, factor: float, *, layer: Layers = None, position: Position, head: Any = None) -> Edit:
    """Multiply the activation by a number."""
    return Edit("scale", (site,), layer, position, mx.array(_number("factor", factor)), head)


def zero(site: str, *, layer: Layers = None, position: Position, head: Any = None) -> Edit:
    """Set the activation to 0 (zero ablation)."""
    return Edit("replace", (site,), layer, position, mx.array(0.0), head)


def mean_ablate(
    site: str,
    sample: Any,
    *,
    layer: int | None = None,
    position: Position,
    over: Position = "prompt",
    head: int | None = None,
) -> Edit:
    """Mean ablation: replace the activation by its float32 mean over the positions `over` of a run.

    sample: a run of any number of prompts that kept this site; `over` is resolved in each. All positions weigh the same.
    """
    rows = [donor_rows(site, sample, i, layer, over, head) for i in range(_count(sample))]
    mean = mx.concatenate(rows).astype(mx.float32).mean(axis=0)
    return replace(site, mean, layer=layer, position=position, head=head)


def resample(site: str, donor: Any, *, layer: int | None = None, position: Position, head: int | None = None) -> Edit:
    """Resample ablation: replace the activation by that of a donor run (one prompt, this site kept) at the same position.

    `position` is resolved in each prompt separately: a text may lie elsewhere in the donor, but must have as many tokens.
    """
    if _count(donor) != 1:
        raise EditError(f"a donor is a run of one prompt, this one has {_count(donor)}")
    rows = donor_rows(site, donor, 0, layer, position, head)
    return replace(site, rows[0] if len(rows) == 1 else rows, layer=layer, position=position, head=head)


def _count(run: Any) -> int:
    """How many prompts a run has. Raises EditError for anything else."""
    if not hasattr(run, "prompts"):
        raise EditError(
            f"values are taken from a run, as lm.run(prompts, keep=site) makes it, got {type(run).__name__}"
        )
    return len(run.prompts)


def donor_rows(site: str, run: Any, i: int, layer: int | None, position: Position, head: int | None) -> mx.array:
    """A kept site at `position` of prompt `i` of a run: [P, (H,) features], or of one head [P, D]."""
    where = resolve(position, run.prompts[i]).prompt
    if not where:
        raise EditError(f"a run has no value of {shown(site)} at generated positions: choose positions of its prompt")
    if head is not None and head_axis(site) is None:
        raise EditError(f"site {site!r} has no heads (axes {axes(site)}): leave head= out")
    value = canonical(site, run[site, layer])[i, mx.array(where)]
    if head is None:
        return value
    if not is_whole(head) or not 0 <= head < value.shape[1]:
        raise LayerError(f"head {shown(head)} is out of range at {site!r}: the run has heads 0 to {value.shape[1] - 1}")
    return value[:, int(head)]


def ablate(
    direction: Any,
    *,
    layers: Layers = "all",
    position: Position = "all",
    sites: Sequence[str] = ("resid_pre", "resid_mid", "resid_post"),
) -> Edit:
    """Directional ablation: project `direction` [E] out of the residual stream at all of `sites` (Arditi et al. 2024, 2.4)."""
    names = tuple([sites] if isinstance(sites, str) else listed(sites))
    if not names:
        raise EditError("the ablation names no site: it would change nothing")
    return Edit("project", names, layers, position, unit(direction))


def project_out(site: str, direction: Any, *, layer: Layers = None, position: Position, head: Any = None) -> Edit:
    """Project a direction out of one site: [E]; for one head [D]; for all heads, one direction each, [H, D]."""
    return Edit("project", (site,), layer, position, unit(direction), head)


def set_pattern(value: Any, *, layer: Layers, position: Position, head: Any = None) -> Edit:
    """Set attention weights over keys, [H, S] (with head=3 just [S]). Rows are used as given, not normalised."""
    return Edit("replace", ("pattern",), layer, position, _array(value), head)


def knockout(*, queries: Position, keys: Position, layer: Layers, head: Any = None) -> Edit:
    """Attention knockout: `queries` cannot attend to `keys` (Geva et al. 2023). `keys="all"` includes generated tokens.

    Hidden keys get a score of half the lowest number: weight 0 beside any visible key, but above the causal mask. So a query
    with all its keys hidden attends to them evenly, and never to later tokens. EditError when no query could see any key.
    """
    return Edit("hide", ("scores",), layer, queries, keys, head)


def apply(
    site: str,
    function: Callable[[mx.array], mx.array],
    *,
    layer: Layers = None,
    position: Position,
    head: Any = None,
) -> Edit:
    """Replace the activation by any function of the selected values, [B, P, (H,) features] -> the same shape.

    The function gets all P prompt positions at once, generated positions one at a time. Rows must not depend on each other.
    """
    if not callable(function):
        raise EditError(f"apply takes a function of the selected values, got {shown(function)}")
    return Edit("apply", (site,), layer, position, function, head)


def _array(value: Any) -> mx.array:
    """A copy, so that `value += 1` later in the caller's code does not change the edit."""
    array = None if isinstance(value, complex) else on_mlx(value)
    if array is None or array.dtype == mx.complex64:
        raise EditError(f"the value of an edit is an array or a number, got {type(value).__name__}")
    return array


def on_mlx(value: Any) -> mx.array | None:
    """A copy of the value as an array of MLX; None for anything of which MLX makes none."""
    try:
        return mx.array(value)
    except (OverflowError, RuntimeError, TypeError, ValueError):
        return None


def _number(name: str, given: Any) -> float:
    array = _array(given)
    if array.ndim:
        raise EditError(f"{name} is one number, got an array of shape {array.shape}")
    return array.item()  # type: ignore[return-value]


def unit(direction: Any) -> mx.array:
    """Vectors along the last axis, scaled to length 1."""
    direction = _array(direction).astype(mx.float32)
    if not direction.ndim:
        raise EditError("a direction is a vector, got one number")
    norm = mx.sqrt((direction * direction).sum(axis=-1, keepdims=True))
    if not (mx.isfinite(norm) & (norm > 0)).all().item():
        raise EditError(f"a direction needs a finite length above 0, this one has {norm.flatten().tolist()}")
    return direction / norm
