"""Llama, Mistral, Qwen-2 (biases of q, k and v) and Qwen-3 (norms of q and k): the defaults of `Family`."""

from assay.forward.families.base import Family


class Llama(Family):
    """Two norms per layer, a gated MLP with SiLU, a tied or separate unembedding."""
