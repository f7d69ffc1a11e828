"""Edits: what to change in a forward pass, and where.

    >>> lm.run(prompt, edits=[replace("resid_post", donor["resid_post", 6][0, 9], layer=2, position="Dallas")])  # doctest: +SKIP
    >>> lm.generate(prompt, edits=[add("resid_post", 4 * direction, layer=5, position="all")])                   # doctest: +SKIP
    >>> lm.generate(prompt, edits=[ablate(direction)])                                                           # doctest: +SKIP

An `Edit` is a value: it names one operation, the sites, layers, positions and heads where it acts, and an array. It does
nothing until a run takes it. When a run does, the edit is *placed* (`place`): names, layers, positions, heads and shapes
are checked against the model and the prompt before anything is computed, so a bad edit costs no time and never half-acts.

The operations, on the selected part x of a site (all else stays bitwise the same; the result is cast to x's dtype):

    replace   x := value                        add      x := x + value
    scale     x := x * value                    project  x := x - (x . u) u      u = value / |value|
    hide      x[.., keys] := lowest number / 2  apply    x := function(x)

Shapes of `value`: the site's axes after L (`E`; `H D` or `K D`; with head=3 just `D`), or one such row for each position,
in the order in which the positions were given. A direction is a value too: each of its vectors is projected out by itself.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as with_changes
from typing import Any, Literal

import mlx.core as mx

from assay.errors import EditError, LayerError
from assay.forward.layers import lowest
from assay.forward.positions import Position, Prompt, Where, resolve
from assay.forward.sites import Key, axes, expand, head_axis, is_whole, layer_index, listed, site

Operation = Literal["replace", "add", "scale", "project", "hide", "apply"]
Layers = int | Sequence[int] | Literal["all"] | None


@dataclass(frozen=True, eq=False)
class Edit:
    """One operation at one or more places. Made by the functions below, not by hand."""

    operation: Operation
    sites: tuple[str, ...]
    layers: Layers
    position: Position
    value: Any = None
    head: int | Sequence[int] | None = None


@dataclass(frozen=True, eq=False)
class Placed:
    """An edit at one key of one prompt, everything resolved: positions and heads are absolute, the value is an array."""

    operation: Operation
    key: Key
    where: Where
    heads: tuple[int, ...] | None
    value: mx.array | None
    function: Callable[[mx.array], mx.array] | None = None
    length: int = 0  # of the prompt; a position from here on is a generated one
    signature: tuple[Any, ...] = field(default=(), repr=False)  # equal: differ in value only, can run as one operation


def replace(site: str, value: Any, *, layer: Layers = None, position: Position, head: Any = None) -> Edit:
    """Set the activation (activation patching when `value` comes from another run)."""
    return Edit("replace", (site,), layer, position, _array(value), head)


def add(
    site: str, value: Any, *, layer: Layers = None, position: Position, head: Any = None, scale: float = 1.0
) -> Edit:
    """Add `scale * value` (activation addition, steering). scale=0 leaves every bit as it was."""
    return Edit("add", (site,), layer, position, _array(value) * scale, head)


def scale(site: str, factor: float, *, layer: Layers = None, position: Position, head: Any = None) -> Edit:
    """Multiply the activation by a number."""
    return Edit("scale", (site,), layer, position, mx.array(float(factor)), head)


def zero(site: str, *, layer: Layers = None, position: Position, head: Any = None) -> Edit:
    """Zero ablation."""
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
    """Replace by the mean, in float32, of what a sample run (this site kept, any number of prompts) has at `over`.

    `over` is resolved in each prompt by itself, so padding never counts; every position has the same weight.
    """
    rows = [donor_rows(site, sample, i, layer, over, head) for i in range(_count(sample))]
    mean = mx.concatenate(rows).astype(mx.float32).mean(axis=0)
    return replace(site, mean, layer=layer, position=position, head=head)


def resample(site: str, donor: Any, *, layer: int | None = None, position: Position, head: int | None = None) -> Edit:
    """Resample ablation: the value that a donor run (one prompt, this site kept) has at the same place.

    `position` is resolved in each prompt by itself: a text may lie elsewhere in the donor, but must have as many tokens.
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
    """What a run has at `position` of its prompt number `i`: [P, (H,) features], or of one head [P, D]."""
    where = resolve(position, run.prompts[i]).prompt
    if not where:
        raise EditError(f"a run has no value of {site!r} at generated positions: choose positions of its prompt")
    if head is not None and head_axis(site) is None:
        raise EditError(f"site {site!r} has no heads (axes {axes(site)}): leave head= out")
    value = canonical(site, run[site, layer])[i, mx.array(where)]
    if head is None:
        return value
    if not is_whole(head) or not 0 <= head < value.shape[1]:
        raise LayerError(f"head {head!r} is out of range at {site!r}: the run has heads 0 to {value.shape[1] - 1}")
    return value[:, int(head)]


