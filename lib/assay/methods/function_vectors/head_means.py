"""What the attention heads compute, on average, at the last token of a task's prompts (Todd et al. 2024, section 2.2; FV-2).

    >>> recorded = record(lm, draw(lm, task("antonym"), n_shots=10, split="valid"))        # doctest: +SKIP
    >>> means = recorded.means(recorded.score.right)                                       # doctest: +SKIP
    >>> means.z.shape                                    # [layers, heads, head_dim]       # doctest: +SKIP
    (8, 8, 16)
    >>> head_writes(lm, 4, means.z[4], means.rms[4]).shape           # [heads, width]      # doctest: +SKIP
    (8, 128)

A head's output z reaches the stream through its slice of o_proj, which is linear: so a mean of z is written as the mean of
what was written. In families with a norm behind the attention (Gemma) that norm divides the sum of all heads by its RMS.
There a head's share is linear once the RMS is held fixed; it is taken from the very runs that the mean is taken from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from assay.errors import PromptError
from assay.forward.layers import head_outputs
from assay.forward.lm import LM, PromptLike
from assay.methods.function_vectors.in_context import Score, Trial, scored
from assay.methods.orthogonalise import gain

BATCH = 4  # prompts a forward: z of all layers and positions is held


@dataclass(frozen=True, eq=False)
class HeadMeans:
    """Means at the last token over `n` prompts, in float32."""

    z: mx.array
    """Per head, the input of o_proj: [layers, H, D]."""
    rms: mx.array
    """What a norm behind the attention divides by: [layers]."""
    stream: mx.array
    """The residual stream after each layer, the layer-average baseline (FV-6): [layers, E]."""
    n: int


@dataclass(frozen=True, eq=False)
class Recorded:
    """The same for each prompt, [trials, layers, ..], and how the prompts were answered."""

    z: mx.array
    rms: mx.array
    stream: mx.array
    score: Score

    def means(self, chosen: np.ndarray | None = None) -> HeadMeans:
        """Means over the chosen trials ([trials] bool; all by default). Raises PromptError when none is chosen."""
        chosen = np.ones(len(self.score.ranks), bool) if chosen is None else chosen
        if not chosen.any():
            raise PromptError(f"there is nothing to take a mean of: 0 of {len(chosen)} trials were chosen")
        rows = mx.array(np.flatnonzero(chosen))
        parts = [part[rows].mean(axis=0) for part in (self.z, self.rms, self.stream)]
        mx.eval(parts)
        return HeadMeans(*parts, n=int(chosen.sum()))


def record(lm: LM, trials: Sequence[Trial]) -> Recorded:
    """Run trials and keep what their heads compute at the last token."""
    z, rms, stream, scores = [], [], [], []
    for start in range(0, len(trials), BATCH):
        part = trials[start : start + BATCH]
        run = lm.run([t.prompt for t in part], keep=("z", "resid_post"))
        last = [run.at_last("z", i) for i in range(lm.n_layers)]
        z.append(mx.stack(last, axis=1).astype(mx.float32))
        rms.append(mx.stack([attention_rms(lm, i, one) for i, one in enumerate(last)], axis=1))
        stream.append(mx.stack([run.at_last("resid_post", i) for i in range(lm.n_layers)], axis=1).astype(mx.float32))
        scores.append(scored(run, part))
        mx.eval(z[-1], rms[-1], stream[-1])
    if not scores:
        raise PromptError("there is nothing to record: no trial was given")
    return Recorded(*(mx.concatenate(part) for part in (z, rms, stream)), score=Score.join(scores))


def attention_rms(lm: LM, layer: int, z: mx.array) -> mx.array:
    """The root mean square of attn_raw for z [.., H, D], with the epsilon of the norm behind it, if any: [..], float32."""
    block, post = lm.family.layers[layer], lm.family.norms.attn_post
    raw = block.self_attn.o_proj(z.reshape(*z.shape[:-2], -1)).astype(mx.float32)
    return mx.sqrt((raw * raw).mean(axis=-1) + (block[post].eps if post else 0.0))


def head_writes(lm: LM, layer: int, z: mx.array, rms: mx.array) -> mx.array:
    """What each head adds to the stream: z [H, D] -> [H, E], float32.

    rms: RMS of the attention output, from `attention_rms` or a mean of them; used where a norm stands behind the attention.
    Summed over the heads this is attn_out (less the part of o_proj's bias, in the few models that have one).
    """
    block, post = lm.family.layers[layer], lm.family.norms.attn_post
    raw = head_outputs(block.self_attn.o_proj, z.astype(mx.float32)[None, None])[0, 0].astype(mx.float32)
    return raw if post is None else raw / rms * gain(block[post])


def sum_error(lm: LM, prompt: PromptLike) -> float:
    """How far the writes of all heads, summed, are from attn_out at the last token, relative to it: the worst layer's norm."""
    run = lm.run(prompt, keep=("z", "attn_out"))
    worst = 0.0
    for layer in range(lm.n_layers):
        z, out = run.at_last("z", layer)[0], run.at_last("attn_out", layer)[0].astype(mx.float32)
        away = head_writes(lm, layer, z, attention_rms(lm, layer, z)).sum(axis=0) - out
        worst = max(worst, (mx.linalg.norm(away) / mx.linalg.norm(out)).item())  # type: ignore[type-var]
    return worst
