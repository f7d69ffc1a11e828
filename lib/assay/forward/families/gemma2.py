"""Gemma-2: norms after attention and MLP too, GELU, scaled embeddings, softcaps of scores and logits, tied unembedding."""

from typing import Any

import mlx.core as mx

from assay.forward.activations import Activation
from assay.forward.families.base import Family, Norms

GEMMA_NORMS = Norms(
    "input_layernorm", "pre_feedforward_layernorm", "post_attention_layernorm", "post_feedforward_layernorm"
)


class Gemma2(Family):
    """Norms before and after attention and MLP; tanh caps the scores and the logits."""

    norms = GEMMA_NORMS
    activation: Activation = "gelu_approx"

    def __init__(self, model: Any):
        super().__init__(model)
        self.softcap = self.layers[0].self_attn.attn_logit_softcapping
        self.final_softcap = model.final_logit_softcapping

    def embed(self, tokens: mx.array) -> mx.array:
        return self.core.embed_tokens(tokens) * (self.core.args.hidden_size**0.5)
