"""Families: how each mlx-lm architecture differs from Llama, one small class each, over mlx-lm's unmodified modules.

    >>> family = adapt(model)            # model: what mlx_lm.load returned      # doctest: +SKIP
    >>> family.embed(tokens).shape                                               # doctest: +SKIP
    (1, 7, 128)

A family answers eight questions, and the forward in `assay.forward.layers` is written in nothing else: how tokens become
the first residual (`embed`), which norms a layer has (`norms`), how attention gets its q, k, v (`qkv`), the softcap of its
scores (`softcap`), the sliding window of each layer (`windows`), what an MLP multiplies (`gate_up`, `activation`), how a
branch is added to the stream (`add`), and how the last residual becomes logits (`unembed`). Nothing of the model is patched,
wrapped or swapped.
"""

from functools import cached_property
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.gemma3_text import clip_residual

from assay.errors import UnsupportedFamily, unknown
from assay.forward.by_numpy import Activation


class Norms(NamedTuple):
    """Attribute names of a layer's norms: before each branch, and after it (None: the family has none there)."""

    attn: str
    mlp: str
    attn_post: str | None = None
    mlp_post: str | None = None


GEMMA_NORMS = Norms(
    "input_layernorm", "pre_feedforward_layernorm", "post_attention_layernorm", "post_feedforward_layernorm"
)


class Llama:
    """Llama, Mistral, Qwen-2 and Qwen-3: two norms a layer, optional qkv bias, optional q/k norm, optional windows."""

    norms = Norms("input_layernorm", "post_attention_layernorm")
    softcap: float | None = None
    activation: Activation = "silu"

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

    def find_windows(self) -> list[int | None]:
        """For each layer, how many keys a query can see (itself included), or None for all."""
        size = getattr(self.core, "sliding_window", None)
        return [size if getattr(layer, "use_sliding", False) else None for layer in self.layers]

    def embed(self, tokens: mx.array) -> mx.array:
        """[B, L] token ids -> [B, L, E]."""
        return self.core.embed_tokens(tokens)

    def embed_as_mlx_lm(self, tokens: mx.array) -> mx.array:
        """The same as mlx-lm's model does it: with it the doctor compares the two forwards."""
        return self.embed(tokens)

    def qkv(self, attn: Any, x: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        """[B, L, E] (normed) -> q [B, H, L, D], k and v [B, K, L, D], before the rotary embedding."""
        B, L, _ = x.shape
        q = attn.q_proj(x).reshape(B, L, self.n_heads, -1)
        k = attn.k_proj(x).reshape(B, L, self.n_kv_heads, -1)
        v = attn.v_proj(x).reshape(B, L, self.n_kv_heads, -1)
        if "q_norm" in attn:
            q, k = attn.q_norm(q), attn.k_norm(k)
        return q.transpose(0, 2, 1, 3), k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3)

    def gate_up(self, mlp: Any, x: mx.array) -> tuple[mx.array, mx.array]:
        """[.., E] (normed) -> gate and up [.., M]; the MLP is down_proj(activation(gate) * up)."""
        return mlp.gate_proj(x), mlp.up_proj(x)

    def add(self, stream: mx.array, branch: mx.array) -> mx.array:
        """The residual addition."""
        return stream + branch

    def final_norm(self, x: mx.array) -> mx.array:
        """The norm before the unembedding, [.., E] -> [.., E]."""
        return self.core.norm(x)

    def unembed(self, x: mx.array) -> mx.array:
        """[.., E] after the final norm -> [.., V] logits."""
        return self.core.embed_tokens.as_linear(x) if self.tied else self.model.lm_head(x)

    @property
    def tied(self) -> bool:
        """Whether the unembedding is the embedding matrix."""
        return "lm_head" not in self.model

    @property
    def head(self) -> Any:
        """The module whose weight is the unembedding, [V, E]: the embedding or a linear layer."""
        return self.core.embed_tokens if self.tied else self.model.lm_head

    @cached_property
    def vocab(self) -> int:
        """V, the rows of the unembedding."""
        return self.head.weight.shape[0]

    @cached_property
    def mlp_width(self) -> int:
        """The inner width of the MLP."""
        return in_features(self.layers[0].mlp.down_proj)

    def done_before(self, station: str) -> float:
        """The share of a layer's matrix work that is done when the stream reaches a station of `assay.forward.sweep.plan`."""
        qkv, out, mlp = self._weights
        done = {
            "resid_pre": 0,
            "z": qkv,
            "resid_mid": qkv + out,
            "mlp_raw": qkv + out + mlp,
            "resid_post": qkv + out + mlp,
        }
        return done[station] / (qkv + out + mlp)

    @cached_property
    def layer_weights(self) -> int:
        """Weights of the matrices of one layer: multiplications for one token."""
        return sum(self._weights)

    @cached_property
    def _weights(self) -> tuple[int, int, int]:
        """The same for the projections to q, k and v, the one of the output, and the MLP."""
        H, K, D, E = self.n_heads, self.n_kv_heads, self.head_dim, self.width
        return E * D * (H + 2 * K), H * D * E, 3 * E * self.mlp_width

    @cached_property
    def head_dim(self) -> int:
        """D, read off the weights: o_proj's input width / H. Not E / H (in Gemma-2 they differ)."""
        return in_features(self.layers[0].self_attn.o_proj) // self.n_heads


