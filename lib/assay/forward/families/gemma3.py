"""Gemma-3 (text): Gemma's norms, norms of q and k, GELU, scaled embeddings, five windowed layers for each full one."""

import mlx.core as mx
from mlx_lm.models.gemma3_text import clip_residual

from assay.forward.activations import Activation
from assay.forward.families.base import Family
from assay.forward.families.gemma2 import GEMMA_NORMS


class Gemma3(Family):
    """Norms before and after attention and MLP; residual additions are clipped in float16."""

    norms = GEMMA_NORMS
    activation: Activation = "gelu_approx"

    def find_windows(self) -> list[int | None]:
        period = self.core.sliding_window_pattern
        return [None if i % period == period - 1 else self.core.window_size for i in range(len(self.layers))]

    def embed(self, tokens: mx.array) -> mx.array:
        h = self.core.embed_tokens(tokens)
        return h * mx.array(self.core.args.hidden_size**0.5, h.dtype)

    def embed_as_mlx_lm(self, tokens: mx.array) -> mx.array:
        # mlx-lm rounds the scale to bfloat16 for weights of any dtype: see BUGFIX.md
        h = self.core.embed_tokens(tokens)
        return h * mx.array(self.core.args.hidden_size**0.5, mx.bfloat16).astype(h.dtype)

    def add(self, stream: mx.array, branch: mx.array) -> mx.array:
        return clip_residual(stream, branch)

    @property
    def tied(self) -> bool:
        return self.model.tie_word_embeddings
