"""`Family`: the parts of an mlx-lm architecture that the forward pass uses; the defaults are those of Llama.

    >>> family = lm.family
    >>> x = family.embed(mx.array([[5, 6, 7]]))
    >>> x.shape, family.n_layers, family.sizes["H"]
    ((1, 3, 128), 8, 8)

The forward pass of `assay.forward.layers` is built from these parts: the embedding (`embed`), the queries, keys and values of a
layer (`qkv`, `rotate`, `query_scale`, `softcap`, `windows`), the matrix that writes z to the stream (`output`), the MLP
(`gate_up`, `gate`, `down`), the norms before and after attention and MLP (`norms`), the residual addition (`add`), and
the way from the last stream to logits (`final_norm`, `unembed`). They call mlx-lm's modules, which are not changed. A family is
a subclass in a file of its own, with only what differs.

A family computes what mlx-lm computes, until `assay.forward.families.follow` gives it what the published model does otherwise.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn

from assay.forward.activations import ACTIVATIONS, Activation

Rotation = Callable[..., mx.array]
"""Queries or keys [B, heads, L, D], and the keyword `offset`, the position of the first -> the same, rotated."""


class Norms(NamedTuple):
    """Attribute names of a layer's norms before and after attention and MLP (None: the family has none there)."""

    attn: str
    mlp: str
    attn_post: str | None = None
    mlp_post: str | None = None


