"""`Core`: a loaded model that reads prompts; sweeps, gradients and the doctor use it. Users see it as `assay.LM`.

    >>> prompt = lm.prompt("The capital of the state containing Dallas is")
    >>> len(prompt), lm.decode(prompt.tokens[-1:])
    (11, ' is')
    >>> run = lm.run(prompt, keep=["resid_post"])
    >>> lm.unembed(run["resid_post", 7]).shape
    (1, 11, 4608)

Activations are float32 by default, whatever the weights are: no overflow, no ties between logits, and a sweep gives the
numbers of full forward passes. `activations="native"` runs in the weights' own dtype, for speed.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Literal

import mlx.core as mx
import numpy as np

from assay import before_mlx, blas
from assay.errors import AssayError, EditError, NotExact, PositionError, PromptError, UnknownSite, shown
from assay.forward import by_numpy, exactness, lanes
from assay.forward.answers import Habits, check_text, habits, tokens_after, tokens_inside
from assay.forward.edits import Edit, on_mlx
from assay.forward.families import adapt
from assay.forward.families.base import Family
from assay.forward.layers import forward, unembed
from assay.forward.placed import Placed, place, require_finite
from assay.forward.positions import Position, Prompt, is_batch, resolve
from assay.forward.run import Run
from assay.forward.sites import Key, axes, canonical, expand, is_whole, listed, site
from assay.forward.taps import NO_TAP, Tap, Taps
from assay.models.chat import Conversation, System, rendered
from assay.models.config import Published

PromptLike = str | Prompt | Sequence[int] | mx.array
"""One prompt: a text, a tokenised text, or token ids."""
Prompts = PromptLike | Sequence[str] | Sequence[Prompt] | Sequence[Sequence[int]]
"""One prompt or several."""
Edits = Edit | Iterable[Edit]
Keep = str | Iterable[str | Key]
"""Sites: "resid_post" (all layers), "resid_post.3", or several of these and of keys, ("resid_post", 3)."""


class Core:
    """A model, its tokenizer and its family. The model is never changed; several `Core` may share one."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str = "model",
        activations: Literal["float32", "native"] = "float32",
        provenance: dict[str, Any] | None = None,
        published: Published | None = None,
    ):
        if not isinstance(activations, str) or activations not in ("float32", "native"):
            raise AssayError(f"activations is 'float32' or 'native', got {shown(activations)}")
        lanes.count()  # raises for a bad ASSAY_LANES now, not in the middle of an experiment
        for module in model.modules():  # not only parameters: lazy arrays belong to the thread that made them
            mx.eval([value for value in module.values() if isinstance(value, mx.array)])
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.family: Family = adapt(model, published)
        self.activations, self.published = activations, published
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
        """Limit for the difference of two computations of the same logits, relative to the largest logit; 0: bit for bit."""
        return exactness.rounding(self.family, self.dtype)

    def provenance(self) -> dict[str, Any]:
        """Revision and bits of the model, activations, BLAS: recorded in every snapshot."""
        on_cpu = mx.default_device() == mx.cpu
        library = {"blas": str(blas.in_use())} if on_cpu and blas.in_use() else {}
        rounded = {"precision": "tf32"} if before_mlx.precision() == "tf32" else {}
        return {**self._provenance, "activations": self.activations, **library, **rounded}

    # ------------------------------------------------------------------ prompts

    def prompt(self, text: PromptLike) -> Prompt:
        """Tokens of a text, with one BOS if the family has it, and the characters of each token in the text.

        An end token that the tokenizer appends is left out, and token ids get no BOS. Raises PromptError for an empty prompt and
        for an id outside the vocabulary.
        """
        if isinstance(text, str):
            if not text:
                raise PromptError("the prompt is empty: give some text")
            bos = self.tokenizer.bos_token
            text = self._encode(text, special=not (bos and text.startswith(bos)))
        if isinstance(text, Prompt):
            return Prompt(tuple(map(self._id, text.tokens)), text.text, text.spans)
        if is_whole(text):
            raise PromptError(f"a prompt is a text or a list of token ids, got the number {shown(text)}")
        return Prompt(tuple(map(self._id, listed(text))))

    def _id(self, token: Any) -> int:
        """A token id, checked: mlx would read beyond the end of the embedding without an error."""
        if not is_whole(token):
            raise PromptError(f"a prompt is a text or a list of token ids, got {shown(token)}")
        if not 0 <= token < self.family.vocab:
            raise PromptError(f"token id {shown(token)} is outside the vocabulary of {self.family.vocab}")
        return int(token)

    def chat(self, user: Conversation, system: System = None, answer: str = "") -> Prompt:
        """A user's turn, or [user, assistant, user, ...], in the chat template, then the assistant's turn up to `answer`.

        system: the system prompt; None, whatever the template writes by itself (Qwen2.5's "You are Qwen, ..."); False, none.
        Raises NoChatTemplate for a base model, and PromptError for a conversation that the template refuses.
        """
        if not isinstance(answer, str):
            raise PromptError(f"the beginning of an answer is a text, got {shown(answer)}")
        return self._encode(rendered(self.tokenizer, user, system, name=self.name) + answer, special=False)

    def _encode(self, text: str, *, special: bool) -> Prompt:
        check_text(text)
        encoded = self._hf(text, add_special_tokens=special, return_offsets_mapping=True)
        end = len(encoded["input_ids"]) - (self._habits.appended if special else 0)
        return Prompt(tuple(encoded["input_ids"][:end]), text, tuple(map(tuple, encoded["offset_mapping"][:end])))

    @property
    def _hf(self) -> Any:
        """The Hugging Face tokenizer inside mlx-lm's wrapper."""
        return getattr(self.tokenizer, "_tokenizer", self.tokenizer)

    @cached_property
    def _habits(self) -> Habits:
        return habits(self._hf)

    def token(self, text: str | int, after: PromptLike | None = None) -> int:
        """The id of an answer's first token (" Austin" with its space) where it follows a prompt; an id is checked and returned.

        after: the prompt; None: any text. Raises PromptError for an answer without tokens, and for one that changes the last
        tokens of the prompt: a prompt should end without a space, and the answer begin with it.
        """
        if not isinstance(text, str):
            return self._id(text)
        if after is None:
            ids = tokens_inside(self._hf, text, self._habits.prefix)
        else:
            ids = tokens_after(self._hf, text, self.prompt(after))
        if not ids:
            raise PromptError(f"{text!r} has no tokens" + ("" if after is None else " after this prompt"))
        return ids[0]

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of token ids as it continues a text: with its first space, which some tokenizers drop."""
        lead, ids = self._habits.lead, [self._id(token) for token in listed(tokens)]
        return self._hf.decode([*lead, *ids])[len(self._hf.decode(list(lead))) :]

    def run(
        self,
        prompts: Prompts,
        *,
        keep: Keep = (),
        edits: Edits = (),
    ) -> Run:
        """One forward pass over one or more prompts -> logits at the last token of each, and the sites in `keep`.

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
        if missing := [key for key in keys if key not in kept]:
            raise UnknownSite(
                f"the forward of {self.family.model.model_type} passes no site {missing[0][0]!r} to a tap"
            )
        mx.eval(logits, kept)
        self.check_finite(logits)
        return Run(tuple(batch), logits, kept, edited=any(placed))

    @property
    def end_tokens(self) -> frozenset[int]:
        """Token ids that end a generation."""
        return frozenset(self.tokenizer.eos_token_ids)

    def unembed(self, states: Any) -> mx.array:
        """States of the residual stream [.., E] -> logits [.., V], float32, by final norm and unembedding: the logit lens.

        states: of MLX or NumPy; they are computed with in their own dtype. Raises EditError for states of another width.
        """
        given = on_mlx(states)
        if given is None or not mx.issubdtype(given.dtype, mx.floating):
            raise EditError(f"states are an array of floats [.., {self.width}], got {shown(states)}")
        if given.ndim == 0 or given.shape[-1] != self.width or not given.size:
            raise EditError(f"states of {self.name} have width {self.width}, these have the shape {given.shape}")
        rows = given.reshape(1, -1, self.width)
        return unembed(self.family, rows, NO_TAP).astype(mx.float32).reshape(*given.shape[:-1], -1)

    def states(
        self,
        prompts: Prompts,
        name: str | Key,
        position: Position = -1,
        *,
        edits: Edits = (),
        batch: int = 16,
    ) -> mx.array:
        """A site at one position of each prompt: [N, features] for one layer, [N, layers, features] for all layers.

        name: "resid_post.5" or ("resid_post", 5) for one layer, "resid_post" for all; "final_norm" is outside the layers.
        position: as in edits, resolved in each prompt separately; it must be one token. batch: prompts per forward pass.
        Raises what `run` raises, and UnknownSite for a site over keys, which are as many as its prompt has.
        """
        keys, found = expand([name], self.n_layers), []
        if "S" in axes(keys[0][0]).split():
            raise UnknownSite(
                f"{keys[0][0]!r} has an axis of keys, as long as its prompt: keep it in a run of one prompt"
            )
        if not is_whole(batch) or batch < 1:
            raise PromptError(f"batch must be a whole number, at least 1, got {shown(batch)}")
        edits = listed(edits)
        together = self.batch(prompts)
        where = [resolve(position, prompt).prompt for prompt in together]
        if wrong := [len(at) for at in where if len(at) != 1]:
            raise PositionError(
                f"states are read at one position of each prompt; {shown(position)} means {wrong[0]} in one of them"
            )
        for start in range(0, len(together), batch):
            rows, at = together[start : start + batch], mx.array([at for (at,) in where[start : start + batch]])
            run = self.run(rows, keep=keys, edits=edits)
            found.append(mx.stack([canonical(key[0], run.kept[key])[mx.arange(len(rows)), at] for key in keys], axis=1))
            mx.eval(found[-1])
        one = name[1] is not None if isinstance(name, tuple) else "." in name
        return mx.concatenate(found)[:, 0] if one or not site(keys[0][0]).per_layer else mx.concatenate(found)

    # ------------------------------------------------------------------ inside

    def batch(self, prompts: Prompts) -> list[Prompt]:
        """One prompt or a list of them, tokenised."""
        given: Any = prompts if is_batch(prompts) else [prompts]
        batch = [self.prompt(prompt) for prompt in given]
        if not batch:
            raise PromptError("no prompts were given")
        self.check_length(max(map(len, batch)))
        return batch

    def check_length(self, tokens: int) -> None:
        """Raise PromptError for a text of more tokens than are computed as the published model does."""
        if self.family.limit is not None and tokens > self.family.limit:
            raise PromptError(
                f"a text of {tokens} tokens is too long for {self.name}: beyond {self.family.limit} the published model"
                " rotates queries and keys by other frequencies, which assay does not compute"
            )

    def place(self, edits: Edits, batch: list[Prompt], *, generates: bool) -> list[list[Placed]]:
        """The edits, checked and resolved for each prompt."""
        every = listed(edits)
        require_finite(every)
        return [place(every, prompt, self.family, generates=generates) for prompt in batch]

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
