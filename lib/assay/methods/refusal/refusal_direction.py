"""The refusal direction of a model, from requests to a chosen direction (Arditi et al. 2024, 2.3; Wang et al. 2025).

    found = refusal_direction(lm)                                  # English, this project's requests
    lm.generate(prompt, edits=[found.direction.ablation()])

    >>> prompts = request_prompts(lm, "harmful", "en", "valid")[:2]
    >>> refusal_scores(lm, prompts, [lm.token("I", after=prompts[0])]) > 0            # what decides which requests are kept
    array([ True,  True])

The steps: find the tokens that begin the model's refusals (`refusal_tokens`, on validation requests), keep the harmful requests
that it refuses and the harmless ones that it answers, take the difference in means over training requests at every
post-instruction position and layer, and select by effect on validation requests. Test requests are not used.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from assay.data.instructions import instructions, refuses
from assay.errors import PromptError
from assay.forward.lm import LM
from assay.forward.positions import Prompt
from assay.methods.directions import Direction, chat_prompts, difference_in_means, template_tail
from assay.methods.portions import Track, batches
from assay.methods.refusal.judging import IsRefusal, refusal_score, refusal_tokens
from assay.methods.refusal.selection import DirectionSelection, SelectionFilters, SuccessiveHalving, select_direction
from assay.models.chat import System


@dataclass(frozen=True, eq=False)
class RefusalDirection:
    """The refusal direction found with requests in one language, and the steps to it."""

    language: str
    tokens: tuple[int, ...]
    """First tokens of refusals, for the refusal score."""
    harmful: tuple[Prompt, ...]
    """Harmful training requests in the mean: those that the model refuses."""
    harmless: tuple[Prompt, ...]
    """Harmless training requests in the mean: those that the model answers."""
    selection: DirectionSelection

    @property
    def direction(self) -> Direction:
        """The selected direction."""
        return self.selection.direction


def request_prompts(
    lm: LM,
    kind: str,
    language: str = "en",
    split: str | None = "test",
    system: System = None,
    topics: Collection[str] | None = None,
) -> list[Prompt]:
    """The requests of one kind, language and split, each as a turn of the chat template.

    system: as in `lm.chat`. topics: of these alone; None: of all.
    """
    return chat_prompts(lm, [request.text for request in instructions(kind, language, split, topics)], system)


def is_refusal_in(language: str) -> IsRefusal:
    """A function that judges whether an answer is a refusal in this language, or in English, which models often use."""
    return lambda text: refuses(text, language) or refuses(text, "en")


def refusal_direction(
    lm: LM,
    language: str = "en",
    *,
    system: System = None,
    topics: Collection[str] | None = None,
    tokens: Sequence[int] | None = None,
    filters: SelectionFilters = SelectionFilters(),  # noqa: B008  (frozen)
    halving: SuccessiveHalving | None = None,
    track: Track = iter,
) -> RefusalDirection:
    """Find the refusal direction of a model with this project's requests in one language.

    system: the system prompt, as in `lm.chat`; the papers have none (False). topics: those of the requests that it is found and
    selected on (`assay.data.instructions.topic_halves`); None: all. tokens: first tokens of refusals; None: from
    `refusal_tokens`. Raises PromptError when the model refuses no harmful request or answers no harmless one, and SelectionError
    when no candidate passes the filters.
    """
    tail = template_tail(lm, system)
    prompts = {
        (kind, split): request_prompts(lm, kind, language, split, system, topics)
        for kind in ("harmful", "harmless")
        for split in ("train", "valid")
    }
    for prompt in [prompt for some in prompts.values() for prompt in some]:
        if prompt.tokens[-len(tail) :] != tail:
            raise PromptError(f"the chat template of {lm.name} does not end alike after {prompt.text!r}")
    if tokens is None:
        tokens = refusal_tokens(lm, prompts["harmful", "valid"], prompts["harmless", "valid"], is_refusal_in(language))
    kept = {
        (kind, split): refused_as_expected(lm, some, tokens, kind == "harmful")
        for (kind, split), some in prompts.items()
    }
    for (kind, split), some in kept.items():
        if not some:
            side = "above" if kind == "harmful" else "below"
            raise PromptError(
                f"the refusal score of {lm.name} is {side} 0 on 0 of {len(prompts[kind, split])} {kind} requests in "
                f"{language!r} ({split}): there is no refusal to find a direction of"
            )
    candidates = difference_in_means(lm, kept["harmful", "train"], kept["harmless", "train"], len(tail))
    selection = select_direction(
        lm, candidates, kept["harmful", "valid"], kept["harmless", "valid"], tokens,
        filters=filters, halving=halving, track=track,
    )  # fmt: skip
    training = tuple(kept["harmful", "train"]), tuple(kept["harmless", "train"])
    return RefusalDirection(language, tuple(tokens), *training, selection)


def refusal_scores(lm: LM, prompts: Sequence[Prompt], tokens: Sequence[int], *, batch: int = 16) -> np.ndarray:
    """Refusal scores of unedited prompts: [N] float64."""
    parts = [refusal_score(np.array(lm.run(list(part)).logits), tokens) for part in batches(prompts, batch)]
    return np.concatenate(parts)


def refused_as_expected(lm: LM, prompts: Sequence[Prompt], tokens: Sequence[int], refused: bool) -> list[Prompt]:
    """The prompts whose refusal score is above 0 (or below it, for prompts that should be answered)."""
    return [p for p, score in zip(prompts, refusal_scores(lm, prompts, tokens), strict=True) if (score > 0) == refused]
