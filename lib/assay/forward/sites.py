"""The glossary: every place in a transformer that assay can read or change, each defined in one sentence.

    >>> axes("pattern")
    'B H L S'
    >>> expand(["resid_post", "pattern.1", ("z", 0)], n_layers=2)
    [('resid_post', 0), ('resid_post', 1), ('pattern', 1), ('z', 0)]

Axis letters, used in every docstring of the library:

    B  prompts of a batch, or variants of a sweep        H  query heads
    L  positions computed in this call                   K  key/value heads (query head h reads kv head h // (H / K))
    S  positions attended to (keys)                      D  width of one head
    E  width of the residual stream                      V  entries of the vocabulary

Layers count from 0. A *key* is a site and a layer, `("resid_post", 5)`; sites outside the layers have the layer `None`.
The residual stream of one layer, in order of computation:

    resid_pre -> [norm -> q k v -> q_rot k_rot -> scores -> pattern -> z -> attn_raw -> post-norm?] -> attn_out
              -> resid_mid = resid_pre + attn_out
              -> [norm -> mlp_raw -> post-norm?] -> mlp_out -> resid_post = resid_mid + mlp_out
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

from assay.errors import LayerError, UnknownSite, shown, unknown

Key = tuple[str, int | None]


Station = Literal["embed", "resid_pre", "z", "resid_mid", "mlp_raw", "resid_post"]
"""A place where a forward pass can resume with values of another run, in the order of computation; `embed` is before layer 0."""

AXES = "B L S H K D E V"


@dataclass(frozen=True)
class Site:
    """One place in the forward pass."""

    name: str
    axes: str
    """Letters of `AXES`, with spaces."""
    station: Station | None
    """The last station before the site: a forward pass that resumes there computes the site. None: after all layers."""
    transformer_lens: str
    """The hook of TransformerLens with the same value, without `blocks.N.`; empty if it has none."""
    meaning: str
    editable: bool = True

    def __post_init__(self) -> None:
        if strange := [letter for letter in self.axes.split() if letter not in AXES.split()]:
            raise ValueError(f"site {self.name!r} has an axis {strange[0]!r}; known letters: {AXES}")

    @property
    def per_layer(self) -> bool:
        """Whether every layer has this site."""
        return self.station not in (None, "embed")


_ALL = (
    Site("embed", "B L E", "embed", "hook_embed",
         "token embeddings, after the family's scale if it has one"),
    Site("resid_pre", "B L E", "resid_pre", "hook_resid_pre",
         "the residual stream that enters a layer"),
    Site("q", "B H L D", "resid_pre", "attn.hook_q",
         "queries, after bias and q-norm, before the rotary embedding"),
    Site("k", "B K L D", "resid_pre", "attn.hook_k",
         "keys, after bias and k-norm, before the rotary embedding"),
    Site("v", "B K L D", "resid_pre", "attn.hook_v",
         "values"),
    Site("q_rot", "B H L D", "resid_pre", "attn.hook_rot_q",
         "queries after the rotary embedding, before the attention scale"),
    Site("k_rot", "B K L D", "resid_pre", "attn.hook_rot_k",
         "keys after the rotary embedding"),
    Site("scores", "B H L S", "resid_pre", "attn.hook_attn_scores",
         "attention scores after scale, softcap and mask (masked: the dtype's minimum)"),
    Site("pattern", "B H L S", "resid_pre", "attn.hook_pattern",
         "attention weights: softmax of scores over S"),
    Site("z", "B L H D", "z", "attn.hook_z",
         "per head, the pattern-weighted sum of values: the input of o_proj"),
    Site("head_out", "B L H E", "z", "attn.hook_result",
         "per head, what o_proj makes of its z; sums to attn_raw", editable=False),
    Site("attn_raw", "B L E", "z", "",
         "the output of the attention module (o_proj)"),
    Site("attn_out", "B L E", "z", "hook_attn_out",
         "what attention adds to the stream: attn_raw, post-normed where the family does so"),
    Site("resid_mid", "B L E", "resid_mid", "hook_resid_mid",
         "the stream between attention and MLP"),
    Site("mlp_raw", "B L E", "mlp_raw", "",
         "the output of the MLP module"),
    Site("mlp_out", "B L E", "mlp_raw", "hook_mlp_out",
         "what the MLP adds to the stream: mlp_raw, post-normed where the family does so"),
    Site("resid_post", "B L E", "resid_post", "hook_resid_post",
         "the residual stream that leaves a layer"),
    Site("final_norm", "B L E", None, "",
         "the last resid_post after the final norm: the input of the unembedding"),
    Site("logits", "B L V", None, "",
         "next-token logits, after the final softcap if the family has one"),
)  # fmt: skip

SITES: dict[str, Site] = {site.name: site for site in _ALL}


def site(name: str) -> Site:
    """The site called `name`. Raises UnknownSite with the nearest names."""
    if not isinstance(name, str) or name not in SITES:
        raise unknown(UnknownSite, "site", name, SITES)
    return SITES[name]


def axes(name: str) -> str:
    """The axes of a site, as letters with spaces: `"B L E"`."""
    return site(name).axes


def position_axis(name: str) -> int:
    """Which axis of a site is L, the position of the token (for scores and pattern: of the query)."""
    return axes(name).split().index("L")


def head_axis(name: str) -> int | None:
    """Which axis of a site is the head (H or K), or None."""
    letters = axes(name).split()
    return next((i for i, letter in enumerate(letters) if letter in "HK"), None)


def canonical(name: str, x: Any) -> Any:
    """A site's value with positions on axis 1 and heads, if any, on axis 2; applied twice, the value itself."""
    return x.swapaxes(1, 2) if axes(name).startswith(("B H L", "B K L")) else x


