"""Phi-3: one fused projection for q, k and v, and one for gate and up."""

import mlx.core as mx

from assay.forward.families.base import Family


class Phi3(Family):
    """A Llama with q, k and v in one matrix, and gate and up in another."""

    def qkv(self, i: int, x: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        attn, H, K, D = self.layers[i].self_attn, self.n_heads, self.n_kv_heads, self.head_dim
        q, k, v = mx.split(attn.qkv_proj(x), [H * D, (H + K) * D], axis=-1)
        return self.by_head(q, k, v, attn)

    def gate_up(self, i: int, x: mx.array) -> tuple[mx.array, mx.array]:
        gate, up = mx.split(self.layers[i].mlp.gate_up_proj(x), 2, axis=-1)
        return gate, up