def ablate(
    direction: Any,
    *,
    layers: Layers = "all",
    position: Position = "all",
    sites: Sequence[str] = ("resid_pre", "resid_mid", "resid_post"),
) -> Edit:
    """Directional ablation: project `direction` [E] out of the stream wherever it is written (Arditi et al. 2024, 2.4)."""
    return Edit("project", tuple(sites), layers, position, unit(direction))


def project_out(site: str, direction: Any, *, layer: Layers = None, position: Position, head: Any = None) -> Edit:
    """Project a direction out of one site: [E] or, of one head, [D]; of all heads, one for each, [H, D]."""
    return Edit("project", (site,), layer, position, unit(direction), head)


def set_pattern(value: Any, *, layer: Layers, position: Position, head: Any = None) -> Edit:
    """Set attention weights over keys, [H, S] (with head=3 just [S]). Rows are used as given, not normalised."""
    return Edit("replace", ("pattern",), layer, position, _array(value), head)


def knockout(*, queries: Position, keys: Position, layer: Layers, head: Any = None) -> Edit:
    """Attention knockout: `queries` cannot look at `keys` (Geva et al. 2023). `keys="all"` means generated ones too.

    Scores become half the lowest number: no weight beside any other key, but more than masked keys have. So a query whose
    keys are all hidden looks at them evenly, and still at none after itself. EditError when no query could see any key.
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
    """Any function of the selected positions' values [B, P, (H,) features] -> the same shape.

    P positions are seen at once while the prompt is read, and one at a time after it. Rows must not depend on each other.
    """
    return Edit("apply", (site,), layer, position, function, head)


def place(edits: Iterable[Edit], prompt: Prompt, family: Any, *, generates: bool) -> list[Placed]:
    """Edits resolved for one prompt, in the order given. Raises an error for any that cannot act as written.

    `generates` says whether there will be positions after the prompt; without them an edit that selects only
    generated positions would never fire, which is an EditError.
    """
    placed = []
    for edit in edits:
        if not isinstance(edit, Edit):
            raise EditError(f"not an edit: {edit!r}; make one with assay.replace, assay.add, assay.ablate, ...")
        where = resolve(edit.position, prompt)
        where = with_changes(where, generated=where.generated and generates)
        if not where.prompt and not where.generated:
            raise EditError(
                f"the {edit.operation} edit at {edit.sites[0]!r} never fires: it selects generated positions only, "
                "and this run generates nothing"
            )
        for name in edit.sites:
            placed += [_place_at(edit, name, layer, where, prompt, family) for layer in _layers(edit, name, family)]
    return placed


def require_finite(edits: Iterable[Edit]) -> None:
    """Raise EditError if a value has NaN or infinity. All are looked at in one go: one wait for the device, not hundreds."""
    given = [e for e in edits if isinstance(e, Edit) and isinstance(e.value, mx.array)]
    fine = mx.array([mx.isfinite(e.value).all() for e in given]).tolist()
    for edit, ok in zip(given, fine, strict=True):  # type: ignore[arg-type]
        if not ok:
            raise EditError(f"the value of the {edit.operation} edit at {edit.sites[0]!r} is not finite")


def _layers(edit: Edit, name: str, family: Any) -> list[int | None]:
    if not site(name).editable:
        raise EditError(f"site {name!r} can be read but not edited; edit 'z' of that head instead")
    if not site(name).per_layer:
        return [layer for _, layer in expand([(name, edit.layers)], family.n_layers)]  # type: ignore[list-item]
    if edit.layers is None:
        raise LayerError(f"site {name!r} is in every layer: say which with layer=3, layer=[3, 4] or layer='all'")
    if edit.layers == "all":
        return list(range(family.n_layers))
    wanted = listed(edit.layers)
    if not wanted:
        raise LayerError(f"the edit at {name!r} names no layer")
    return [layer_index(layer, family.n_layers) for layer in wanted]


def _place_at(edit: Edit, name: str, layer: int | None, where: Where, prompt: Prompt, family: Any) -> Placed:
    sizes = {
        "E": family.width,
        "D": family.head_dim,
        "H": family.n_heads,
        "K": family.n_kv_heads,
        "S": len(prompt),
    }
    features = [letter for letter in axes(name).split() if letter not in "BL"]
    heads = _heads(edit, name, family)
    shape = [sizes.get(letter, 0) for letter in features]
    if "V" in features:
        shape = [family.vocab]
    value, function = None, None
    if edit.operation == "hide":
        value = _hidden(where, resolve(edit.value, prompt), len(prompt))
    elif edit.operation == "apply":
        function = edit.value
    else:
        value = _fit(edit, name, edit.value, shape, heads, where)
    shown = (edit.operation, where, heads, None if value is None else tuple(value.shape), len(prompt))
    signature = (*shown, id(function) if function else None)
    return Placed(edit.operation, (name, layer), where, heads, value, function, len(prompt), signature)


def _hidden(queries: Where, keys: Where, length: int) -> mx.array:
    """Which keys are hidden: a bool for each of the prompt, and one for all keys after it. EditError if none can be."""
    inside, last = set(keys.prompt), max(queries.prompt, default=-1)
    if not queries.generated and not any(key <= last for key in inside):
        raise EditError(f"the knockout never fires: its queries, up to position {last}, cannot see any of its keys")
    return mx.array([key in inside for key in range(length)] + [keys.generated])


def _heads(edit: Edit, name: str, family: Any) -> tuple[int, ...] | None:
    if edit.head is None:
        return None
    if head_axis(name) is None:
        raise EditError(f"site {name!r} has no heads (axes {axes(name)}): leave head= out")
    letter = "K" if "K" in axes(name).split() else "H"
    count = family.n_kv_heads if letter == "K" else family.n_heads
    heads = listed(edit.head)
    if not heads:
        raise EditError(f"the edit at {name!r} names no head: it would select nothing")
    for head in heads:
        if not is_whole(head) or not 0 <= head < count:
            raise LayerError(f"head {head!r} is out of range at {name!r}: this model has heads 0 to {count - 1} there")
    if len(set(heads)) < len(heads):
        raise LayerError(f"a head is given twice at {name!r}: {heads}")
    return tuple(map(int, heads))


def _fit(
    edit: Edit, name: str, value: mx.array, shape: list[int], heads: tuple[int, ...] | None, where: Where
) -> mx.array:
    """The value as [P or 1, (H or 1,) features], ready to be laid over positions. Raises EditError for a wrong shape."""
    if value.ndim == 0:
        return value.reshape([1] * (len(shape) + 1))
    if where.generated and axes(name).endswith("S"):
        raise EditError(
            f"a row over {shape[-1]} keys cannot be laid over {name!r} at generated positions: they have more"
        )
    expected, one_head = shape, is_whole(edit.head)
    if heads is not None:
        expected = shape[1:] if one_head else [len(heads), *shape[1:]]
    rows = [len(where.prompt), *expected]
    if list(value.shape) not in (expected, rows):
        raise EditError(
            f"the {edit.operation} edit at {name!r} has a value of shape {tuple(value.shape)}; "
            f"it must be {tuple(expected)}, or {tuple(rows)} for one row per position"
        )
    per_position = value.ndim > len(expected)
    if per_position and where.generated:
        raise EditError(f"the edit at {name!r} covers generated positions: give one value, not one per prompt position")
    value = value if per_position else value[None]
    return value[:, None] if one_head else value


def act(placed: Sequence[Placed], x: mx.array, start: int) -> mx.array:
    """Apply edits that share a signature, one per row of x [n, L, (H,) features], whose first position is `start`."""
    first = placed[0]
    L, inside = x.shape[1], set(first.where.prompt)
    chosen = [(first.where.generated and p >= first.length) or p in inside for p in range(start, start + L)]
    if not any(chosen):
        return x
    new = _applied(first, x, chosen) if first.function else OPERATIONS[first.operation](x, _lay_out(placed, x, start))
    new = new.astype(x.dtype)
    select = mx.array(chosen).reshape([1, L] + [1] * (x.ndim - 2))
    if first.heads is not None:
        on = [h in first.heads for h in range(x.shape[2])]
        select = select & mx.array(on).reshape([1, 1, -1] + [1] * (x.ndim - 3))
    if first.key[0] == "scores":  # masked keys stay masked: no edit shows a query later tokens, or padding
        select = select & (x > lowest(x.dtype))
    return mx.where(select, new, x)


def _applied(placed: Placed, x: mx.array, chosen: Sequence[bool]) -> mx.array:
    """The placed function on the chosen positions of x [n, L, (H,) features]; what is returned elsewhere is of no use."""
    given = x[:, mx.array([i for i, on in enumerate(chosen) if on])]
    new = placed.function(given)  # type: ignore[misc]
    if not isinstance(new, mx.array) or new.shape != given.shape:
        shape = new.shape if isinstance(new, mx.array) else type(new).__name__
        raise EditError(f"the function at {placed.key[0]!r} changed the shape from {given.shape} to {shape}")
    return new[:, mx.maximum(mx.cumsum(mx.array(list(chosen)).astype(mx.int32)) - 1, 0)]


def _lay_out(placed: Sequence[Placed], x: mx.array, start: int) -> mx.array:
    """The values of `placed` as one array that broadcasts against x [n, L, (H,) features]."""
    first = placed[0]
    values: list[mx.array] = [p.value for p in placed]  # type: ignore[misc]
    same = all(v is values[0] for v in values)
    value = values[0][None] if same else mx.stack(values)  # [n or 1, P or 1, (Hs or 1,) features]
    if first.operation == "hide":
        return value[:, mx.minimum(mx.arange(x.shape[-1]), value.shape[-1] - 1)][:, None, None]
    if value.shape[1] > 1:
        row = {p: i for i, p in enumerate(first.where.prompt)}
        value = value[:, mx.array([row.get(p, 0) for p in range(start, start + x.shape[1])])]
    if first.heads is not None and value.shape[2] > 1:
        row = {h: i for i, h in enumerate(first.heads)}
        value = value[:, :, mx.array([row.get(h, 0) for h in range(x.shape[2])])]
    return value


def _project(x: mx.array, unit: mx.array) -> mx.array:
    unit, wide = unit.astype(mx.float32), x.astype(mx.float32)
    return wide - (wide * unit).sum(axis=-1, keepdims=True) * unit


OPERATIONS: dict[str, Callable[[mx.array, mx.array], mx.array]] = {
    "replace": lambda x, value: mx.broadcast_to(value, x.shape),
    "add": lambda x, value: x + value,
    "scale": lambda x, value: x * value,
    "project": _project,
    "hide": lambda x, keys: mx.where(keys, lowest(x.dtype) / 2, x),
}


def canonical(name: str, x: mx.array) -> mx.array:
    """A site's value with positions on axis 1 and heads, if any, on axis 2. Its own inverse."""
    return x.swapaxes(1, 2) if axes(name).startswith(("B H L", "B K L")) else x


def shift(placed: Placed, key: Key) -> Placed:
    """The same edit at another key."""
    return with_changes(placed, key=key)


def _array(value: Any) -> mx.array:
    """A copy, so that `value += 1` later in the caller's code does not change the edit."""
    try:
        return mx.array(value)
    except (TypeError, ValueError) as error:
        raise EditError(f"the value of an edit is an array or a number, got {type(value).__name__}") from error


def unit(direction: Any) -> mx.array:
    """Vectors along the last axis, each at length 1."""
    direction = _array(direction).astype(mx.float32)
    norm = mx.sqrt((direction * direction).sum(axis=-1, keepdims=True))
    if not (mx.isfinite(norm) & (norm > 0)).all().item():
        raise EditError(f"a direction needs a finite length above 0, this one has {norm.flatten().tolist()}")
    return direction / norm
