"""Attention knockout: which tokens must look at which, in which layers, for the answer to come out (Geva et al. 2023).

    >>> found = knock_out(lm, "The capital of the state containing Dallas is", {"last <- e1": (-1, "Dallas")}, half=1)
    >>> [answer_unchanged(text, found.vanilla, ["Austin"]) for text in found.texts["last <- e1"]]      # by centre of the window
    [True, True, False, False, False, True, True, True]

A *pair* is (queries, keys): positions that may not look, and what they may not look at. It is blocked in a *window* of
layers around a centre, for every centre in turn: one sweep for all pairs and windows of a prompt. Queries that are positions
of the prompt are blocked while the prompt is read; those of "all" in every step after it too, as in the paper's code (Biran
et al. 2024, section 4.4, where the window has 3 layers on both sides, in models of 32 layers and more).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.data.two_hop import TwoHop, answers
from assay.forward.edits import knockout
from assay.forward.lm import LM, PromptLike
from assay.forward.positions import Position
from assay.forward.sweep import SWEEPABLE
from assay.methods.hopping_too_late.parts import PROMPT_PARTS, e1_phrase

Pair = tuple[Position, Position]
ARROW = " <- "
LAST_FROM_E1 = "last <- e1"
"""The paper's main pair: t2 cannot look at t1."""
LAST_FROM_PHRASE = "last <- phrase"
"""Not in the paper: t2 cannot look at any token from e1 to t1, since tokens before t1 may hold the bridge too."""
LAST_FROM_ARTICLE = "last <- the"
"""The control: an article carries nothing that the answer needs."""
WITHIN = ("last <- r1", "last <- r2", "e1 <- r1", "e1 <- r2", "r1 <- r2")
KNOCKOUT_PAIRS = {
    "prompt": (LAST_FROM_E1, LAST_FROM_PHRASE, *WITHIN, LAST_FROM_ARTICLE),
    "first_hop": (LAST_FROM_E1, "last <- r1", LAST_FROM_ARTICLE),
    "second_hop": ("last <- e2", "last <- r2", LAST_FROM_ARTICLE),
}
"""For each prompt of a query, the pairs of its parts (see `parts.py`) that are tried."""
SIDE, OF_LAYERS = 3, 32  # the paper's window, in the paper's smallest model


@dataclass(frozen=True)
class KnockedOut:
    """What became of one prompt: `vanilla`, its own continuation, and those under each pair, by centre of the window.

    log_probs: the log-probability of the token that the model predicts without a knockout (`clean_log_prob`) under each.
    """

    vanilla: str
    clean_log_prob: float
    texts: Mapping[str, Sequence[str]]
    log_probs: Mapping[str, Sequence[float]]


def knockout_half_width(n_layers: int) -> int:
    """Layers on each side of the centre: 3 of 32, and the same share of the depth in other models."""
    return round(SIDE * n_layers / OF_LAYERS)


def knockout_window(centre: int, half: int, n_layers: int) -> list[int]:
    """The layers around a centre, cut off at the ends of the model."""
    return list(range(max(0, centre - half), min(n_layers, centre + half + 1)))


def knock_out(
    lm: LM,
    prompt: PromptLike,
    pairs: Mapping[str, Pair],
    half: int,
    *,
    head: Any = None,
    max_tokens: int = 10,
) -> KnockedOut:
    """Block each pair in the window around each layer; `head` (a number or several) leaves the other heads alone.

    Raises EditError for a pair that cannot act: queries that come before all of their keys.
    """
    clean = lm.run(prompt, keep=SWEEPABLE)
    predicted = int(np.array(clean.logits[0]).argmax())
    centres = range(lm.n_layers)
    variants = [[]] + [
        [knockout(queries=queries, keys=keys, layer=knockout_window(centre, half, lm.n_layers), head=head)]
        for queries, keys in pairs.values()
        for centre in centres
    ]
    sweep = lm.sweep(clean, variants, targets=[predicted], max_tokens=max_tokens, progress=False)
    texts = [generation.text for generation in sweep.continuations]
    log_probs = sweep.target_log_probs[:, 0].tolist()
    ends = {name: 1 + i * lm.n_layers for i, name in enumerate(pairs)}
    return KnockedOut(
        vanilla=texts[0],
        clean_log_prob=log_probs[0],
        texts={name: texts[start : start + lm.n_layers] for name, start in ends.items()},
        log_probs={name: log_probs[start : start + lm.n_layers] for name, start in ends.items()},
    )


def knock_out_query(
    lm: LM, query: TwoHop, prompt: str = "prompt", pairs: Sequence[str] | None = None, half: int | None = None
) -> KnockedOut:
    """`knock_out` on one of the query's prompts: "prompt" (the composition), "first_hop" or "second_hop".

    pairs: of the parts of this prompt; by default all of `KNOCKOUT_PAIRS`.
    """
    at: dict[str, Position] = dict(PROMPT_PARTS[prompt](query))
    if prompt == "prompt":
        at["phrase"] = e1_phrase(query)
    ends = {pair: pair.split(ARROW) for pair in pairs or KNOCKOUT_PAIRS[prompt]}
    blocked = {pair: (at[queries], at[keys]) for pair, (queries, keys) in ends.items()}
    return knock_out(lm, getattr(query, prompt), blocked, knockout_half_width(lm.n_layers) if half is None else half)


def knockout_matters(found: KnockedOut, pair: str, aliases: Iterable[str]) -> list[bool]:
    """For each centre, whether the knockout of a pair changed anything that matters (`answer_unchanged`)."""
    aliases = tuple(aliases)
    return [not answer_unchanged(text, found.vanilla, aliases) for text in found.texts[pair]]


def answer_unchanged(text: str, vanilla: str, aliases: Iterable[str]) -> bool:
    """Whether a knockout changed nothing that matters: the same text, or the right answer in both (HTL-4)."""
    aliases = tuple(aliases)
    return text == vanilla or (answers(text, aliases) and answers(vanilla, aliases))
