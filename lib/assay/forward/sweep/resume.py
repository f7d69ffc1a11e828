"""Attention that resumes a clean run: new queries of many variants against the shared keys and values of that run.

    >>> clean = lm.run("The capital of France is", keep=assay.SWEEPABLE)
    >>> attend = AttendResumed(lm.family, clean.kept, front=4)
    >>> q, k, v = lm.family.qkv(3, mx.zeros((20, 2, 128)))          # 20 variants at positions 4 and 5
    >>> attend(3, q, k, v, NO_TAP).shape
    (20, 8, 2, 16)

Variants differ from position `front` on; before it, keys and values are the clean run's, [1, K, front, D], read once for
all rows. With one computed position (m = 1: most patches at the last token) the queries of all variants meet the shared prefix
in one matrix product. With more positions, or in half precision, where a sum cut in two is rounded twice, the prefix is copied
before each row's own keys: sums over keys then run as in a full forward pass, and the result is the same bit for bit.
"""

from collections.abc import Mapping

import mlx.core as mx
from mlx_lm.models.base import create_causal_mask

from assay.forward.attention import Mask, attention, hide, softcap, softmax
from assay.forward.families.base import Family
from assay.forward.lanes import by_head
from assay.forward.sites import Key
from assay.forward.taps import NO_TAP, Tap


class AttendResumed:
    """Attention of rows at positions front, front + 1, ...; `own` keeps each layer's (k, v) of the rows that computed them."""

    def __init__(self, family: Family, clean: Mapping[Key, mx.array], front: int, keep_own: bool = False):
        self.family, self.clean, self.front = family, clean, front
        self.own: dict[int, tuple[mx.array, mx.array]] = {}
        self.keep_own = keep_own
        self.masks: dict[int | None, Mask] = {}

    def __call__(self, i: int, q: mx.array, k: mx.array, v: mx.array, tap: Tap) -> mx.array:
        p, family = self.front, self.family
        q, k = tap("q_rot", i, family.rotate(i, q, p)), tap("k_rot", i, family.rotate(i, k, p))
        if self.keep_own:
            self.own[i] = (k, v)
        N, m = q.shape[0], q.shape[2]
        old_k, old_v = self.clean["k_rot", i][:, :, :p], self.clean["v", i][:, :, :p]
        if m == 1 and p > 0 and q.dtype == mx.float32:
            if tap.wants("scores", i) or tap.wants("pattern", i):
                return self.one_query(i, q, k, v, old_k, old_v, tap)
            heads = lambda q, k, v, old_k, old_v: self.one_query(i, q, k, v, old_k, old_v, NO_TAP)  # noqa: E731
            return by_head(heads, q, k, v, old_k, old_v, work=2 * q.size * p)
        if p > 0:
            k = mx.concatenate([mx.broadcast_to(old_k, (N, *old_k.shape[1:])), k], axis=2)
            v = mx.concatenate([mx.broadcast_to(old_v, (N, *old_v.shape[1:])), v], axis=2)
        return attention(family, i, q, k, v, self.mask(i, m), tap)

    def mask(self, i: int, m: int) -> Mask:
        """The mask of m queries that start at `front`."""
        window = self.family.windows[i]
        if window not in self.masks:
            bites = window is not None and self.front + m > window
            self.masks[window] = create_causal_mask(m, self.front, window_size=window) if bites else "causal"
        return self.masks[window] if m > 1 or self.masks[window] != "causal" else None

    def one_query(
        self, i: int, q: mx.array, k: mx.array, v: mx.array, old_k: mx.array, old_v: mx.array, tap: Tap
    ) -> mx.array:
        """Attention of one query per row: one product with the prefix per key head, then the row's own key."""
        N, H, _, D = q.shape
        K, p = old_k.shape[1:3]
        q = (q * self.family.query_scale(i)).reshape(N, K, H // K, D)
        old = q.swapaxes(0, 1).reshape(K, -1, D) @ old_k[0].swapaxes(-1, -2)
        new = q @ k.swapaxes(-1, -2)
        scores = mx.concatenate([old.reshape(K, N, H // K, p).swapaxes(0, 1), new], axis=-1)
        mask = self.mask(i, 1)
        scores = hide(softcap(self.family, scores), mask if isinstance(mask, mx.array) else None)
        scores = tap("scores", i, scores.reshape(N, H, 1, p + 1))
        pattern = tap("pattern", i, softmax(scores)).reshape(N, K, H // K, p + 1)
        z = (pattern[..., :p].swapaxes(0, 1).reshape(K, -1, p) @ old_v[0]).reshape(K, N, H // K, -1).swapaxes(0, 1)
        return (z + pattern[..., p:] @ v).reshape(N, H, 1, -1)
