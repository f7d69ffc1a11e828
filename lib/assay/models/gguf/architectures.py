"""The supported architectures: the names of their tensors in GGUF and in the publisher's layout, and their shapes.

    >>> ARCHITECTURES["qwen2"].layer["attn_q.bias"]
    Slot(name='self_attn.q_proj.bias', shape='Q')

A shape is written in letters, one a dimension, outermost first:
    E   width of the residual stream        V   rows of the embedding
    F   inner width of the MLP              G   2 F: gate and up in one matrix, gate first
    D   width of a head                     Q   query heads x D      K   key heads x D     P   Q + 2 K: q, k and v in one matrix

llama.cpp changes three things, which the conversion undoes:
- it interleaves, within each head, the two halves of the rows of q and k that rotate together, for llama (which includes
  Mistral). The conversion reorders (heads, D / 2, 2) -> (heads, 2, D / 2);
- it stores the norms of gemma2 and gemma3 as 1 + weight. The conversion subtracts 1 in float32;
- it leaves out `output.weight` when the unembedding is tied to the embedding.
"""

from typing import NamedTuple


class Slot(NamedTuple):
    """A tensor's place in the publisher's layout."""

    name: str
    shape: str


class Architecture(NamedTuple):
    """The tensors and settings of one value of `general.architecture`."""

    model_type: str
    class_name: str
    """The class in transformers, for config.json."""
    layer: dict[str, Slot]
    """The tensors of a layer, without `blk.N.`."""
    options: tuple[tuple[str, dict[str, Slot]], ...] = ()
    """(key of config.json, tensors): optional tensors of a layer, all present or all absent, as the key says."""
    turned: tuple[str, ...] = ()
    """Tensors whose rows are in llama.cpp's rotary order."""
    norm_plus_one: bool = False
    always_tied: bool = False
    scaling: tuple[str, ...] = ()
    """Rope scalings that mlx-lm supports for this family, by their names in GGUF; `tensor` is llama3's."""


def _linear(names: dict[str, str], suffix: str = "weight") -> dict[str, Slot]:
    """Slots from lines like {"attn_q": "self_attn.q_proj QE"}."""
    pairs = ((f"{ours}.{suffix}", theirs.split()) for ours, theirs in names.items())
    return {ours: Slot(f"{name}.{suffix}", shape) for ours, (name, shape) in pairs}


ATTENTION = {
    "attn_q": "self_attn.q_proj QE",
    "attn_k": "self_attn.k_proj KE",
    "attn_v": "self_attn.v_proj KE",
    "attn_output": "self_attn.o_proj EQ",
}
MLP = {"ffn_gate": "mlp.gate_proj FE", "ffn_up": "mlp.up_proj FE", "ffn_down": "mlp.down_proj EF"}
TWO_NORMS = {"attn_norm": "input_layernorm E", "ffn_norm": "post_attention_layernorm E"}
FOUR_NORMS = {
    "attn_norm": "input_layernorm E",
    "post_attention_norm": "post_attention_layernorm E",
    "ffn_norm": "pre_feedforward_layernorm E",
    "post_ffw_norm": "post_feedforward_layernorm E",
}
HEAD_NORMS = {"attn_q_norm": "self_attn.q_norm D", "attn_k_norm": "self_attn.k_norm D"}


def _biases(names: dict[str, str]) -> dict[str, Slot]:
    return _linear({ours: f"{theirs.split()[0]} {theirs.split()[1][0]}" for ours, theirs in names.items()}, "bias")


QKV = {name: ATTENTION[name] for name in ("attn_q", "attn_k", "attn_v")}

ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture(
        "llama",
        "LlamaForCausalLM",
        _linear(TWO_NORMS | ATTENTION | MLP),
        options=(("attention_bias", _biases(ATTENTION)), ("mlp_bias", _biases(MLP))),
        turned=("attn_q.weight", "attn_k.weight", "attn_q.bias", "attn_k.bias"),
        scaling=("linear", "yarn", "tensor"),
    ),
    "qwen2": Architecture(
        "qwen2", "Qwen2ForCausalLM", _linear(TWO_NORMS | ATTENTION | MLP) | _biases(QKV), scaling=("linear", "yarn")
    ),
    "qwen3": Architecture(
        "qwen3", "Qwen3ForCausalLM", _linear(TWO_NORMS | ATTENTION | HEAD_NORMS | MLP), scaling=("linear", "yarn")
    ),
    "gemma2": Architecture(
        "gemma2", "Gemma2ForCausalLM", _linear(FOUR_NORMS | ATTENTION | MLP), norm_plus_one=True, always_tied=True
    ),
    "gemma3": Architecture(
        "gemma3_text",
        "Gemma3ForCausalLM",
        _linear(FOUR_NORMS | ATTENTION | HEAD_NORMS | MLP),
        norm_plus_one=True,
        scaling=("linear",),
    ),
    "phi3": Architecture(
        "phi3",
        "Phi3ForCausalLM",
        _linear(
            TWO_NORMS
            | {
                "attn_qkv": "self_attn.qkv_proj PE",
                "attn_output": "self_attn.o_proj EQ",
                "ffn_up": "mlp.gate_up_proj GE",
                "ffn_down": "mlp.down_proj EF",
            }
        ),
        scaling=("longrope",),
    ),
}
"""By the value of `general.architecture`."""
