"""`LM`: a loaded model, and everything that can be done with it.

    >>> lm = assay.load("llama_tiny")                                                     # doctest: +SKIP
    >>> run = lm.run("The capital of the state containing Dallas is", keep=["resid_post"]) # doctest: +SKIP
    >>> lm.generate("The capital of France is", max_tokens=3).text                        # doctest: +SKIP
    ' Paris.'

Activations are float32 by default, whatever the weights are: no overflow, no ties between logits, and a resumed sweep is
the full forward bit for bit. `activations="native"` runs in the weights' own dtype, for speed.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, Literal

import mlx.core as mx
import numpy as np

from assay import before_mlx, blas
from assay.errors import AssayError, EditError, NoChatTemplate, NotExact, PromptError
from assay.forward import backends, by_numpy, exactness, lanes
from assay.forward import generate as gen
from assay.forward.edits import Edit, Placed, place, require_finite
from assay.forward.families import Llama, adapt
from assay.forward.gradients import gradients
from assay.forward.layers import NO_TAP, Tap, unembed
from assay.forward.positions import Prompt, is_batch
from assay.forward.run import Run
from assay.forward.sites import Key, expand, is_whole, listed
from assay.forward.sweep import dry_run, sweep
from assay.forward.sweep.plan import Plan
from assay.forward.taps import Taps

PromptLike = str | Prompt | Sequence[int] | mx.array


class LM:
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
        self.family: Llama = adapt(model)
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
        prompts: PromptLike | list[str] | list[Prompt],
        *,
        keep: str | Iterable[str | tuple[str, int | None]] = (),
        edits: Iterable[Edit] = (),
    ) -> Run:
        """One forward pass over one or more prompts -> logits at the last token of each, and what `keep` names.

        Raises UnknownSite, LayerError, PositionError, EditError, PromptError before anything is computed.
        """
        batch = self.batch(prompts)
        keys = expand(keep, self.n_layers)
        placed = self.place(edits, batch, generates=False)
        tokens = pad([p.tokens for p in batch])
        tap: Tap = Taps(placed, keys) if keys or any(placed) else NO_TAP
        x = gen.forward(self.family, tokens, None, tap, self.dtype)
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

    def generate(
        self,
        prompts: Any,
        *,
        edits: Iterable[Edit] = (),
        max_tokens: int = 32,
        temperature: float = 0.0,
        top_p: float = 0.0,
        top_k: int = 0,
        seed: int | None = None,
        stop: Callable[[str], bool] | None = None,
    ) -> Any:
        """Continue one prompt, or each of a list of prompts as if it were alone; greedy unless `temperature` > 0.

        `stop(text)` ends a continuation early. The end-of-turn tokens of the tokenizer always do, and are left out.
        Sampled prompts of a list draw from one stream of random numbers: `seed` repeats the list, not a prompt of it.
        Raises what `run` raises, and NotExact when logits are not finite on the way.
        """
        batch = self.batch(prompts)
        if not is_whole(max_tokens) or max_tokens < 1:
            raise EditError(f"max_tokens must be a whole number, at least 1, got {max_tokens}")
        placed = self.place(edits, batch, generates=True)
        lengths = [len(p) for p in batch]
        gen.check_lengths(lengths, placed)
        choose = gen.sampler(temperature, top_p, top_k, seed)
        stopper = (lambda _, tokens: stop(self.decode(tokens))) if stop else None
        out, most = [], backends.limits().rows or len(batch)
        for rows in (slice(start, start + most) for start in range(0, len(batch), most)):
            logits, caches = gen.read(self.family, [p.tokens for p in batch[rows]], placed[rows], self.dtype)
            self.check_finite(logits)
            tokens = gen.decode(
                self.family, logits, caches, placed[rows], lengths[rows], max_tokens,
                choose=choose, ends=self.end_tokens, dtype=self.dtype, check=self.check_finite, stop=stopper,
            )  # fmt: skip
            out += [gen.Generation(tuple(t), self.decode(t)) for t in tokens]
        return out if is_batch(prompts) else out[0]

    def sweep(self, prompt: Any, variants: Sequence[Any], **options: Any) -> Any:
        """Run many variants (lists of edits) of one prompt for the price of a few forwards: `assay.forward.sweep`."""
        return sweep(self, prompt, variants, **options)

    def plan(self, prompt: Any, variants: Sequence[Any], **options: Any) -> Plan:
        """What `sweep` with the same arguments would do and cost, without doing it (a dry run)."""
        return dry_run(self, prompt, variants, **options)

    @property
    def end_tokens(self) -> frozenset[int]:
        """Ids that end a generation."""
        return frozenset(self.tokenizer.eos_token_ids)

    def gradients(
        self,
        prompts: PromptLike | list[str] | list[Prompt],
        *,
        sites: str | Iterable[str | tuple[str, int | None]],
        target: str | int | Callable[[mx.array], mx.array],
        edits: Iterable[Edit] = (),
    ) -> tuple[Run, dict[Key, mx.array]]:
        """(run, gradient by key) of `target`: a token's log-probability summed over prompts, or a function of logits [B, V]."""
        batch = self.batch(prompts)
        keys = expand(sites, self.n_layers)
        placed = self.place(edits, batch, generates=False)
        if callable(target):
            metric = target
        else:
            token = self.token(target)
            metric = lambda logits: (logits[:, token] - mx.logsumexp(logits, axis=-1)).sum()  # noqa: E731
        last = mx.array([len(p) - 1 for p in batch])
        tokens = pad([p.tokens for p in batch])
        logits, kept, grads = gradients(self.family, tokens, last, placed, keys, metric, self.dtype)
        self.check_finite(logits)
        return Run(tuple(batch), logits, kept, edited=any(placed)), grads

    def doctor(self) -> Any:
        """Check that the instrumented forward is the model's own, on this checkpoint. Raises NotExact if it is not."""
        from assay.forward.doctor import examine

        report = examine(self)
        if not report.ok:
            raise NotExact(f"{self.name} is not hooked exactly: {report.failures()}")
        return report

    # ------------------------------------------------------------------ inside

    def batch(self, prompts: Any) -> list[Prompt]:
        """One prompt or a list of them, tokenised."""
        batch = [self.prompt(p) for p in prompts] if is_batch(prompts) else [self.prompt(prompts)]
        if not batch:
            raise PromptError("no prompts were given")
        return batch

    def place(self, edits: Iterable[Edit], batch: list[Prompt], *, generates: bool) -> list[list[Placed]]:
        """The edits, checked and resolved for each prompt."""
        edits = list(edits) if isinstance(edits, Iterable) else [edits]
        require_finite(edits)
        return [place(edits, prompt, self.family, generates=generates) for prompt in batch]

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