class Phi3(Llama):
    """One fused projection for q, k and v."""

    def qkv(self, attn: Any, x: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        B, L, _ = x.shape
        H, K, D = self.n_heads, self.n_kv_heads, self.head_dim
        q, k, v = mx.split(attn.qkv_proj(x), [H * D, (H + K) * D], axis=-1)
        q, k, v = q.reshape(B, L, H, D), k.reshape(B, L, K, D), v.reshape(B, L, K, D)
        return q.transpose(0, 2, 1, 3), k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3)

    def gate_up(self, mlp: Any, x: mx.array) -> tuple[mx.array, mx.array]:
        gate, up = mx.split(mlp.gate_up_proj(x), 2, axis=-1)
        return gate, up


class Gemma2(Llama):
    """Post-norms, GELU, scaled embeddings, softcapped scores and logits, always tied."""

    norms = GEMMA_NORMS
    activation: Activation = "gelu_approx"

    def __init__(self, model: Any):
        super().__init__(model)
        self.softcap = self.layers[0].self_attn.attn_logit_softcapping

    def embed(self, tokens: mx.array) -> mx.array:
        return self.core.embed_tokens(tokens) * (self.core.args.hidden_size**0.5)

    def unembed(self, x: mx.array) -> mx.array:
        cap = self.model.final_logit_softcapping
        return mx.tanh(self.core.embed_tokens.as_linear(x) / cap) * cap


class Gemma3(Llama):
    """Post-norms, GELU, q/k norm, scaled embeddings, five windowed layers for each full one, clipped additions in float16."""

    norms = GEMMA_NORMS
    activation: Activation = "gelu_approx"

    def find_windows(self) -> list[int | None]:
        period = self.core.sliding_window_pattern
        return [None if i % period == period - 1 else self.core.window_size for i in range(len(self.layers))]

    def embed(self, tokens: mx.array) -> mx.array:
        h = self.core.embed_tokens(tokens)
        return h * mx.array(self.core.args.hidden_size**0.5, h.dtype)

    def embed_as_mlx_lm(self, tokens: mx.array) -> mx.array:
        # mlx-lm rounds the scale to bfloat16 whatever the weights are: see BUGFIX.md
        h = self.core.embed_tokens(tokens)
        return h * mx.array(self.core.args.hidden_size**0.5, mx.bfloat16).astype(h.dtype)

    def add(self, stream: mx.array, branch: mx.array) -> mx.array:
        return clip_residual(stream, branch)

    @property
    def tied(self) -> bool:
        return self.model.tie_word_embeddings


FAMILIES: dict[str, type[Llama]] = {
    "llama": Llama,
    "mistral": Llama,
    "qwen2": Llama,
    "qwen3": Llama,
    "phi3": Phi3,
    "gemma2": Gemma2,
    "gemma3_text": Gemma3,
}


def adapt(model: Any) -> Llama:
    """The family adapter of an mlx-lm model. Raises UnsupportedFamily, naming the supported ones."""
    if model.model_type not in FAMILIES:
        raise unknown(UnsupportedFamily, "model family", model.model_type, FAMILIES)
    return FAMILIES[model.model_type](model)


def in_features(linear: Any) -> int:
    """Input width of a dense or quantised linear layer."""
    if isinstance(linear, nn.QuantizedLinear):
        return linear.weight.shape[1] * 32 // linear.bits
    return linear.weight.shape[1]
