"""Probabilities of the letters of a question with several options (Kadavath et al. 2022, section 2).

>>> asked = "Question: Where is Kyoto?\\n (A) Peru\\n (B) Japan\\n (C) Chad\\nAnswer with the letter of the right option."
>>> found = letter_log_probs(lm, [asked], ["(A)", "(B)", "(C)"])
>>> found.shape, bool(np.isclose(np.exp(found).sum(), 1))
((1, 3), True)
>>> names_a_letter("(B) Japan", "ABC"), names_a_letter("B.", "ABC"), names_a_letter("Because of", "ABC")
(True, True, False)
"""

import re
from collections.abc import Sequence

import numpy as np

from assay.errors import PromptError
from assay.forward.lm import LM
from assay.forward.positions import Prompt
from assay.methods.distributions import log_probs
from assay.methods.portions import Track, batches
from assay.models.chat import System


def letter_log_probs(
    lm: LM,
    asked: Sequence[str],
    letters: Sequence[str],
    *,
    system: System = None,
    batch: int = 16,
    track: Track = iter,
) -> np.ndarray:
    """Log-probability of each of K letters against the others, as the answer to each of N questions: [N, K] float64.

    It is read at the first token in which the answers differ, behind those that they share ("("), normalised over the K. Raises
    PromptError for no questions, fewer than two letters, and letters that do not all differ in one token.
    """
    if not asked or len(letters) < 2:
        raise PromptError(f"a choice needs a question and two letters or more, got {len(asked)} and {len(letters)}")
    parted = [_parted(lm, one, letters, system) for one in asked]
    out = []
    for some in track(list(batches(parted, batch))):
        logits = np.array(lm.run([prompt for prompt, _ in some]).logits)
        out.append(log_probs(np.take_along_axis(logits, np.array([tokens for _, tokens in some]), axis=-1)))
    return np.concatenate(out)


def names_a_letter(said: str, letters: str) -> bool:
    """Whether an answer begins with one of the letters, perhaps in brackets, that is no word's beginning."""
    return re.match(rf"[\s*\"'(\[]*[{re.escape(letters)}](?![\w'])", said) is not None


def _parted(lm: LM, asked: str, letters: Sequence[str], system: System) -> tuple[Prompt, list[int]]:
    """The prompt with the tokens that all answers share, and each answer's next token."""
    whole = [lm.chat(asked, system, answer=letter).tokens for letter in letters]
    at = next((i for i, tokens in enumerate(zip(*whole, strict=False)) if len(set(tokens)) > 1), None)
    if at is None or len({tokens[at] for tokens in whole}) < len(letters):
        raise PromptError(
            f"the answers {', '.join(map(repr, letters))} do not all differ in one token: give other letters"
        )
    return Prompt(whole[0][:at]), [tokens[at] for tokens in whole]
