"""What the tests of patching methods do by hand: plain mlx-lm layers, no cache, one full forward for each new token.

said(lm, tokens, 10, put(at, vector, layer=2))           # greedy, with one state overwritten in every forward
"""

import mlx.core as mx
from plain import plain


def put(at: int, vector: mx.array, layer: int):
    """A `change` of `plain` that overwrites what leaves a layer at one position."""

    def change(site, i, x):
        if (site, i) != ("resid_post", layer):
            return x
        return mx.concatenate([x[:, :at], vector[None, None].astype(x.dtype), x[:, at + 1 :]], axis=1)

    return change


def stream(model, tokens, at: int) -> list[mx.array]:
    """What leaves each layer at one position [E]."""
    found = {}

    def change(site, i, x):
        if site == "resid_post":
            found[i] = x[0, at]
        return x

    plain(model, tokens, change)
    return [found[i] for i in sorted(found)]


def said(lm, tokens, n: int, change=lambda site, i, x: x, hide=None) -> str:
    """The greedy continuation of up to n tokens. `hide(length)` gives what is hidden in a forward of so many tokens."""
    out: list[int] = []
    for _ in range(n):
        now = [*tokens, *out]
        logits = plain(lm.model, now, change, hide(len(now)) if hide else None)[-1]
        token = int(mx.argmax(logits).item())
        if token in lm.end_tokens:
            break
        out.append(token)
    return lm.decode(out)
