"""A run: the logits and kept activations of one forward pass over one or more prompts.

    >>> run = lm.run("The capital of the state containing Dallas is", keep=["resid_post", "pattern.3"])
    >>> run["resid_post", 5].shape            # (B, L, E), axes as in the glossary
    (1, 11, 128)
    >>> run.logits.shape                      # (B, V): at the last token of each prompt
    (1, 4608)

Prompts of different lengths are padded on the right, which changes nothing before the padding; `lengths` says where each
prompt ends, and `run.at_last(site, layer)` takes the last token of each. Values after a prompt's end are padding.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from assay.errors import LayerError, UnknownSite, shown, unknown
from assay.forward import by_numpy
from assay.forward.positions import Prompt
from assay.forward.sites import Key, canonical, is_whole, site


@dataclass(frozen=True, eq=False)
class Run:
    """Logits at the last token of each prompt, [B, V] float32, and the kept activations by key, all evaluated."""

    prompts: tuple[Prompt, ...]
    logits: mx.array
    kept: Mapping[Key, mx.array]
    edited: bool = False

    @property
    def lengths(self) -> list[int]:
        """Tokens in each prompt."""
        return [len(prompt) for prompt in self.prompts]

    def __getitem__(self, key: str | tuple[str, int]) -> mx.array:
        return look_up(self.kept, key)

    def __contains__(self, key: Any) -> bool:
        return (key if isinstance(key, tuple) else (key, None)) in self.kept

    def at_last(self, name: str, layer: int | None = None) -> mx.array:
        """A kept site at the last token of each prompt: [B, (H,) features]."""
        value = canonical(name, self[name, layer] if layer is not None else self[name])
        return value[mx.arange(len(self.prompts)), mx.array(self.lengths) - 1]

    def log_probs(self) -> mx.array:
        """Log-probabilities of the next token, [B, V], float32."""
        return self.logits - by_numpy.logsumexp(self.logits)


def look_up(kept: Mapping[Key, Any], key: str | tuple[str, int]) -> Any:
    """The value kept at a key. Raises UnknownSite for a site that does not exist or was not kept, LayerError for no layer."""
    full: Key = key if isinstance(key, tuple) and len(key) == 2 else (key, None)  # type: ignore[assignment]
    site(full[0])
    if not (full[1] is None or is_whole(full[1])):
        raise LayerError(f"a layer is a whole number, got {shown(full[1])}")
    if full not in kept:
        name = full[0] if full[1] is None else f"{full[0]}.{full[1]}"
        raise unknown(UnknownSite, "kept site", name, [k if i is None else f"{k}.{i}" for k, i in kept])
    return kept[full]
