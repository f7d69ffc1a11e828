"""Llama, Mistral, Qwen-2 and Qwen-3: the defaults of `Family` are theirs.

They differ in what mlx-lm's modules hold: a bias of q, k and v (Qwen-2), norms of q and k (Qwen-3), windows (Mistral).
"""

from assay.forward.families.base import Family


class Llama(Family):
    """Two norms a layer, a gated MLP with SiLU, tied or untied."""