class Family:
    """An mlx-lm model, seen as embedding, layers and unembedding."""

    norms = Norms("input_layernorm", "post_attention_layernorm")
    softcap: float | None = None
    """Scores become tanh(scores / cap) * cap."""
    final_softcap: float | None = None
    """Likewise for logits."""
    activation: Activation = "silu"
    """The activation of mlx-lm's MLP."""
    limit: int | None = None
    """The longest text, in tokens, that is computed as the published model does; None: any."""
    ours: tuple[str, ...] = ()
    """What the published model computes and mlx-lm does not, a sentence each."""

    def __init__(self, model: Any):
        self.model = model
        self.core = model.model
        self.layers: list[Any] = list(self.core.layers)
        attn = self.layers[0].self_attn
        self.n_layers = len(self.layers)
        self.n_heads: int = attn.n_heads
        self.n_kv_heads: int = attn.n_kv_heads
        self.width: int = self.core.norm.weight.shape[0]
        self.windows = self.find_windows()
        self.rotations: list[Rotation] = [layer.self_attn.rope for layer in self.layers]
        self.gate: Activation = self.activation

    def find_windows(self) -> list[int | None]:
        """For each layer, how many keys a query can see (itself included), or None for all."""
        size = getattr(self.core, "sliding_window", None)
        return [size if getattr(layer, "use_sliding", False) else None for layer in self.layers]

    # ------------------------------------------------------------------ from tokens to logits

    def embed(self, tokens: mx.array) -> mx.array:
        """[B, L] token ids -> [B, L, E]."""
        return self.core.embed_tokens(tokens)

    def embed_as_mlx_lm(self, tokens: mx.array) -> mx.array:
        """The embedding with the rounding of mlx-lm's model: the doctor compares the two forward passes with it."""
        return self.embed(tokens)

    def add(self, stream: mx.array, branch: mx.array) -> mx.array:
        """The residual addition: the stream, and the output of attention or MLP, [B, L, E] each."""
        return stream + branch

    def final_norm(self, x: mx.array) -> mx.array:
        """The norm before the unembedding, [.., E] -> [.., E]."""
        return self.core.norm(x)

    def unembed(self, x: mx.array) -> mx.array:
        """[.., E] after the final norm -> [.., V] logits."""
        logits = self.core.embed_tokens.as_linear(x) if self.tied else self.model.lm_head(x)
        return mx.tanh(logits / self.final_softcap) * self.final_softcap if self.final_softcap else logits

    @property
    def tied(self) -> bool:
        """Whether the unembedding is the embedding matrix."""
        return "lm_head" not in self.model

    @property
    def head(self) -> Any:
        """The module whose weight is the unembedding, [V, E]: the embedding or a linear layer."""
        return self.core.embed_tokens if self.tied else self.model.lm_head

    # ------------------------------------------------------------------ attention of layer i

    def attention_reads(self, i: int, x: mx.array) -> mx.array:
        """The stream [.., E] after the norm before attention."""
        return self.layers[i][self.norms.attn](x)

    def qkv(self, i: int, x: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        """[B, L, E] (normed) -> q [B, H, L, D], k and v [B, K, L, D], before the rotary embedding."""
        attn = self.layers[i].self_attn
        return self.by_head(attn.q_proj(x), attn.k_proj(x), attn.v_proj(x), attn)

    def by_head(self, q: mx.array, k: mx.array, v: mx.array, attn: Any) -> tuple[mx.array, mx.array, mx.array]:
        """[B, L, heads x D] each -> [B, heads, L, D], with the norms of q and k where the model has them."""
        B, L, _ = q.shape
        q = q.reshape(B, L, self.n_heads, -1)
        k = k.reshape(B, L, self.n_kv_heads, -1)
        v = v.reshape(B, L, self.n_kv_heads, -1)
        if "q_norm" in attn:
            q, k = attn.q_norm(q), attn.k_norm(k)
        return q.transpose(0, 2, 1, 3), k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3)

    def rotate(self, i: int, x: mx.array, offset: Any) -> mx.array:
        """Queries or keys [B, heads, L, D] with the rotary embedding of positions offset, offset + 1, ..."""
        return self.rotations[i](x, offset=offset)

    def query_scale(self, i: int) -> float:
        """The factor of queries before their product with keys."""
        return self.layers[i].self_attn.scale

    def output(self, i: int) -> Any:
        """The linear module o_proj: z of all heads [.., H x D] -> attn_raw [.., E]."""
        return self.layers[i].self_attn.o_proj

    def attention_writes(self, i: int, raw: mx.array) -> mx.array:
        """attn_raw -> attn_out: the norm after attention, where the family has one."""
        norm = self.attention_norm(i)
        return norm(raw) if norm is not None else raw

    def attention_norm(self, i: int) -> Any:
        """The norm after attention, or None."""
        return self.layers[i][self.norms.attn_post] if self.norms.attn_post else None

    # ------------------------------------------------------------------ the MLP of layer i

    def mlp_reads(self, i: int, x: mx.array) -> mx.array:
        """The stream [.., E] after the norm before the MLP."""
        return self.layers[i][self.norms.mlp](x)

    def mlp(self, i: int, x: mx.array) -> mx.array:
        """[.., E] (normed) -> mlp_raw, by the model's own module where it has the published activation."""
        if self.gate == self.activation:
            return self.layers[i].mlp(x)
        gate, up = self.gate_up(i, x)
        return self.down(i)(ACTIVATIONS[self.gate](gate) * up)

    def gate_up(self, i: int, x: mx.array) -> tuple[mx.array, mx.array]:
        """[.., E] (normed) -> gate and up [.., M]; the MLP is down(self.gate(gate) * up)."""
        mlp = self.layers[i].mlp
        return mlp.gate_proj(x), mlp.up_proj(x)

    def down(self, i: int) -> Any:
        """The linear module down_proj: [.., M] -> mlp_raw [.., E]."""
        return self.layers[i].mlp.down_proj

    def mlp_writes(self, i: int, raw: mx.array) -> mx.array:
        """mlp_raw -> mlp_out: the norm after the MLP, where the family has one."""
        norm = self.mlp_norm(i)
        return norm(raw) if norm is not None else raw

    def mlp_norm(self, i: int) -> Any:
        """The norm after the MLP, or None."""
        return self.layers[i][self.norms.mlp_post] if self.norms.mlp_post else None

    # ------------------------------------------------------------------ sizes

    @cached_property
    def vocab(self) -> int:
        """V, the rows of the unembedding."""
        return self.head.weight.shape[0]

    @cached_property
    def mlp_width(self) -> int:
        """M, the inner width of the MLP."""
        return in_features(self.down(0))

    @cached_property
    def head_dim(self) -> int:
        """D, the input width of o_proj / H. In Gemma-2 that is not E / H."""
        return in_features(self.output(0)) // self.n_heads

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of those axes of `assay.forward.sites` that depend on the model alone."""
        return {"E": self.width, "H": self.n_heads, "K": self.n_kv_heads, "D": self.head_dim, "V": self.vocab}

    @cached_property
    def weights_of_layer(self) -> tuple[int, int, int]:
        """Numbers of weights in one layer (q, k and v; o_proj; the MLP), each one multiplication per token."""
        H, K, D, E = self.n_heads, self.n_kv_heads, self.head_dim, self.width
        return E * D * (H + 2 * K), H * D * E, 3 * E * self.mlp_width


def in_features(linear: Any) -> int:
    """Input width of a dense or quantised linear layer."""
    if isinstance(linear, nn.QuantizedLinear):
        return linear.weight.shape[1] * 32 // linear.bits
    return linear.weight.shape[1]
