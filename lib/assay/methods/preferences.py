"""Preferences: the probability of one answer against another, at the first token that differs.

    >>> from assay.data.knowledge import statements
    >>> asked = statements("test")[:4]
    >>> answer_preference(lm, [item.proposal for item in asked], ("(A)", "(B)")).round(1), [item.true for item in asked]
    (array([0., 0., 1., 0.]), [True, False, True, False])

Two answers to one prompt share their tokens up to a first one that differs. The *preference* is the probability of the first
answer's token there, normalised over the two: "(A" against "(B", or "A" against "B" after "(", as the tokenizer splits them.
Kadavath et al. 2022 read P(True) so, Rimsky et al. 2024 the share of a behaviour.
"""

from collections.abc import Sequence

import numpy as np

from assay.errors import NotComparable, PromptError
from assay.forward.lm import LM, Edits
from assay.forward.positions import Prompt
from assay.methods.distributions import log_probs
from assay.methods.portions import Track, batches
from assay.models.chat import Conversation, System


def answer_preference(
    lm: LM,
    asked: Sequence[Conversation],
    answers: tuple[str, str],
    *,
    system: System = None,
    edits: Edits = (),
    batch: int = 16,
    track: Track = iter,
) -> np.ndarray:
    """Probability of the first of two answers, against the second, to each of N questions of a user: [N] float64.

    asked: the questions, or conversations that end in one, put into the model's chat template as in `lm.chat`. edits: act on each
    prompt; its position -1 is the token from which the differing token is predicted. Raises NoChatTemplate without a template,
    and PromptError for no questions, for equal answers, and for answers whose first different tokens begin alike.
    """
    return paired_preference(lm, asked, [answers] * len(asked), system=system, edits=edits, batch=batch, track=track)


def paired_preference(
    lm: LM,
    asked: Sequence[Conversation],
    answers: Sequence[tuple[str, str]],
    *,
    system: System = None,
    edits: Edits = (),
    batch: int = 16,
    track: Track = iter,
) -> np.ndarray:
    """`answer_preference` where each question has its own two answers: [N] float64.

    Raises as `answer_preference`, and PromptError unless there are as many pairs of answers as questions.
    """
    if not asked:
        raise PromptError("the set of questions is empty: there is nothing to choose")
    if len(asked) != len(answers):
        raise PromptError(f"each question has two answers, got {len(answers)} pairs for {len(asked)} questions")
    parted = [where_answers_part(lm, *pair, system=system) for pair in zip(asked, answers, strict=True)]
    out = []
    for some in track(list(batches(parted, batch))):
        logits = np.array(lm.run([prompt for prompt, _ in some], edits=edits).logits)
        pairs = np.take_along_axis(logits, np.array([tokens for _, tokens in some]), axis=-1)
        out.append(np.exp(log_probs(pairs))[:, 0])
    return np.concatenate(out)


def where_answers_part(
    lm: LM, asked: Conversation, answers: tuple[str, str], *, system: System = None
) -> tuple[Prompt, tuple[int, int]]:
    """The prompt with the tokens that two answers share, and each answer's next token.

    Raises NotComparable for equal answers and for those whose first different tokens begin alike, and NoChatTemplate.
    """
    first, second = (lm.chat(asked, system, answer=answer).tokens for answer in answers)
    at = next((i for i, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), None)
    if at is None:
        raise NotComparable(
            f"{answers[0]!r} and {answers[1]!r} never part: give answers that begin with different tokens"
        )
    a, b = (lm.decode([tokens[at]]) for tokens in (first, second))
    if a.startswith(b) or b.startswith(a):
        raise NotComparable(
            f"{answers[0]!r} and {answers[1]!r} are not cut alike: where they part, {a!r} of the one begins like {b!r} of the"
            " other; give answers whose probabilities can be compared"
        )
    return Prompt(first[:at]), (first[at], second[at])
