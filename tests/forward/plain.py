"""An oracle in plain mlx: mlx-lm's own modules, called one after the other by hand, with the stream in our hands between them.

    plain(model, tokens)                                     # the model's own logits
    plain(model, tokens, lambda site, i, x: x * 2 if (site, i) == ("resid_mid", 1) else x)

It shares nothing with `assay.forward`: attention and MLP are called whole, so it can change the stream and what is written
to it, and the mask, and nothing inside. What happens inside is checked by changing weights instead (test_edits.py).
"""

from typing import Any

import mlx.core as mx
import tiny


def plain(model: Any, tokens: list[int], change=lambda site, i, x: x, hidden: mx.array | None = None) -> mx.array:
    """Logits [L, V]. `change(site, layer, x)` sees resid_pre, attn_out, resid_mid, mlp_out and resid_post [1, L, E];
    `hidden` [layers, L, S] is True where a query may not look although the model would let it."""
    gemma, core, lowest = model.model_type.startswith("gemma"), model.model, mx.finfo(mx.float32).min
    x = core.embed_tokens(mx.array([tokens]))
    if gemma:
        x = x * 8.0  # the square root of E = 64, exact in every dtype
    for i, layer in enumerate(core.layers):
        mask = mx.where(hidden[i], lowest / 2, 0.0) if hidden is not None else 0.0
        mask = mx.where(causal(len(tokens), window_of(layer)), mask, lowest)  # added to the scores
        x = change("resid_pre", i, x)
        y = layer.self_attn(layer.input_layernorm(x), mask, None)
        y = layer.post_attention_layernorm(y) if gemma else y
        x = change("resid_mid", i, x + change("attn_out", i, y))
        y = layer.mlp((layer.pre_feedforward_layernorm if gemma else layer.post_attention_layernorm)(x))
        y = layer.post_feedforward_layernorm(y) if gemma else y
        x = change("resid_post", i, x + change("mlp_out", i, y))
    return head(model, core.norm(x))[0]


def head(model: Any, normed: mx.array) -> mx.array:
    """The unembedding of a normed state."""
    if "lm_head" in model:
        return model.lm_head(normed)
    logits = model.model.embed_tokens.as_linear(normed)
    cap = getattr(model, "final_logit_softcapping", None)
    return logits if cap is None else mx.tanh(logits / cap) * cap


def causal(length: int, window: int | None) -> mx.array:
    """True where a query (row) sees a key (column)."""
    query, key = mx.arange(length)[:, None], mx.arange(length)[None]
    return (key <= query) & (key > query - (window or length))


def window_of(layer: Any) -> int | None:
    """The window of a layer of the tiny models, from what mlx-lm's modules say about themselves."""
    sliding = getattr(layer, "use_sliding", False) or getattr(layer.self_attn, "is_sliding", False)
    return tiny.WINDOW if sliding else None
