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
    hide      x[.., keys] := lowest number      apply    x := function(x)

Shapes of `value`: the site's axes after L (`E`; `H D` or `K D`; with head=3 just `D`), or one such row for each position.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as with_changes
from typing import Any, Literal

import mlx.core as mx

from assay.errors import EditError, LayerError, PositionError
from assay.forward.layers import lowest
from assay.forward.positions import Position, Prompt, Where, resolve
from assay.forward.sites import Key, axes, expand, head_axis, layer_index, site

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


def mean_ablate(site: str, sample: Any, *, layer: Layers = None, position: Position, head: Any = None) -> Edit:
    """Replace by the mean of `sample` over all its leading axes, [..., *features], taken in float32."""
    sample = _array(sample).astype(mx.float32)
    features = len(axes(site).split()) - 2 - (isinstance(head, int) and head_axis(site) is not None)
    return replace(
        site,
        sample.mean(axis=tuple(range(sample.ndim - features))),
        layer=layer,
        position=position,
        head=head,
    )


def resample(site: str, donor: Any, *, layer: int, position: Position, head: int | None = None) -> Edit:
    """Resample ablation: the value that a donor run (one prompt, this site kept) has at the same place.

    `position` is resolved in each prompt by itself: a text may lie elsewhere in the donor, but must have as many tokens.
    """
    rows = resolve(position, donor.prompts[0]).prompt
    value = canonical(site, donor[site, layer])[0, mx.array(rows)]
    value = value if head is None else value[:, head]
    return replace(site, value[0] if len(rows) == 1 else value, layer=layer, position=position, head=head)


def ablate(
    direction: Any,
    *,
    layers: Layers = "all",
    position: Position = "all",
    sites: Sequence[str] = ("resid_pre", "resid_mid", "resid_post"),
) -> Edit:
    """Directional ablation: project `direction` [E] out of the stream wherever it is written (Arditi et al. 2024, 2.4)."""
    return Edit("project", tuple(sites), layers, position, _unit(direction))


def project_out(site: str, direction: Any, *, layer: Layers = None, position: Position, head: Any = None) -> Edit:
    """Project a direction out of one site."""
    return Edit("project", (site,), layer, position, _unit(direction), head)


def set_pattern(value: Any, *, layer: Layers, position: Position, head: Any = None) -> Edit:
    """Set attention weights: rows over keys [S] (or one per query position). Rows are used as given, not normalised."""
    return Edit("replace", ("pattern",), layer, position, _array(value), head)


def knockout(*, queries: Position, keys: Position, layer: Layers, head: Any = None) -> Edit:
    """Attention knockout: `queries` cannot look at `keys` (their scores become the lowest number; Geva et al. 2023)."""
    return Edit("hide", ("scores",), layer, queries, keys, head)


def apply(
    site: str,
    function: Callable[[mx.array], mx.array],
    *,
    layer: Layers = None,
    position: Position,
    head: Any = None,
) -> Edit:
    """Any function of the site's values [B, L, (H,) features] -> the same shape; used where selected."""
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
        if not where.prompt and not (where.generated and generates):
            raise EditError(
                f"the {edit.operation} edit at {edit.sites[0]!r} never fires: it selects generated positions only, "
                "and this run generates nothing"
            )
        for name in edit.sites:
            placed += [_place_at(edit, name, layer, where, prompt, family) for layer in _layers(edit, name, family)]
    return placed


def _layers(edit: Edit, name: str, family: Any) -> list[int | None]:
    if not site(name).editable:
        raise EditError(f"site {name!r} can be read but not edited; edit 'z' of that head instead")
    if not site(name).per_layer:
        return [layer for _, layer in expand([(name, edit.layers)], family.n_layers)]  # type: ignore[list-item]
    if edit.layers is None:
        raise LayerError(f"site {name!r} is in every layer: say which with layer=3, layer=[3, 4] or layer='all'")
    if edit.layers == "all":
        return list(range(family.n_layers))
    wanted = [edit.layers] if isinstance(edit.layers, int) else list(edit.layers)
    if not wanted:
        raise LayerError(f"the edit at {name!r} names no layer")
    return [layer_index(layer, family.n_layers) for layer in wanted]  # type: ignore[arg-type]


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
        keys = resolve(edit.value, prompt)
        if keys.generated and not keys.prompt:
            raise PositionError("knockout keys must lie in the prompt")
        value = mx.array([i in keys.prompt for i in range(len(prompt))])
    elif edit.operation == "apply":
        function = edit.value
    else:
        value = _fit(edit, name, edit.value, shape, heads, where)
    shown = (edit.operation, where, heads, None if value is None else tuple(value.shape), len(prompt))
    signature = (*shown, id(function) if function else None)
    return Placed(edit.operation, (name, layer), where, heads, value, function, len(prompt), signature)


