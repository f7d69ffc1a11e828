"""Placed edits: edits checked against a model and a prompt, and their effect on the value of a site.

    >>> prompt = lm.prompt("The capital of the state containing Dallas is")
    >>> [one] = place([assay.zero("z", layer=4, position="Dallas", head=2)], prompt, lm.family, generates=False)
    >>> one.key, one.where.prompt, one.heads
    (('z', 4), (9,), (2,))

Names, layers, positions, heads and shapes are checked before anything is computed, so a bad edit never acts in part. `act`
applies edits that differ in value only to all their rows in one operation.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as with_changes
from typing import Any

import mlx.core as mx

from assay.errors import EditError, LayerError, shown
from assay.forward.arithmetic import lowest
from assay.forward.edits import Edit, Operation
from assay.forward.families.base import Family
from assay.forward.positions import Prompt, Where, resolve
from assay.forward.sites import Key, axes, expand, head_axis, is_whole, layer_index, listed, site


@dataclass(frozen=True, eq=False)
class Placed:
    """An edit at one key of one prompt: positions and heads are absolute numbers, the value is an array."""

    operation: Operation
    key: Key
    where: Where
    heads: tuple[int, ...] | None
    value: mx.array | None
    function: Callable[[mx.array], mx.array] | None = None
    length: int = 0  # tokens of the prompt; positions from here on are generated
    signature: tuple[Any, ...] = field(default=(), repr=False)  # edits with equal signatures differ in value only


def place(edits: Iterable[Edit], prompt: Prompt, family: Family, *, generates: bool) -> list[Placed]:
    """Edits resolved for one prompt, in the order given. Raises EditError, LayerError, UnknownSite or PositionError.

    generates: whether the run generates tokens; if not, an edit that selects only generated positions is an EditError.
    """
    placed = []
    for edit in edits:
        if not isinstance(edit, Edit):
            raise EditError(f"not an edit: {shown(edit)}; make one with assay.replace, assay.add, assay.ablate, ...")
        where = resolve(edit.position, prompt)
        where = with_changes(where, generated=where.generated and generates)
        if not where.prompt and not where.generated:
            raise EditError(
                f"the {edit.operation} edit at {shown(edit.sites[0])} never fires: it selects generated positions only, "
                "and this run generates nothing"
            )
        for name in edit.sites:
            placed += [_place_at(edit, name, layer, where, prompt, family) for layer in _layers(edit, name, family)]
    return placed


def require_finite(edits: Iterable[Edit]) -> None:
    """Raise EditError if a value has NaN or infinity. All values are checked in one evaluation, not hundreds."""
    given = [e for e in edits if isinstance(e, Edit) and isinstance(e.value, mx.array)]
    fine = mx.array([mx.isfinite(e.value).all() for e in given]).tolist()
    for edit, ok in zip(given, fine, strict=True):  # type: ignore[arg-type]
        if not ok:
            raise EditError(f"the value of the {edit.operation} edit at {shown(edit.sites[0])} is not finite")


def _layers(edit: Edit, name: str, family: Family) -> list[int | None]:
    if not site(name).editable:
        raise EditError(f"site {name!r} can be read but not edited; edit 'z' of that head instead")
    if not site(name).per_layer:
        return [layer for _, layer in expand([(name, edit.layers)], family.n_layers)]  # type: ignore[list-item]
    if edit.layers is None:
        raise LayerError(f"site {name!r} is in every layer: say which with layer=3, layer=[3, 4] or layer='all'")
    if isinstance(edit.layers, str) and edit.layers == "all":
        return list(range(family.n_layers))
    wanted = listed(edit.layers)
    if not wanted:
        raise LayerError(f"the edit at {name!r} names no layer")
    layers: list[int | None] = [layer_index(layer, family.n_layers) for layer in wanted]
    if len(set(layers)) < len(layers):
        raise LayerError(f"a layer is given twice at {name!r}: {shown(wanted)}")
    return layers


def _place_at(edit: Edit, name: str, layer: int | None, where: Where, prompt: Prompt, family: Family) -> Placed:
    sizes = {**family.sizes, "S": len(prompt)}
    shape = [sizes[letter] for letter in axes(name).split() if letter not in "BL"]
    heads = _heads(edit, name, family)
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
    """Which keys are hidden: a bool for each token of the prompt, and one for all later tokens. EditError if none can be."""
    inside, last = set(keys.prompt), max(queries.prompt, default=-1)
    if not queries.generated and not any(key <= last for key in inside):
        raise EditError(f"the knockout never fires: its queries, up to position {last}, cannot see any of its keys")
    return mx.array([key in inside for key in range(length)] + [keys.generated])


def _heads(edit: Edit, name: str, family: Family) -> tuple[int, ...] | None:
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
            raise LayerError(
                f"head {shown(head)} is out of range at {name!r}: this model has heads 0 to {count - 1} there"
            )
    if len(set(heads)) < len(heads):
        raise LayerError(f"a head is given twice at {name!r}: {shown(heads)}")
    return tuple(map(int, heads))


def _fit(
    edit: Edit, name: str, value: mx.array, shape: list[int], heads: tuple[int, ...] | None, where: Where
) -> mx.array:
    """The value as [P or 1, (H or 1,) features]. Raises EditError for a wrong shape."""
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
    if first.key[0] == "scores":  # masked keys stay masked: no edit lets a query see later tokens, or padding
        select = select & (x > lowest(x.dtype))
    return mx.where(select, new, x)


def _applied(placed: Placed, x: mx.array, chosen: Sequence[bool]) -> mx.array:
    """The placed function on the chosen positions of x [n, L, (H,) features]; other positions of the result are meaningless."""
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
