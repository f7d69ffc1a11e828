"""Attention knockout: which tokens must attend to which, in which layers, for the right answer (Geva et al. 2023).

    >>> found = knock_out(lm, "The capital of the state containing Dallas is", {"last <- e1": (-1, "Dallas")}, half=1)
    >>> [answer_unchanged(text, found.vanilla, ["Austin"]) for text in found.texts["last <- e1"]]      # by centre of the window
    [True, True, False, False, False, True, True, True]

A *pair* is (queries, keys): the query positions cannot attend to the key positions. A pair is blocked in a *window* of layers
around a centre, for every centre in turn; one sweep runs all pairs and windows of a prompt. Queries at prompt positions are
blocked while the prompt is read; "all" blocks generated tokens too, as in the paper's code (Biran et al. 2024, section 4.4,
with 3 layers on both sides of the centre in models of 32 layers and more).
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
"""The paper's main pair: t2 cannot attend to t1."""
LAST_FROM_PHRASE = "last <- phrase"
"""Not in the paper: t2 cannot attend to any token from e1 to t1, since tokens before t1 may hold the bridge too."""
FILLER_PAIRS = {
    "prompt": ("last <- the", "last <- after_r1", "last <- after_r2"),
    "first_hop": ("last <- after_r1",),
    "second_hop": ("last <- after_r2",),
}
"""The controls, by prompt: t2 cannot attend to a word without information, which is never the first token (see `parts.py`)."""
WITHIN = ("last <- r1", "last <- r2", "e1 <- r1", "e1 <- r2", "r1 <- r2")
KNOCKOUT_PAIRS = {
    "prompt": (LAST_FROM_E1, LAST_FROM_PHRASE, *WITHIN, *FILLER_PAIRS["prompt"]),
    "first_hop": (LAST_FROM_E1, "last <- r1", *FILLER_PAIRS["first_hop"]),
    "second_hop": ("last <- e2", "last <- r2", *FILLER_PAIRS["second_hop"]),
}
"""The pairs of parts (see `parts.py`) that are blocked in each prompt of a query."""
SIDE, OF_LAYERS = 3, 32  # the paper's window, in the paper's smallest model


@dataclass(frozen=True)
class KnockedOut:
    """`vanilla`, the continuation of a prompt without knockout, and `texts`, those under each pair, by centre of the window.

    log_probs: under each pair, by centre, of the token that the model predicts without a knockout (`clean_log_prob`).
    """

    vanilla: str
    clean_log_prob: float
    texts: Mapping[str, Sequence[str]]
    log_probs: Mapping[str, Sequence[float]]


def knockout_half_width(n_layers: int) -> int:
    """Layers on each side of the centre: 3 in a model of 32 layers, the same share of the depth in others."""
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
    """Block each pair in the window of `half` layers on both sides of each layer, in all heads or in `head` (one or several).

    Raises EditError for a pair whose queries all come before its keys.
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
    """For each centre, whether the knockout of a pair changed the answer (not `answer_unchanged`)."""
    aliases = tuple(aliases)
    return [not answer_unchanged(text, found.vanilla, aliases) for text in found.texts[pair]]


def answer_unchanged(text: str, vanilla: str, aliases: Iterable[str]) -> bool:
    """Whether a knockout left the text the same, or the right answer in it (HTL-4)."""
    aliases = tuple(aliases)
    return text == vanilla or (answers(text, aliases) and answers(vanilla, aliases))