def layer_index(layer: int, n_layers: int) -> int:
    """`layer` counted from 0; -1 is the last. Raises LayerError outside the model."""
    if not is_whole(layer):
        raise LayerError(f"a layer is a whole number, got {shown(layer)}")
    if not -n_layers <= layer < n_layers:
        raise LayerError(f"layer {shown(layer)} is out of range: this model has layers 0 to {n_layers - 1}")
    return int(layer) % n_layers


def is_whole(n: Any) -> bool:
    """Whether `n` is an integer, of Python or numpy; True and False are not."""
    return isinstance(n, Integral) and not isinstance(n, bool)


def is_number(x: Any) -> bool:
    """Whether `x` is a real number, of Python or numpy, NaN and infinity among them; True and False are not."""
    return isinstance(x, Real) and not isinstance(x, bool)


def listed(numbers: Any) -> list[Any]:
    """One number, or several in any container or array, as a list; the items are not checked. A text is one item."""
    numbers = numbers.tolist() if hasattr(numbers, "tolist") else numbers
    several = isinstance(numbers, Iterable) and not isinstance(numbers, str | bytes)
    return list(numbers) if several else [numbers]


def expand(keep: str | Iterable[str | Key], n_layers: int) -> list[Key]:
    """The keys that `keep` names: `"resid_post"` (all layers), `"pattern.3"`, `("z", 3)`, `"logits"`.

    Raises UnknownSite for a misspelt site and LayerError for a layer that the model does not have.
    """
    keys: dict[Key, None] = {}
    for item in listed(keep):
        name, layer = item if isinstance(item, tuple) and len(item) == 2 else _split(item)
        if not site(name).per_layer:
            if layer is not None:
                raise LayerError(f"site {name!r} is outside the layers: ask for it without a layer")
            keys[name, None] = None
        elif layer is None:
            keys.update({(name, i): None for i in range(n_layers)})
        else:
            keys[name, layer_index(layer, n_layers)] = None
    return list(keys)


def _split(text: Any) -> Key:
    if not isinstance(text, str):
        raise UnknownSite(f"a site is written 'z', 'z.3' or ('z', 3), got {shown(text)}")
    name, dot, layer = text.partition(".")
    if not dot:
        return name, None
    site(name)
    if not re.fullmatch("-?[0-9]{1,9}", layer):
        raise LayerError(f"cannot read a layer from {shown(text)}: write site.layer, as in '{name}.3'")
    return name, int(layer)
