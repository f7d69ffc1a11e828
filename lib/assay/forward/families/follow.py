"""Gives a family what the published model computes and mlx-lm does not.

    >>> from assay.models.config import published
    >>> from assay.models.files import read_json
    >>> config = read_json(assay.models.REGISTRY["llama_tiny"].path / "config.json")
    >>> family = type(lm.family)(lm.model)
    >>> follow(family, published({**config, "hidden_act": "gelu"}))
    ('the activation is gelu, mlx-lm has silu',)
    >>> follow(family, published(config))
    ()

Windows, rotations, activation and softcaps are compared with those of mlx-lm's modules. Where both are the same, the module goes
on computing it, bit for bit; where they differ, the family gets its own. Scale, eps and ties are mlx-lm's for every config
(`Published.for_mlx_lm`), and are compared here once more.
"""

from typing import Any

import mlx.core as mx
import numpy as np

from assay.errors import CheckpointError
from assay.forward.families.base import Family, Rotation
from assay.models.config import Published
from assay.models.rope import Rope

CLOSE = 1e-5
"""Largest relative difference of two frequencies, or of two scales, that float32 arithmetic explains (3e-7 was measured)."""


def follow(family: Family, published: Published) -> tuple[str, ...]:
    """Changes `family` to what the published model computes; returns what mlx-lm does otherwise, a sentence each.

    Raises CheckpointError when mlx-lm's modules have another scale, eps or tie than the config says.
    """
    theirs = type(family)(family.model)
    _compare(theirs, published)
    family.windows, ours = list(published.windows), []
    if family.windows != theirs.windows:
        seen = sorted({size for size in family.windows if size})
        these = (
            f"{sum(map(bool, family.windows))} of {family.n_layers} layers see {seen[0]} tokens"
            if seen
            else "no layer has a window"
        )
        ours.append(f"{these}, mlx-lm has {'other windows' if any(theirs.windows) else 'no windows'}")
    made = {id(rope): rotation(rope, family.head_dim) for rope in published.ropes}
    family.rotations = [
        # modules of mlx-lm whose frequencies follow the length cannot read caches of several lengths
        module if rope.limit is None and rotates(module, rope, family.head_dim) else made[id(rope)]
        for module, rope in zip(theirs.rotations, published.ropes, strict=True)
    ]
    if own := sum(mine is not module for mine, module in zip(family.rotations, theirs.rotations, strict=True)):
        ours.append(f"{own} of {family.n_layers} layers rotate queries and keys otherwise than mlx-lm")
    for name, attribute, value in (
        ("activation", "gate", published.activation),
        ("softcap of scores", "softcap", published.softcap),
        ("softcap of logits", "final_softcap", published.final_softcap),
    ):
        setattr(family, attribute, value)
        if value != getattr(theirs, attribute):
            ours.append(f"the {name} is {value}, mlx-lm has {getattr(theirs, attribute)}")
    family.limit, family.ours = published.limit, tuple(ours)
    return family.ours


def _compare(theirs: Family, published: Published) -> None:
    """Raises CheckpointError unless mlx-lm's scale, eps and tie are the published ones."""
    found: dict[str, tuple[Any, Any]] = {
        "query scale": (theirs.query_scale(0), published.query_scale),
        "eps of norms": (theirs.layers[0][theirs.norms.attn].eps, published.eps),
        "tied unembedding": (theirs.tied, published.tied),
    }
    for name, (used, stated) in found.items():
        if abs(used - stated) > CLOSE * abs(stated):
            raise CheckpointError(f"the {name} of this {published.family} is {stated}, and mlx-lm computes with {used}")


def rotation(rope: Rope, head_dim: int) -> Rotation:
    """The rotation of queries and keys by the published frequencies."""
    periods = mx.array(1 / rope.frequencies)
    factors = mx.where(mx.arange(head_dim) < rope.dims, rope.factor, 1.0)
    mx.eval(periods, factors)

    def rotate(x: mx.array, offset: Any = 0) -> mx.array:
        scaled = x if rope.factor == 1 else x * factors.astype(x.dtype)
        return mx.fast.rope(scaled, rope.dims, traditional=False, base=None, scale=1.0, offset=offset, freqs=periods)

    return rotate


def rotates(module: Rotation, rope: Rope, head_dim: int) -> bool:
    """Whether a module of mlx-lm rotates as published: by these frequencies, with this factor, these dimensions."""
    half = rope.dims // 2
    probe = mx.array(
        np.where((np.arange(head_dim) < half) | (np.arange(head_dim) >= rope.dims), 1, 0).astype(np.float32)
    )
    turned = np.array(module(probe[None, None, None], offset=1).astype(mx.float32)).reshape(-1)
    cosine, sine, rest = turned[:half], turned[half : rope.dims], turned[rope.dims :]
    same = np.allclose(np.arctan2(sine, cosine), rope.frequencies, rtol=CLOSE, atol=0)
    return bool(same and np.allclose(np.hypot(sine, cosine), rope.factor, rtol=CLOSE) and (rest == 1).all())
