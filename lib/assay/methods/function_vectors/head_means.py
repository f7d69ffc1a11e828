"""Mean outputs z of the attention heads at the last token of a task's prompts (Todd et al. 2024, section 2.2; FV-2).

    >>> from assay.data.tasks import task
    >>> from assay.methods.function_vectors.in_context import draw_trials
    >>> recorded = record_heads(lm, draw_trials(lm, task("antonym"), n_shots=2, split="valid", limit=4))
    >>> recorded.means().z.shape                                   # layers, heads, width of a head
    (8, 8, 16)

`assay.methods.heads` turns a mean of z into the mean write to the stream. In families with a norm after attention (Gemma) it
needs the RMS by which that norm divides: its mean over the same prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from assay.errors import PromptError
from assay.forward.lm import LM
from assay.methods.function_vectors.in_context import Trial, TrialScores, score_run
from assay.methods.heads import attention_rms
from assay.methods.portions import batches

BATCH = 4  # prompts per forward pass, which keeps z of all layers and positions


@dataclass(frozen=True, eq=False)
class HeadMeans:
    """Means at the last token over `n` prompts, in float32."""

    z: mx.array
    """Per head, the input of o_proj: [layers, H, D]."""
    rms: mx.array
    """Root mean square of attn_raw, by which a norm after attention divides: [layers]."""
    stream: mx.array
    """The residual stream after each layer, the layer-average baseline (FV-6): [layers, E]."""
    n: int


@dataclass(frozen=True, eq=False)
class RecordedHeads:
    """The values of `HeadMeans` for each prompt, [trials, layers, ..], and how the prompts were answered."""

    z: mx.array
    rms: mx.array
    stream: mx.array
    score: TrialScores

    def means(self, chosen: np.ndarray | None = None) -> HeadMeans:
        """Means over the chosen trials ([trials] bool; all by default). Raises PromptError when none is chosen."""
        chosen = np.ones(len(self.score.ranks), bool) if chosen is None else chosen
        if not chosen.any():
            raise PromptError(f"there is nothing to take a mean of: 0 of {len(chosen)} trials were chosen")
        rows = mx.array(np.flatnonzero(chosen))
        parts = [part[rows].mean(axis=0) for part in (self.z, self.rms, self.stream)]
        mx.eval(parts)
        return HeadMeans(*parts, n=int(chosen.sum()))


def record_heads(lm: LM, trials: Sequence[Trial]) -> RecordedHeads:
    """Run trials and keep z of all heads, the RMS of attn_raw, and resid_post at the last token."""
    z, rms, stream, scores = [], [], [], []
    for part in batches(trials, BATCH):
        run = lm.run([t.prompt for t in part], keep=("z", "resid_post"))
        last = [run.at_last("z", i) for i in range(lm.n_layers)]
        z.append(mx.stack(last, axis=1).astype(mx.float32))
        rms.append(mx.stack([attention_rms(lm, i, one) for i, one in enumerate(last)], axis=1))
        stream.append(mx.stack([run.at_last("resid_post", i) for i in range(lm.n_layers)], axis=1).astype(mx.float32))
        scores.append(score_run(run, part))
        mx.eval(z[-1], rms[-1], stream[-1])
    if not scores:
        raise PromptError("there is nothing to record: no trial was given")
    return RecordedHeads(*(mx.concatenate(part) for part in (z, rms, stream)), score=TrialScores.join(scores))
