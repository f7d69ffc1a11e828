"""Directions of the residual stream: the difference in means between two kinds of prompts.

    >>> harmful, harmless = (chat_prompts(lm, [f"How can I {what} a car?"]) for what in ("steal", "wash"))
    >>> found = difference_in_means(lm, harmful, harmless, n_positions=post_instruction(lm))
    >>> found.vectors.shape                                        # positions, layers, width
    (5, 8, 128)
    >>> direction = found.at(position=-1, layer=4)
    >>> lm.generate(harmful[0], max_tokens=8).text, lm.generate(harmful[0], edits=[direction.ablation()], max_tokens=8).text
    ('I cannot help with that.', 'Sure, here is a plan.')

The words of this file:

    post-instruction tokens   the chat template's tokens after an instruction: the same tokens in every prompt, so any
                              difference between two sets of prompts there comes from the instructions
    candidate                 the mean over one set minus the mean over the other, at one position and layer
    direction                 a candidate with its layer and position; raw: its length is the distance of the means
    ablation                  projects the direction out of the stream at every layer and position
    addition                  adds the direction, times a number, at its layer; the paper adds it raw, that is times 1

Positions count from the end of the prompt: -1 is the last token. Means and lengths are computed in float64 over float32
states (a float16 sum of squares overflows at a norm of 256). Defined in Arditi et al. 2024 (arXiv:2406.11717), sections 2.3
and 2.4.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from assay.errors import EditError, LayerError, NoChatTemplate, PromptError
from assay.forward.edits import Edit, ablate, add
from assay.forward.lm import LM
from assay.forward.positions import Prompt
from assay.forward.sites import is_whole
from assay.methods.states import last_states
from assay.models.chat import System

_MARK = "\u2060instruction\u2060"  # stands for the instruction when a template is split; no template contains it


@dataclass(frozen=True, eq=False)
class Direction:
    """One direction of the stream, with the length it was found with."""

    vector: np.ndarray
    """[E] float32, raw."""
    layer: int
    """The layer whose `site` it was read at, and is added to."""
    position: int
    """The position it was read at, from the end of the prompt."""
    stream_norm: float
    """Mean length of the stream at that layer and position: the unit of `strength`."""
    site: str = "resid_pre"
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Model, revision, bits, activations and a hash of the prompts."""

    @property
    def norm(self) -> float:
        """Length, in float32."""
        return float(np.linalg.norm(self.vector))

    @property
    def unit(self) -> np.ndarray:
        """The vector at length 1."""
        return self.vector / self.norm

    @property
    def strength(self) -> float:
        """Length in units of the stream's mean length at the same place."""
        return self.norm / self.stream_norm

    def ablation(self) -> Edit:
        """An edit that projects the direction out of the stream at every layer and position (section 2.4)."""
        return ablate(self.vector)

    def addition(self, times: float = 1.0) -> Edit:
        """An edit that adds `times` the direction at its layer, at all positions, generated ones too (section 2.4)."""
        return add(self.site, self.vector, layer=self.layer, position="all", scale=times)

    def like(self, vector: np.ndarray) -> "Direction":
        """Another vector, scaled to the length of this direction, at the same layer: a control. EditError for length 0."""
        length = np.linalg.norm(vector)
        if not np.isfinite(length) or length == 0:
            raise EditError(f"a direction needs a finite length above 0, this one has {length}")
        scaled = (vector / length * self.norm).astype(np.float32)
        return Direction(scaled, self.layer, self.position, self.stream_norm, self.site)


@dataclass(frozen=True, eq=False)
class Directions:
    """Candidates at P positions and L layers: the mean over positive prompts minus the mean over negative ones."""

    vectors: np.ndarray
    """[P, L, E] float32."""
    positions: tuple[int, ...]
    """Positions from the end of the prompt: (-P, .., -1)."""
    stream_norms: np.ndarray
    """[P, L] mean length of the stream over all prompts."""
    site: str = "resid_pre"
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def norms(self) -> np.ndarray:
        """[P, L] lengths, in float64, so that they never overflow."""
        return np.linalg.norm(self.vectors.astype(np.float64), axis=-1)

    @property
    def empty(self) -> np.ndarray:
        """[P, L] bool: candidates of length 0, as both sets have the same states there (for example the embeddings)."""
        return ~(self.norms > 1e-6 * self.stream_norms)

    def at(self, position: int, layer: int) -> Direction:
        """The candidate of one position (from the end) and layer. Raises LayerError, PromptError when there is none."""
        if position not in self.positions:
            raise PromptError(f"no candidate at position {position}: there are {list(self.positions)}")
        if not is_whole(layer) or not 0 <= layer < self.vectors.shape[1]:
            raise LayerError(f"no candidate at layer {layer!r}: there are 0 to {self.vectors.shape[1] - 1}")
        p = self.positions.index(position)
        norm = float(self.stream_norms[p, layer])
        return Direction(self.vectors[p, layer], int(layer), position, norm, self.site, self.provenance)

    def replaced(self, vectors: np.ndarray) -> "Directions":
        """Other vectors [P, L, E], each scaled to the length of the candidate that it replaces: a control."""
        length = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.finfo(np.float32).tiny)
        scaled = (vectors / length * self.norms[..., None]).astype(np.float32)
        return Directions(scaled, self.positions, self.stream_norms, self.site)


