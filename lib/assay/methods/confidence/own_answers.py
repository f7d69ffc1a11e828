"""A model's own answers, right or wrong: what it said, how likely that was, and its states (Kadavath et al. 2022).

>>> asked = ["Who wrote Dracula?", "Where is Kyoto?"]
>>> own = answer_own(lm, asked, [lambda said: "Stoker" in said, lambda said: "Japan" in said])
>>> [(one.said, one.right) for one in own]
[('Bram Stoker', True), ('Japan', True)]
>>> read = read_own(lm, own)
>>> read.at("question").shape, bool((read.log_probs <= 0).all())                        # N, layers, width
((2, 8, 128), True)

An answer is greedy and is cut at its first sentence. A *lead*, "The answer is", is parted from it, so that the rest can be
proposed to the model; what is read is the sentence as it was said, lead and answer.

    question           a place: the last token of what the user asks. A probe there says whether the model will be right: P(IK)
    prompt             a place: the last token of the prompt, at the end of the chat template; the answer is not begun
    answer             a place: the last token of the answer. A probe there says whether it was right, as P(True) does
    token probability  of the answer's tokens, together, given the prompt and the lead: what a model seems to be sure of
    entropy            of the next token before the answer, behind the lead if there is one, in nats
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from assay.errors import PromptError, unknown
from assay.forward.lm import LM
from assay.forward.positions import resolve, text
from assay.methods.distributions import log_probs
from assay.methods.portions import Track, batches

PLACES = ("question", "prompt", "answer")
MAX_TOKENS = 16
_LEAD = re.compile(r"^\W*the answer is:?\s+", re.IGNORECASE)
_END = re.compile(r"(?<=[^\W\d_A-Z]{2})[.!?](?:\s|$)|[。\n]")
"""The end of a sentence, behind two small letters: not that of an initial or of a title, as in "J. K. Rowling" and "St. Paul"."""


@dataclass(frozen=True)
class OwnAnswer:
    """A question and the model's own answer."""

    asked: str
    said: str
    """The first sentence of the answer, without "The answer is" and its period: what is proposed."""
    right: bool
    lead: str = ""
    """What was said before it, such as "The answer is "."""


@dataclass(frozen=True, eq=False)
class OwnStates:
    """States and likelihoods of N own answers."""

    states: np.ndarray
    """[N, 3, L, E] float32: the stream at the places, in the order of `PLACES`."""
    log_probs: np.ndarray
    """[N] float64: log-probability of the answer's tokens given the prompt and the lead, in nats."""
    n_tokens: np.ndarray
    """[N]: how many tokens that are."""
    entropy: np.ndarray
    """[N] float64: of the distribution of the answer's first token, in nats."""

    def at(self, place: str) -> np.ndarray:
        """States at one place: [N, L, E]. Raises PromptError for an unknown one."""
        if place not in PLACES:
            raise unknown(PromptError, "place", place, PLACES)
        return self.states[:, PLACES.index(place)]


def first_sentence(said: str) -> str:
    """What an answer says: its first sentence, without "The answer is" and the period."""
    return _lead_and_answer(said)[1]


def answer_own(
    lm: LM, asked: Sequence[str], judges: Sequence[Callable[[str], bool]], *, max_tokens: int = MAX_TOKENS
) -> list[OwnAnswer]:
    """The model's greedy answers to questions of a user, each judged by its own function of what was said.

    An empty answer is left out: there is nothing to read. Raises PromptError unless each question has its judge.
    """
    if len(asked) != len(judges):
        raise PromptError(f"each question has a judge, got {len(judges)} for {len(asked)}")
    made = lm.generate([lm.chat(one) for one in asked], max_tokens=max_tokens)
    parted = [_lead_and_answer(one.text) for one in made]
    return [
        OwnAnswer(question, said, bool(judge(said)), lead)
        for question, (lead, said), judge in zip(asked, parted, judges, strict=True)
        if said
    ]


def read_own(lm: LM, own: Sequence[OwnAnswer], *, batch: int = 16, track: Track = iter) -> OwnStates:
    """States and likelihoods of own answers, one forward pass for each. Raises PromptError for none."""
    if not own:
        raise PromptError("no answers to read")
    out: list[tuple] = []
    for some in track(list(batches(own, batch))):
        bare, led, whole = (
            [lm.chat(one.asked, answer=said(one)) for one in some] for said in (_nothing, _lead, _whole)
        )
        run = lm.run(whole, keep="resid_post")
        for row, (one, before, begun, prompt) in enumerate(zip(some, bare, led, whole, strict=True)):
            asked_at = resolve(text(one.asked), before).prompt[-1]
            prompt_end, start = (_shared(part.tokens, prompt.tokens) for part in (before, begun))
            layers = mx.stack([run["resid_post", i][row] for i in range(lm.n_layers)])
            logits = log_probs(np.array(lm.unembed(layers[-1, start - 1 : len(prompt) - 1])))
            told = logits[np.arange(len(logits)), list(prompt.tokens[start:])]
            places = mx.array([asked_at, prompt_end - 1, len(prompt) - 1])
            states = np.array(layers[:, places].astype(mx.float32)).swapaxes(0, 1)
            out.append((states, told.sum(), len(told), -(np.exp(logits[0]) * logits[0]).sum()))
    return OwnStates(*map(np.array, zip(*out, strict=True)))


def _lead_and_answer(said: str) -> tuple[str, str]:
    """The words that lead to an answer, with the space behind them, and the rest of its first sentence without the period."""
    whole = said.strip()
    found = _LEAD.match(whole)
    lead = found.group() if found else ""
    rest = whole[len(lead) :].strip()
    end = _END.search(rest)
    return lead, (rest[: end.start()] if end else rest).strip()


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """How many first tokens two prompts share."""
    return next((i for i, pair in enumerate(zip(a, b, strict=False)) if pair[0] != pair[1]), min(len(a), len(b)))


def _nothing(_: OwnAnswer) -> str:
    return ""


def _lead(one: OwnAnswer) -> str:
    return one.lead.rstrip()  # the space is part of the next token


def _whole(one: OwnAnswer) -> str:
    return one.lead + one.said
