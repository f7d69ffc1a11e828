"""`Core`: a loaded model that reads prompts; what sweeps, gradients and the doctor need of it. Users see it as `assay.LM`.

    >>> prompt = lm.prompt("The capital of the state containing Dallas is")
    >>> len(prompt), lm.decode(prompt.tokens[-1:])
    (11, ' is')
    >>> run = lm.run(prompt, keep=["resid_post"])
    >>> lm.unembed(run["resid_post", 7]).shape
    (1, 11, 4608)

Activations are float32 by default, whatever the weights are: no overflow, no ties between logits, and a resumed sweep is
the full forward bit for bit. `activations="native"` runs in the weights' own dtype, for speed.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Literal

import mlx.core as mx
import numpy as np

from assay import before_mlx, blas
from assay.errors import AssayError, EditError, NoChatTemplate, NotExact, PositionError, PromptError
from assay.forward import by_numpy, exactness, lanes
from assay.forward.edits import Edit
from assay.forward.families import adapt
from assay.forward.families.base import Family
from assay.forward.layers import forward, unembed
from assay.forward.placed import Placed, place, require_finite
from assay.forward.positions import Position, Prompt, is_batch, resolve
from assay.forward.run import Run
from assay.forward.sites import Key, canonical, expand, is_whole, listed, site
from assay.forward.taps import NO_TAP, Tap, Taps

PromptLike = str | Prompt | Sequence[int] | mx.array
"""One prompt: a text, tokens of it, or token ids."""
Prompts = PromptLike | Sequence[str] | Sequence[Prompt] | Sequence[Sequence[int]]
"""One prompt or several."""
Edits = Edit | Iterable[Edit]
Keep = str | Iterable[str | Key]
"""Sites: "resid_post" (all layers), "resid_post.3", or several of these and of keys, ("resid_post", 3)."""


class Core:
    """A model, its tokenizer and the adapter of its family. Nothing of the model is changed; several may share one."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str = "model",
        activations: Literal["float32", "native"] = "float32",
        provenance: dict[str, Any] | None = None,
    ):
        if activations not in ("float32", "native"):
            raise AssayError(f"activations is 'float32' or 'native', got {activations!r}")
        lanes.count()  # a bad ASSAY_LANES is an error here, not in the middle of an experiment
        for module in model.modules():  # rotary frequencies are no parameters; whatever is lazy belongs to this thread
            mx.eval([value for value in module.values() if isinstance(value, mx.array)])
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.family: Family = adapt(model)
        self.activations = activations
        self.dtype = mx.float32 if activations == "float32" else None
        self._provenance = provenance or {}

    def __repr__(self) -> str:
        f = self.family
        return (
            f"LM({self.name}: {self.model.model_type}, {f.n_layers} layers, width {f.width}, "
            f"{f.n_heads} heads on {f.n_kv_heads}, vocabulary {f.vocab})"
        )

    @property
    def n_layers(self) -> int:
        return self.family.n_layers

    @property
    def n_heads(self) -> int:
        return self.family.n_heads

    @property
    def width(self) -> int:
        return self.family.width

    @cached_property
    def rounding(self) -> float:
        """How far two ways to the same logits may be apart on this machine, relative to the largest; 0: not by a bit."""
        return exactness.rounding(self.family, self.dtype)

    def provenance(self) -> dict[str, Any]:
        """What produced numbers measured here: revision, bits, activations, BLAS. Recorded beside every snapshot."""
        on_cpu = mx.default_device() == mx.cpu
        library = {"blas": str(blas.in_use())} if on_cpu and blas.in_use() else {}
        rounded = {"precision": "tf32"} if before_mlx.precision() == "tf32" else {}
        return {**self._provenance, "activations": self.activations, **library, **rounded}

    # ------------------------------------------------------------------ prompts

    def prompt(self, text: PromptLike) -> Prompt:
        """Tokens of a text, with the family's BOS (once) and the place of each token in the text.

        Ids are taken as they are. Raises PromptError when there is nothing to run, or an id that the model does not have.
        """
        if isinstance(text, str):
            if not text:
                raise PromptError("the prompt is empty: give some text")
            bos = self.tokenizer.bos_token
            text = self._encode(text, special=not (bos and text.startswith(bos)))
        if isinstance(text, Prompt):
            return Prompt(tuple(map(self._id, text.tokens)), text.text, text.spans)
        if is_whole(text):
            raise PromptError(f"a prompt is a text or a list of token ids, got the number {text}")
        return Prompt(tuple(map(self._id, listed(text))))

    def _id(self, token: Any) -> int:
        """A token id, checked: mlx reads beyond the end of the embedding without complaint."""
        if not is_whole(token):
            raise PromptError(f"a prompt is a text or a list of token ids, got {token!r}")
        if not 0 <= token < self.family.vocab:
            raise PromptError(f"token id {token} is outside the vocabulary of {self.family.vocab}")
        return int(token)

    def chat(self, user: str, system: str | None = None, answer: str = "") -> Prompt:
        """One user turn in the model's own chat template, ready for the assistant (who may have begun to `answer`)."""
        if not self.tokenizer.chat_template:
            raise NoChatTemplate(f"{self.name} is a base model, it has no chat template: give the text itself")
        turns = [{"role": "system", "content": system}] if system is not None else []
        turns.append({"role": "user", "content": user})
        text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return self._encode(text + answer, special=False)

    def _encode(self, text: str, *, special: bool) -> Prompt:
        encoded = self._hf(text, add_special_tokens=special, return_offsets_mapping=True)
        return Prompt(tuple(encoded["input_ids"]), text, tuple(map(tuple, encoded["offset_mapping"])))

    @property
    def _hf(self) -> Any:
        """The Hugging Face tokenizer inside mlx-lm's wrapper."""
        return getattr(self.tokenizer, "_tokenizer", self.tokenizer)

    def token(self, text: str | int) -> int:
        """The first token of a text as it follows others (" Austin"); an id is checked and given back."""
        if not isinstance(text, str):
            return self._id(text)
        ids = self._hf.encode(text, add_special_tokens=False)
        if not ids:
            raise PromptError(f"{text!r} has no tokens")
        return ids[0]

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of token ids."""
        return self._hf.decode(list(tokens))

    # ------------------------------------------------------------------ running

    def run(
        self,
        prompts: Prompts,
        *,
        keep: Keep = (),
        edits: Edits = (),
    ) -> Run:
        """One forward pass over one or more prompts -> logits at the last token of each, and what `keep` names.

        Raises UnknownSite, LayerError, PositionError, EditError, PromptError before anything is computed.
        """
        batch = self.batch(prompts)
        keys = expand(keep, self.n_layers)
        placed = self.place(edits, batch, generates=False)
        tokens = pad([p.tokens for p in batch])
        tap: Tap = Taps(placed, keys) if keys or any(placed) else NO_TAP
        x = forward(self.family, tokens, None, tap, self.dtype)
        last = mx.array([len(p) - 1 for p in batch])
        if tap.wants("final_norm", None) or tap.wants("logits", None):
            logits = unembed(self.family, x, tap)[mx.arange(len(batch)), last]
        else:
            logits = unembed(self.family, x[mx.arange(len(batch)), last][:, None], NO_TAP)[:, 0]
        logits = logits.astype(mx.float32)
        kept = {key: mx.contiguous(tap.kept.pop(key)) for key in list(tap.kept)} if isinstance(tap, Taps) else {}
        mx.eval(logits, kept)
        self.check_finite(logits)
        return Run(tuple(batch), logits, kept, edited=any(placed))

    @property
    def end_tokens(self) -> frozenset[int]:
        """Ids that end a generation."""
        return frozenset(self.tokenizer.eos_token_ids)

    def unembed(self, states: mx.array) -> mx.array:
        """States of the residual stream [.., E], as they leave a layer -> logits [.., V], float32: the logit lens.

        Raises EditError for states of another width.
        """
        if states.ndim == 0 or states.shape[-1] != self.width:
            raise EditError(f"states of {self.name} have width {self.width}, these have the shape {states.shape}")
        dtype = self.dtype or self.family.embed(mx.array([[0]])).dtype
        rows = states.astype(dtype).reshape(1, -1, self.width)
        return unembed(self.family, rows, NO_TAP).astype(mx.float32).reshape(*states.shape[:-1], -1)

    def states(
        self,
        prompts: Prompts,
        name: str | Key,
        position: Position = -1,
        *,
        edits: Edits = (),
        batch: int = 16,
    ) -> mx.array:
        """What each prompt has at one position of a site: [N, features] in one layer, [N, layers, features] in all.

        name: "resid_post.5" or ("resid_post", 5) in one layer, "resid_post" in all; "final_norm" has none.
        position: as in edits, resolved in each prompt by itself; it must be one token. batch: prompts a forward.
        Raises what `run` raises.
        """
        keys, found = expand([name], self.n_layers), []
        together = self.batch(prompts)
        where = [resolve(position, prompt).prompt for prompt in together]
        if wrong := [len(at) for at in where if len(at) != 1]:
            raise PositionError(
                f"states are read at one position of each prompt; {position!r} means {wrong[0]} in one of them"
            )
        for start in range(0, len(together), batch):
            rows, at = together[start : start + batch], mx.array([at for (at,) in where[start : start + batch]])
            run = self.run(rows, keep=keys, edits=edits)
            found.append(mx.stack([canonical(key[0], run.kept[key])[mx.arange(len(rows)), at] for key in keys], axis=1))
            mx.eval(found[-1])
        in_one_layer = isinstance(name, tuple) or "." in name or not site(name).per_layer
        return mx.concatenate(found)[:, 0] if in_one_layer else mx.concatenate(found)

    # ------------------------------------------------------------------ inside

    def batch(self, prompts: Prompts) -> list[Prompt]:
        """One prompt or a list of them, tokenised."""
        given: Any = prompts if is_batch(prompts) else [prompts]
        batch = [self.prompt(prompt) for prompt in given]
        if not batch:
            raise PromptError("no prompts were given")
        return batch

    def place(self, edits: Edits, batch: list[Prompt], *, generates: bool) -> list[list[Placed]]:
        """The edits, checked and resolved for each prompt."""
        listed = list(edits) if isinstance(edits, Iterable) else [edits]
        require_finite(listed)
        return [place(listed, prompt, self.family, generates=generates) for prompt in batch]

    def check_finite(self, logits: mx.array) -> None:
        """Raise NotExact for logits with NaN or infinity."""
        if not by_numpy.all_finite(logits):
            raise NotExact(
                f"{self.name} produced logits that are not finite"
                + ("; run with activations='float32'" if self.dtype is None else ": an edit or the weights overflow")
            )


def pad(rows: Sequence[Sequence[int]]) -> mx.array:
    """Rows of token ids, padded on the right with 0, as [B, L]."""
    out = np.zeros((len(rows), max(map(len, rows))), np.int32)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return mx.array(out)