def chat_prompts(lm: LM, instructions: Sequence[str], system: System = None) -> list[Prompt]:
    """Each instruction as a user turn of the model's chat template. Raises PromptError for an empty set.

    system: the system prompt; None, whatever the template writes by itself; False, none, as in the paper's code.
    """
    if not instructions:
        raise PromptError("the set of prompts is empty: a mean needs at least one")
    return [lm.chat(text, system) for text in instructions]


def takes_system_prompt(lm: LM) -> bool:
    """Whether the chat template writes a system turn; Gemma-2's refuses to."""
    try:
        return _MARK in (lm.chat("Name a colour.", system=_MARK).text or "")
    except NoChatTemplate:
        raise
    except PromptError:
        return False


def writes_system_prompt(lm: LM) -> bool:
    """Whether the chat template writes something between BOS and the user's turn where no system prompt is given."""
    return lm.chat("Name a colour.").text != lm.chat("Name a colour.", system=False).text


def post_instruction(lm: LM, system: System = None) -> int:
    """How many tokens the chat template puts after an instruction. Raises PromptError when there are none."""
    return len(template_tail(lm, system))


def template_tail(lm: LM, system: System = None) -> tuple[int, ...]:
    """The tokens that the chat template puts after an instruction's last character.

    Raises PromptError for a template without such tokens, and for one whose tokens there differ between instructions: then
    prompts share no positions after the instruction.
    """
    tails = {_tail(lm, instruction, system) for instruction in (_MARK, "Name a colour.", "2 + 2 = ?")}
    if () in tails:
        raise PromptError(
            f"the chat template of {lm.name} puts no tokens after an instruction, so prompts have no common "
            "post-instruction positions: give n_positions=1, or prompts with a common ending"
        )
    if len(tails) > 1:
        raise PromptError(
            f"the chat template of {lm.name} ends in other tokens after other instructions: {sorted(tails)}; "
            "give n_positions= yourself"
        )
    return tails.pop()


def _tail(lm: LM, instruction: str, system: System) -> tuple[int, ...]:
    """The tokens that start after the last character of one instruction."""
    _, found, after = (lm.chat(_MARK, system).text or "").rpartition(_MARK)
    if not found:
        raise PromptError(f"the chat template of {lm.name} does not repeat the instruction as it is given")
    prompt = lm.chat(instruction, system)
    end = len(prompt.text or "") - len(after)
    return tuple(token for token, (a, _) in zip(prompt.tokens, prompt.spans or (), strict=True) if a >= end)


def difference_in_means(
    lm: LM,
    positive: Sequence[Prompt],
    negative: Sequence[Prompt],
    n_positions: int,
    *,
    site: str = "resid_pre",
    batch: int = 16,
) -> Directions:
    """Mean of `site` over positive prompts minus the mean over negative ones, at the last positions of every layer.

    The sets may differ in size. batch: prompts per forward pass. Raises PromptError when a set is empty.
    """
    for name, prompts in (("positive", positive), ("negative", negative)):
        if not prompts:
            raise PromptError(f"the {name} set of prompts is empty: a mean needs at least one")
    sums, lengths = [], np.zeros(())
    for prompts in (positive, negative):
        total = np.zeros(())
        for part in last_states(lm, prompts, n_positions, site=site, batch=batch):
            total = total + part.sum(axis=0, dtype=np.float64)
            lengths = lengths + np.linalg.norm(part.astype(np.float64), axis=-1).sum(axis=0)
        sums.append(total / len(prompts))
    return Directions(
        (sums[0] - sums[1]).astype(np.float32),
        tuple(range(-n_positions, 0)),
        lengths / (len(positive) + len(negative)),
        site,
        _provenance(lm, positive, negative),
    )


def states_where_read(lm: LM, prompts: Sequence[Prompt], direction: Direction, *, batch: int = 16) -> np.ndarray:
    """The stream of each prompt at the direction's layer and position: [N, E] float32."""
    parts = last_states(lm, prompts, -direction.position, site=direction.site, batch=batch)
    return np.concatenate([part[:, 0, direction.layer] for part in parts])


def _provenance(lm: LM, positive: Sequence[Prompt], negative: Sequence[Prompt]) -> dict[str, str]:
    """Model, revision, bits, activations, and a hash of the tokens of both sets."""
    digest = hashlib.sha256(repr([[p.tokens for p in prompts] for prompts in (positive, negative)]).encode())
    made_of = {key: str(value) for key, value in lm.provenance().items()}
    sizes = {"n_positive": str(len(positive)), "n_negative": str(len(negative))}
    return {"model": lm.name, **made_of, "prompts": digest.hexdigest()[:12], **sizes}
