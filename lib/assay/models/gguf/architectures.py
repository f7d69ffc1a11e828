"""The architectures that can be read: what their tensors are called here and there, and what shape they have.

    >>> ARCHITECTURES["qwen2"].layer["attn_q.bias"]
    Slot(name='self_attn.q_proj.bias', shape='Q')

A shape is written in letters, one a dimension, outermost first:
    E   width of the residual stream        V   rows of the embedding
    F   inner width of the MLP              G   2 F: gate and up in one matrix, gate first
    D   width of a head                     Q   query heads x D      K   key heads x D     P   Q + 2 K: q, k and v in one matrix

llama.cpp stores three things otherwise than the publisher:
- the rows of q and k of llama (and Mistral, which is the same architecture there): within a head, the two halves that
  rotate together are interleaved. Undone: (heads, D / 2, 2) -> (heads, 2, D / 2);
- the norms of gemma2 and gemma3, which multiply by 1 + weight, as that sum. Undone in float32: 1 is subtracted;
- tied unembeddings, by leaving `output.weight` out.
"""

from typing import NamedTuple


class Slot(NamedTuple):
    """A tensor's place in the publisher's layout."""

    name: str
    shape: str


class Architecture(NamedTuple):
    """What is particular to one value of `general.architecture`."""

    model_type: str
    class_name: str
    """Of transformers, for config.json."""
    layer: dict[str, Slot]
    """The tensors of a layer, without `blk.N.`."""
    options: tuple[tuple[str, dict[str, Slot]], ...] = ()
    """More tensors of a layer, which are all there or none; with the key of config.json that says so."""
    turned: tuple[str, ...] = ()
    """Tensors whose rows are in llama.cpp's rotary order."""
    norm_plus_one: bool = False
    always_tied: bool = False
    scaling: tuple[str, ...] = ()
    """Rope scalings that mlx-lm's model of this family has, under their names in a GGUF; `tensor` is llama3's."""


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
"""By `general.architecture`."""