def _heads(edit: Edit, name: str, family: Any) -> tuple[int, ...] | None:
    if edit.head is None:
        return None
    if head_axis(name) is None:
        raise EditError(f"site {name!r} has no heads (axes {axes(name)}): leave head= out")
    letter = "K" if "K" in axes(name).split() else "H"
    count = family.n_kv_heads if letter == "K" else family.n_heads
    heads = (edit.head,) if isinstance(edit.head, int) else tuple(edit.head)
    if not heads:
        raise EditError(f"the edit at {name!r} names no head: it would select nothing")
    for head in heads:
        if isinstance(head, bool) or not isinstance(head, int) or not 0 <= head < count:
            raise LayerError(f"head {head!r} is out of range at {name!r}: this model has heads 0 to {count - 1} there")
    return tuple(dict.fromkeys(heads))


def _fit(
    edit: Edit, name: str, value: mx.array, shape: list[int], heads: tuple[int, ...] | None, where: Where
) -> mx.array:
    """The value as [P or 1, (H or 1,) features], ready to be laid over positions. Raises EditError for a wrong shape."""
    if value.ndim == 0:
        return value.reshape([1] * (len(shape) + 1))
    expected = shape
    if heads is not None:
        expected = shape[1:] if isinstance(edit.head, int) else [len(heads), *shape[1:]]
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
    return value[:, None] if isinstance(edit.head, int) else value


def act(placed: Sequence[Placed], x: mx.array, start: int) -> mx.array:
    """Apply edits that share a signature, one per row of x [n, L, (H,) features], whose first position is `start`."""
    first = placed[0]
    L = x.shape[1]
    chosen = [(first.where.generated and p >= first.length) or p in first.where.prompt for p in range(start, start + L)]
    if not any(chosen):
        return x
    if first.operation == "apply":
        assert_same = first.function(x)  # type: ignore[misc]
        if assert_same.shape != x.shape:
            raise EditError(f"the function at {first.key[0]!r} changed the shape from {x.shape} to {assert_same.shape}")
        new = assert_same
    else:
        new = OPERATIONS[first.operation](x, _lay_out(placed, x, start))
    new = new.astype(x.dtype)
    select = mx.array(chosen).reshape([1, L] + [1] * (x.ndim - 2))
    if first.heads is not None:
        on = [h in first.heads for h in range(x.shape[2])]
        select = select & mx.array(on).reshape([1, 1, -1] + [1] * (x.ndim - 3))
    return mx.where(select, new, x)


def _lay_out(placed: Sequence[Placed], x: mx.array, start: int) -> mx.array:
    """The values of `placed` as one array that broadcasts against x [n, L, (H,) features]."""
    first = placed[0]
    values: list[mx.array] = [p.value for p in placed]  # type: ignore[misc]
    same = all(v is values[0] for v in values)
    value = values[0][None] if same else mx.stack(values)  # [n or 1, P or 1, (Hs or 1,) features]
    if first.operation == "hide":
        return mx.pad(value, [(0, 0), (0, x.shape[-1] - value.shape[-1])]).reshape(value.shape[0], 1, 1, -1)
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
    "hide": lambda x, keys: mx.where(keys, lowest(x.dtype), x),
}


def canonical(name: str, x: mx.array) -> mx.array:
    """A site's value with positions on axis 1 and heads, if any, on axis 2. Its own inverse."""
    return x.swapaxes(1, 2) if axes(name).startswith(("B H L", "B K L")) else x


def shift(placed: Placed, key: Key) -> Placed:
    """The same edit at another key."""
    return with_changes(placed, key=key)


def _array(value: Any) -> mx.array:
    return value if isinstance(value, mx.array) else mx.array(value)


def _unit(direction: Any) -> mx.array:
    direction = _array(direction).astype(mx.float32)
    norm = float(mx.sqrt((direction * direction).sum()).item())  # type: ignore[arg-type]
    if not 0 < norm < float("inf"):
        raise EditError(f"a direction needs a finite length above 0, this one has {norm}")
    return direction / norm
